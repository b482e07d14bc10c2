"""Measures the matcher on the live kernel under BPF_PROG_TEST_RUN: nothing is attached, nothing is denied.

    sudo .venv/bin/python -m benchmarks.enforcer [--json]

A decision on a path of 60 bytes with 10, 500 and 20,000 rules, the memory of the compiled policies, and the time to
compile and load one. Times of decisions are the best of many means: what others do on the machine only adds. Data on
stdout. Exit codes: 0 every bar met, 1 one not met, 3 the kernel does not let us.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from bpf.errors import BpfError
from enforcer.bpf_lsm.matcher import Matcher
from enforcer.bpf_lsm.slots import put
from enforcer.compile import compile_tables
from models.policy import Policy, Posture

SIZES = (10, 500, 20_000)
SAMPLES = 60
DECISION_NS, FLAT = 300.0, 1.25
MEGABYTES = {500: 2.0, 20_000: 16.0}
LOAD_MS = 100.0


@dataclass
class Row:
    """Figures of one policy size."""

    rules: int
    bytes_of_path: int
    listed_ns: float
    """A path that a rule names, to its last byte."""
    directory_ns: float
    """One that a directory rule allows: the automaton stops at the directory."""
    pattern_ns: float
    """One that a pattern decides, after exact paths and before directories."""
    megabytes: float
    compile_ms: float
    """Processor time."""
    load_ms: float
    """Into the kernel, by the clock."""


def policy(rules: int) -> Policy:
    """Rules as a learner writes them: mostly exact paths of some packages, a directory, a pattern."""
    paths = [
        {"path": f"/usr/lib/python3/dist-packages/package_{n // 40}/module_{n % 40}_{n * 7919 % 1000:03}.cpython.py"}
        for n in range(rules - 2)
    ]
    section = {
        "matchPaths": paths,
        "matchDirectories": [{"dir": "/var/lib/application/data/", "recursive": True}],
        "matchPatterns": [{"pattern": "/var/log/application/**/*.log", "readOnly": True}],
        "action": "Allow",
    }
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "b"}, "spec": {"file": section}})


def sixty(path: str) -> str:
    """A path brought to 60 bytes."""
    return path.ljust(60, "x")[:60]


def measure(rules: int) -> Row:
    """One row."""
    written = policy(rules)
    began = time.process_time()
    tables = compile_tables([written], Posture.all("block"))
    compile_ms = (time.process_time() - began) * 1e3
    named = tables.rules[len(tables.rules) // 2].value
    below, log = sixty("/var/lib/application/data/2026/11/24/"), "/var/log/application/" + "y" * 35 + ".log"
    with Matcher(tables) as matcher:
        loads = []
        for slot in range(1, 8):
            began = time.perf_counter()
            put(matcher.policies, slot, tables)
            loads.append((time.perf_counter() - began) * 1e3)
        best = {p: min(matcher.nanoseconds(p) for _ in range(SAMPLES)) for p in (named, below, log)}
    size = tables.blocks * 32768 / (1 << 20)
    return Row(rules, len(named), best[named], best[below], best[log], size, compile_ms, statistics.median(loads))


def problems(rows: list[Row]) -> list[str]:
    """The bars that are not met."""
    found = []
    for row in rows:
        for name in ("listed_ns", "directory_ns", "pattern_ns"):
            if getattr(row, name) > DECISION_NS:
                found.append(f"{row.rules} rules: {name} {getattr(row, name):.0f} > {DECISION_NS:.0f}")
        if row.megabytes > MEGABYTES.get(row.rules, 16.0):
            found.append(f"{row.rules} rules: {row.megabytes:.2f} MB > {MEGABYTES[row.rules]} MB")
        if row.rules == 500 and row.compile_ms + row.load_ms > LOAD_MS:
            found.append(f"500 rules: {row.compile_ms + row.load_ms:.0f} ms to compile and load > {LOAD_MS:.0f} ms")
    ratio = rows[-1].listed_ns / rows[0].listed_ns
    if ratio > FLAT:
        found.append(f"not flat: {rows[-1].rules} rules cost {ratio:.2f} times what {rows[0].rules} do")
    return found


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enforcer", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a policy size")
    options = parser.parse_args()
    try:
        rows = [measure(rules) for rules in SIZES]
    except BpfError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return 3
    if options.json:
        print("\n".join(json.dumps(asdict(row)) for row in rows))
    else:
        print("rules   listed  directory  pattern   memory   compile     load")
        for r in rows:
            print(
                f"{r.rules:>6} {r.listed_ns:>5.0f} ns {r.directory_ns:>7.0f} ns {r.pattern_ns:>5.0f} ns "
                f"{r.megabytes:>5.2f} MB {r.compile_ms:>6.0f} ms {r.load_ms:>5.1f} ms"
            )
    missed = problems(rows)
    for problem in missed:
        sys.stderr.write(f"missed: {problem}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
