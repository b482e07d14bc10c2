"""Which unit does what: decided by a seed before anything runs, so a recording can be resumed and repeated."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

from .workload import DRILLS, Workload

__all__ = ["LEAST", "Unit", "plan", "plan_idle"]

LEAST = 3
"""In how many units each kind of load comes up at least."""


@dataclass(frozen=True)
class Unit:
    """What one recorded run goes through.

    `continues`: it starts on what the unit before it left behind, as a restart does. `kinds` in order of play; an idle
    unit has none.
    """

    workload: str
    number: int
    seed: int
    kinds: tuple[str, ...]
    drills: tuple[str, ...] = ()
    continues: bool = False
    seconds: float = 1.5

    @property
    def name(self) -> str:
        """How the unit is called in folders and progress lines."""
        return f"{self.workload}-{self.number:03d}"

    def notes(self) -> list[str]:
        """What `units.parquet` says about this unit."""
        lines = [f"load: {kind}" for kind in self.kinds] or ["load: none (idle)"]
        lines += [f"drill: {drill}" for drill in self.drills]
        return [*lines, f"state: {'restart' if self.continues else 'fresh'}", f"seed: {self.seed}"]

    def as_json(self) -> dict[str, Any]:
        """The unit as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Unit:
        """The unit that `as_json` gave."""
        return cls(**{**plain, "kinds": tuple(plain["kinds"]), "drills": tuple(plain["drills"])})


def plan(workload: Workload, units: int, seed: int = 1) -> list[Unit]:
    """`units` ordinary units: each kind of load by its share but in at least `LEAST`, drills and restarts in some.

    Raises `ValueError` for fewer than `LEAST` units.
    """
    if units < LEAST:
        raise ValueError(f"{units} units cannot show each kind of load {LEAST} times")
    rng = random.Random(f"{workload.name}/{seed}/{units}")
    kinds: list[list[str]] = [[] for _ in range(units)]
    for name, kind in workload.kinds.items():
        for number in rng.sample(range(units), min(units, max(LEAST, round(kind.share * units)))):
            kinds[number].append(name)
    common = max(workload.kinds, key=lambda name: workload.kinds[name].share)
    drills: list[list[str]] = [[] for _ in range(units)]
    for name in DRILLS:
        if name in workload.drills:
            for number in rng.sample(range(units), max(1, units // 6)):
                drills[number].append(name)
    found = []
    for number in range(units):
        order = kinds[number] or [common]
        rng.shuffle(order)
        ends = "crash" if "crash" in drills[number] else "stop"
        befalls = tuple(d for d in drills[number] if d not in ("stop", "crash") or d == ends)
        restart = number > 0 and rng.random() < 0.25
        found.append(Unit(workload.name, number, rng.getrandbits(32), tuple(order), befalls, restart))
    return found


def plan_idle(workload: Workload, units: int, seed: int = 1) -> list[Unit]:
    """`units` units that start, are left alone and stop."""
    rng = random.Random(f"{workload.name}-idle/{seed}")
    return [Unit(workload.name, number, rng.getrandbits(32), (), seconds=4.0) for number in range(units)]
