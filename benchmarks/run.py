"""Measures what recording costs, beside its peers, in one interleaved run.

    sudo .venv/bin/python -m benchmarks.run [--only open_loop]... [--quick] [--json] [--without strace]...

Every round takes one sample of every observer: bare, ``discover record``, bpftrace printing opens, ``strace -f``; the
table gives medians and the ratio to bare of the same round. Servers run in mount and network namespaces of their own.
Data on stdout, progress on stderr. Exit codes: 0 every bar met, 1 one not met or not measured, 2 usage, 3 no root.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from datasets.workloads import isolation
from datasets.workloads.workload import WorkloadError

from .bench import Bench, BenchError
from .figures import Result, markdown
from .measures import MEASURES, load_measure
from .observers import Bare, Bpftrace, Discover, ObserverError, Strace, available

ROOT = Path(__file__).parents[1]
INSIDE = "DISCOVER_BENCHMARKS_INSIDE"


def machine() -> list[str]:
    """What the figures were taken on, a line each."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(": ")[2] if names else platform.machine()
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, cwd=ROOT, check=False
    )
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip() or 'unknown'}, "
        f"kernel {platform.release()}, {os.cpu_count()} cores of {processor}, load before {os.getloadavg()[0]:.2f}"
    ]


def take(name: str, bench: Bench) -> Result:
    """One measure; what goes wrong in it becomes a problem of its result."""
    began = time.monotonic()
    try:
        result = load_measure(name)(bench)
    except (BenchError, ObserverError, WorkloadError, OSError, subprocess.SubprocessError) as error:
        result = Result(name, name, "", "", problems=[f"{type(error).__name__}: {error}"], holds=False)
    result.facts["took, s"] = round(time.monotonic() - began, 1)
    return result


def inside(options: argparse.Namespace) -> int:
    """Takes the measures; runs in namespaces of its own."""
    for folder, kind in (("/sys/kernel/debug", "debugfs"), ("/sys/kernel/tracing", "tracefs")):
        if not any(Path(folder).iterdir()):  # bpftrace wants both; the mounts end with the namespace
            subprocess.run(("mount", "-t", kind, kind, folder), capture_output=True, check=False)
    usable, problems = available(
        [o for o in (Bare(), Discover(), Bpftrace(), Strace()) if o.name not in options.without]
    )
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    about = machine() + [f"left out: {problem}" for problem in problems]
    scratch = Path(tempfile.mkdtemp(prefix="discover-benchmarks-", dir="/var/tmp"))
    scratch.chmod(0o755)  # servers that drop their privileges read below it
    bench = Bench(scratch, usable, options.quick)
    began = time.monotonic()
    try:
        results = [take(name, bench) for name in options.only or MEASURES]
    finally:
        if options.keep:
            print(f"kept: {scratch}", file=sys.stderr)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    about.append(f"whole run: {time.monotonic() - began:.0f} s")
    if options.json:
        print(json.dumps({"machine": about, "measures": [result.as_json() for result in results]}, indent=1))
    else:
        print(markdown(results, about))
    return 0 if all(result.holds for result in results) else 1


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=MEASURES, help="this measure; may be given several times")
    parser.add_argument("--without", action="append", default=[], choices=("discover", "bpftrace", "strace"))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: under three minutes")
    parser.add_argument("--json", action="store_true", help="everything, every sample, as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the recordings and logs")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print(
            "error: the recorder and its peers need root\nhint: sudo .venv/bin/python -m benchmarks.run",
            file=sys.stderr,
        )
        return 3
    if os.environ.get(INSIDE):
        return inside(options)
    words = sys.argv[1:] if arguments is None else arguments
    command = isolation.wrapped([sys.executable, "-m", "benchmarks.run", *words])
    return subprocess.run(command, cwd=ROOT, env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
