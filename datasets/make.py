"""Records the datasets of this folder from real software under real load.

    .venv/bin/python -m datasets.make [--only nginx]... [--units N] [--jobs 1] [--again]

Every unit is one run of the real recorder (``discover record -o DIR -- COMMAND``) around one run of the software, in
namespaces of its own: the machine's services and files are not touched. Recordings are kept below `--work` until all
units of a dataset are there, so an interrupted run goes on where it stopped; then they become one dataset by
``discover datasets merge``. Needs root, and the packages of `datasets/workloads/packages.txt`.

Exit codes: 0 all made, 1 a unit failed or lost events without saying why, 2 usage, 3 the recorder is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .workloads import NAMES, isolation, load_workload, recordings
from .workloads.plan import Unit, plan, plan_idle
from .workloads.workload import WorkloadError

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
UNITS = {"nginx": 20, "postgres": 20, "pyweb": 20, "redis": 6, "nodeweb": 6}
IDLE = 12
SHELL = "nginx-shell"
DATASETS = (*NAMES, "nginx-idle", SHELL)
ATTEMPTS = 3
UNIT_TIMEOUT = 300
HEADING = "| dataset | units | behaviours | size | lost | software | kernel | recorded |"


@dataclass(frozen=True)
class Options:
    """The command line, read."""

    work: Path
    recorder: tuple[str, ...]
    units: int | None
    jobs: int
    again: bool

    @property
    def record(self) -> str:
        """The recorder as one shell word list, for the runner's ``--recorder``."""
        return shlex.join((*self.recorder, "record"))


def planned(dataset: str, units: int | None) -> list[Unit]:
    """The units of a dataset, in the order in which they run."""
    if dataset == "nginx-idle":
        return plan_idle(load_workload("nginx"), units or IDLE)
    if dataset == SHELL:
        return [Unit("nginx", 0, 20, ("static", "errors"))]
    return plan(load_workload(dataset), units or UNITS[dataset])


def listed(units: Sequence[Unit]) -> Unit:
    """The unit that lists the file system for all of its dataset: the one that does most, the last of these."""
    return max(units, key=lambda unit: (len(unit.kinds), unit.number))


def record_unit(dataset: str, unit: Unit, options: Options, inventory: bool = False) -> dict[str, Any]:
    """Records one unit, again if it failed or lost events, and says what came of it; raises `WorkloadError`."""
    folder = options.work / dataset / unit.name
    marker = folder / "done.json"
    if marker.exists() and not options.again:
        done: dict[str, Any] = json.loads(marker.read_text())
        recordings.annotate(folder / "recording", unit, _marked(unit))
        return done | {"kept": True}
    problem = ""
    for attempt in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            done = _run(dataset, unit, folder, options, inventory)
            lost = recordings.losses(folder / "recording")
            recordings.annotate(folder / "recording", unit, _marked(unit))
        except WorkloadError as error:
            problem = str(error)
            continue
        done |= {"rows": recordings.rows(folder / "recording"), "lost": lost, "attempts": attempt + 1}
        if not lost or attempt == ATTEMPTS - 1:
            marker.write_text(json.dumps(done, indent=1))
            return done | {"kept": False}
        problem = f"lost {lost}"
    raise WorkloadError(f"{unit.name}: {problem}")


