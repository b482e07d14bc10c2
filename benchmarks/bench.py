"""What every measure is given: scratch, compiled programs, observers, and rounds that interleave them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .figures import BARE, SUBJECT, Result, ratios
from .observers import Observer, ObserverError

__all__ = ["Bench", "BenchError", "cpu_seconds", "memory_mb"]

PROGRAMS = Path(__file__).parent / "programs"


class BenchError(Exception):
    """A measure could not be taken."""


@dataclass
class Bench:
    """One run of the benchmarks. `quick` asks for fewer and shorter rounds; `observers` holds those that work here."""

    scratch: Path
    observers: Sequence[Observer]
    quick: bool = False
    _taken: int = field(default=0, init=False)

    def observer(self, name: str) -> Observer | None:
        """The observer of that name, None where it does not work."""
        return next((observer for observer in self.observers if observer.name == name), None)

    def output(self, label: str) -> Path:
        """A path that nothing stands at, for what an observer writes."""
        self._taken += 1
        return self.scratch / "outputs" / f"{self._taken:04d}-{label}"

    def program(self, name: str) -> Path:
        """The compiled ``programs/NAME.c``; raises `BenchError` with the compiler's words."""
        binary = self.scratch / "bin" / name
        if not binary.exists():
            binary.parent.mkdir(parents=True, exist_ok=True)
            command = ("gcc", "-O2", "-Wall", "-Werror", "-o", str(binary), str(PROGRAMS / f"{name}.c"))
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError as error:
                raise BenchError(f"gcc: {error}") from error
            if done.returncode:
                raise BenchError(f"{name}.c: {done.stderr.strip()}")
        return binary

    def interleave(
        self, result: Result, rounds: int, sample: Callable[[Observer], float], slow: Sequence[str] = ()
    ) -> None:
        """Fills `result.samples` with `rounds` rounds, each with one sample of every observer.

        Every other round goes backwards, so that whoever comes later gains nothing from it. Observers in `slow` take
        part in the first round only (the first two of a full run). One that fails leaves the rest of the rounds, with
        a line in `result.problems`; bare failing raises.
        """
        out: set[str] = set()
        for number in range(rounds):
            for observer in self.observers if number % 2 == 0 else reversed(self.observers):
                if observer.name in out or (number > (not self.quick) and observer.name in slow):
                    continue
                try:
                    value = sample(observer)
                except ObserverError as error:
                    if observer.name == BARE:
                        raise BenchError(str(error)) from error
                    out.add(observer.name)
                    result.problems.append(f"{observer.name}, round {number + 1}: {error}")
                    continue
                result.samples.setdefault(observer.name, []).append(value)
                self.say(f"{result.measure} {number + 1}/{rounds} {observer.name}: {value:,.5g} {result.unit}")

    def say(self, line: str) -> None:
        """Progress, on stderr."""
        print(line, file=sys.stderr, flush=True)

    @staticmethod
    def judge(result: Result, at_most: float | None = None, at_least: float | None = None) -> None:
        """Compares the recorder's median ratio with the bar."""
        found = ratios(result.samples).get(SUBJECT)
        if not found:
            result.problems.append("the recorder gave no sample")
            return
        result.holds = (at_most is None or found.middle <= at_most) and (at_least is None or found.middle >= at_least)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, with that of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
