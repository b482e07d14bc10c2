"""Runs what is measured, and watches the memory of all its processes together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.material import ROOT
from benchmarks.quality.scale.recording import WORKLOADS, written
from benchmarks.quality.verdicts import Bar

__all__ = ["Point", "measure", "run"]

TIMES_BAR, TIMES_AIM, MEMORY_BAR = 5.0, 1.5, 2 << 30
LINEAR_BAR = 1.25
"""The processor seconds a distinct row at full size, over those at a quarter; others count little in it."""
SAMPLE = 0.2


@dataclass(frozen=True)
class Point:
    """One run."""

    what: str
    workloads: int
    rows: int
    wall: float
    processor: float
    peak: int
    """Bytes: the proportional set size of all its processes together, at its highest."""
    facts: dict[str, float]


_TICK = 1 / os.sysconf("SC_CLK_TCK")


def _look(root: int) -> tuple[int, dict[int, float]]:
    """Of a process and everything it started: the proportional set size in bytes, and each one's processor seconds."""
    parents: dict[int, list[int]] = {}
    busy: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            busy[int(entry.name)] = (int(fields[11]) + int(fields[12])) * _TICK
    total, waiting, spent = 0, [root], {}
    while waiting:
        pid = waiting.pop()
        waiting += parents.get(pid, [])
        spent[pid] = busy.get(pid, 0.0)
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total, spent


def run(what: str, path: Path, workloads: int, rows: int) -> Point:
    """One run in a process of its own; what other processes did for it counts as it was when last looked at."""
    command = [sys.executable, "-m", "benchmarks.quality.scale.work", what, str(path)]
    peak, others = 0, dict[int, float]()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            memory, spent = _look(process.pid)
            peak = max(peak, memory)
            others |= spent
            time.sleep(SAMPLE)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    found = json.loads(output)
    others.pop(process.pid, None)
    wall, processor = found.pop("wall"), found.pop("processor") + sum(others.values())
    return Point(what, workloads, rows, wall, processor, peak, found)


def measure(
    scratch: Path, workloads: int = WORKLOADS, say: Callable[[str], None] = lambda _: None
) -> tuple[list[Point], list[Bar]]:
    """A quarter, half and all of the workloads; the recordings lie below `scratch` and are removed."""
    scratch.mkdir(parents=True, exist_ok=True)
    points = []
    for some in (workloads // 4, workloads // 2, workloads):
        folder = Path(tempfile.mkdtemp(prefix="scale-", dir=scratch))
        try:
            say(f"writing {some} workloads")
            path = written(folder / "recording", some)
            rows = _rows(path)
            for what in ("group", "learn"):
                points.append(run(what, path, some, rows))
                say(f"{what}: {rows:,} rows, {points[-1].wall:.1f} s, {points[-1].peak / 2**30:.2f} GB")
        finally:
            shutil.rmtree(folder)
    return points, bars(points)


def _rows(path: Path) -> int:
    from pyarrow import parquet  # noqa: PLC0415

    return sum(parquet.read_metadata(f).num_rows for f in sorted(path.glob("behaviours/*/*.parquet")))


def bars(points: list[Point]) -> list[Bar]:
    """The bars that the points decide."""
    learned = [p for p in points if p.what == "learn"]
    grouped = {p.workloads: p for p in points if p.what == "group"}
    least, full = learned[0], learned[-1]
    peer = grouped[full.workloads]
    size = f"{full.rows / 1e6:.1f} M rows, {full.workloads} workloads, {peer.facts['distinct'] / 1e6:.2f} M distinct"
    times, busy = full.wall / peer.wall, full.processor / peer.processor
    each = [p.processor / grouped[p.workloads].facts["distinct"] for p in (least, full)]
    figures = [f"{p.processor:.1f} s of {grouped[p.workloads].facts['distinct'] / 1e6:.2f} M" for p in learned]
    whole = full.facts["policies"] == full.workloads
    return [
        Bar("a policy of each workload", size, "discover", "all", f"{full.facts['policies']:.0f}", whole),
        Bar(
            "all policies, against DuckDB's group-by",
            size,
            "discover",
            f"≤ {TIMES_BAR:g}x",
            f"{times:.2f}x ({full.wall:.1f} s of {peer.wall:.1f} s; {busy:.2f}x of its processor time)",
            times <= TIMES_BAR,
        ),
        Bar("the same", size, "discover", f"≤ {TIMES_AIM}x (aim)", f"{times:.2f}x", times <= TIMES_AIM),
        Bar(
            "linear in distinct rows",
            "a quarter, half, all",
            "discover",
            f"≤ {LINEAR_BAR}x a row",
            f"{each[1] / each[0]:.2f}x ({', '.join(figures)})",
            each[1] / each[0] <= LINEAR_BAR,
        ),
        Bar("memory", size, "discover", "≤ 2 GB", f"{full.peak / 2**30:.2f} GB", full.peak <= MEMORY_BAR),
    ]