def _run(dataset: str, unit: Unit, folder: Path, options: Options, inventory: bool) -> dict[str, Any]:
    scratch = options.work / dataset / "scratch"
    common = ["--output", str(folder / "recording"), "--scratch", str(scratch), "--recorder", options.record]
    if dataset == SHELL:
        command = [sys.executable, "-m", "datasets.workloads.shell", *common]
    else:
        (folder / "unit.json").write_text(json.dumps(unit.as_json()))
        command = [sys.executable, "-m", "datasets.workloads.runner", str(folder / "unit.json"), *common]
        command += ["--inventory"] if inventory else []
    try:
        done = subprocess.run(
            isolation.wrapped(command), capture_output=True, text=True, check=False, cwd=ROOT, timeout=UNIT_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise WorkloadError(f"not done after {UNIT_TIMEOUT} s") from error
    if done.returncode:
        raise WorkloadError(done.stderr.strip().removeprefix("error: "))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _marked(unit: Unit) -> list[str]:
    workload = load_workload(unit.workload)
    return list(unit.drills) if workload.marks(unit.drills) else []


def make(dataset: str, options: Options, say: Callable[[str], None]) -> bool:
    """Makes one dataset; whether all its units came out well."""
    units = planned(dataset, options.units)
    done: list[dict[str, Any]] = []
    well = True

    def one(unit: Unit) -> dict[str, Any] | None:
        began = time.monotonic()
        try:
            result = record_unit(dataset, unit, options, unit is listed(units))
        except WorkloadError as error:
            say(f"error: {dataset}: {error}")
            return None
        lost = f", lost {result['lost']}" if result["lost"] else ""
        how = "kept" if result["kept"] else f"{time.monotonic() - began:.1f} s, attempt {result['attempts']}"
        loads = "+".join((*unit.kinds, *unit.drills)) or "idle"
        say(f"{dataset} {unit.number + 1}/{len(units)}: {loads}: {result['rows']} behaviours{lost} ({how})")
        return result

    # Units that continue on what another left behind share a folder, so they run one after the other.
    with ThreadPoolExecutor(1) as pool:
        for result in pool.map(one, units):
            well &= result is not None and not result["lost"]
            done += [result] if result else []
    if len(done) < len(units):
        say(f"error: {dataset}: {len(units) - len(done)} of {len(units)} units are missing; not merged")
        return False
    folders = [options.work / dataset / unit.name / "recording" for unit in units]
    recordings.merge(options.recorder, folders, HERE / dataset)
    _describe(dataset, done)
    say(f"{dataset}: {len(done)} units, {recordings.size(HERE / dataset):,} bytes in datasets/{dataset}")
    return well


def _describe(dataset: str, done: Sequence[dict[str, Any]]) -> None:
    """Puts the dataset's line into the table of README.md."""
    lost: dict[str, int] = {}
    for result in done:
        for cause, count in result["lost"].items():
            lost[cause] = lost.get(cause, 0) + count
    target = HERE / dataset
    cells = (
        f"[{dataset}]({dataset}/)",
        str(len(done)),
        f"{recordings.rows(target):,}",
        f"{recordings.size(target) / 1024:.0f} KiB",
        ", ".join(f"{cause} {count}" for cause, count in sorted(lost.items())) or "nothing",
        done[0]["version"].removeprefix("nginx version: "),
        done[0]["kernel"],
        f"{datetime.now(UTC):%Y-%m-%d}",
    )
    readme = HERE / "README.md"
    lines = [line for line in readme.read_text().splitlines() if not line.startswith(f"| {cells[0]} |")]
    end = lines.index(HEADING) + 2
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    lines.insert(end, f"| {' | '.join(cells)} |")
    readme.write_text("\n".join(lines) + "\n")


def recorder() -> tuple[str, ...] | None:
    """The recorder of this checkout: the command beside this Python, or the one on the path."""
    beside = Path(sys.executable).parent / "discover"
    found = str(beside) if beside.exists() else shutil.which("discover")
    if not found:
        return None
    works = subprocess.run((found, "record", "--help"), capture_output=True, check=False).returncode == 0
    return (found,) if works else None


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.make", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=DATASETS, help="this dataset; may be given several times")
    parser.add_argument("--units", type=int, help="so many units of each dataset instead of the usual number")
    parser.add_argument("--jobs", type=int, default=1, help="datasets made at the same time")
    parser.add_argument("--again", action="store_true", help="record anew what is already there")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/discover-datasets"), help="keeps single recordings")
    options = parser.parse_args(arguments)
    if options.units is not None and options.units < 3:
        parser.error("--units: each kind of load comes up in three units, so there cannot be fewer")
    if os.geteuid() != 0:
        print("error: recording needs root\nhint: sudo .venv/bin/python -m datasets.make", file=sys.stderr)
        return 3
    command = recorder()
    if not command:
        print("error: no working `discover record` found\nhint: run scripts/setup first", file=sys.stderr)
        return 3
    chosen = Options(options.work, command, options.units, options.jobs, options.again)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} {line}", file=sys.stderr, flush=True)

    def one(dataset: str) -> bool:
        try:
            return make(dataset, chosen, say)
        except WorkloadError as error:
            say(f"error: {dataset}: {error}")
            return False

    with ThreadPoolExecutor(max(1, chosen.jobs)) as pool:
        return 0 if all(list(pool.map(one, options.only or DATASETS))) else 1


if __name__ == "__main__":
    sys.exit(main())
