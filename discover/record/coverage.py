"""When a recording may end by itself: enough has been seen of each unit's steady phase.

The steady phase is cut into slots of five seconds. Slots in which nothing was done do not count, and neither does a
unit that listens but has accepted nothing: idleness shows nothing new, and proves nothing. The slots that count are put
together into blocks of equal time, and `models.coverage.estimate_blocks` tells the chance that one more such block
shows something new. It is enough when the upper end of its 95 % interval is at most the asked-for chance, in every unit
that is there. There are twice as many blocks as it takes if none of them holds a surprise (58 for a chance of 10 %, so
five minutes of activity at least): one or two that do hold one are no reason to go on for ever.

Names that differ in numbers or random parts alone (``upload-1f3a.tmp``) are one behaviour here: they are new in every
block, and a policy has one rule for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.behaviour import Operation, Phase
from models.coverage import estimate_blocks

__all__ = ["SLOT", "Coverage", "Standing", "blocks_for", "shape"]

SLOT = 5.0
"""Seconds."""
_KEY = ("exe", "op", "access", "path", "script", "family", "type", "protocol", "address", "port", "capability")
_TOKEN = re.compile(r"[0-9A-Za-z]*[0-9][0-9A-Za-z]*|[0-9A-Za-z]*[a-z][A-Z][0-9A-Za-z]*")
_SERVES = {str(Operation.ACCEPT)}


def shape(path: str) -> str:
    """A path with every run of letters and digits that holds a digit or a capital after a small letter as ``#``."""
    return _TOKEN.sub("#", path)


def blocks_for(chance: float) -> int:
    """How many blocks to cut into, to tell whether another one shows something new with at most this chance."""
    if not 0 < chance < 1:
        raise ValueError(f"a chance lies between 0 and 1: {chance}")
    return 2 * math.ceil(math.log(0.05) / math.log(1 - chance))


@dataclass(frozen=True)
class Standing:
    """How far a unit is. `chance` is the upper end of the estimate, 1 where nothing can be said; `why` for people."""

    unit: str
    chance: float
    why: str


@dataclass
class _Unit:
    number: dict[tuple[Any, ...], int] = field(default_factory=dict)  # behaviour's shape -> its place below
    keys: dict[int, int] = field(default_factory=dict)  # the kernel's key -> the same
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    counted: dict[int, int] = field(default_factory=dict)  # the kernel's key -> its count at the last look
    serving: set[int] = field(default_factory=set)  # keys of accepts
    listens: bool = False
    slots: int = 0
    """Slots that count, so far; the one under way has this number."""
    active: bool = False
    served: bool = False


class Coverage:
    """Follows a recording. Call `rows` with what is new, `look` every `SLOT` seconds, then ask `standings`.

    `present`: the units that are there now. `chance`: what may be left open.
    """

    def __init__(self, chance: float, present: Callable[[], Iterable[str]]) -> None:
        self.chance, self._present = chance, present
        self.blocks = blocks_for(chance)
        self._units: dict[str, _Unit] = {}

    def rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take in new behaviours: rows of `models.behaviour.SEGMENT`."""
        for row in rows:
            unit = self._units.setdefault(row["unit"], _Unit())
            unit.listens |= row["op"] == Operation.LISTEN and not row["errno"]
            if row["phase"] != Phase.STEADY:
                continue
            what = tuple(_told(name, row) for name in _KEY)
            place = unit.number.setdefault(what, len(unit.number))
            if place == len(unit.first):
                unit.first.append(unit.slots)
                unit.last.append(unit.slots)
            unit.last[place] = unit.slots
            unit.keys[row["key"]] = place
            unit.active = True
            if row["op"] in _SERVES and not row["errno"]:
                unit.serving.add(row["key"])
                unit.served = True

    def look(self, ids: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> None:
        """End a slot: `ids` and `counts` are the keys and counts of the kernel's set now."""
        now = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        for unit in self._units.values():
            for key, place in unit.keys.items():
                count = now.get(key, 0)
                if count > unit.counted.get(key, 1):
                    unit.last[place] = unit.slots
                    unit.active = True
                    unit.served |= key in unit.serving
                unit.counted[key] = max(count, 1)
            if unit.active:
                unit.slots += 1
            unit.active = False

    def standings(self) -> list[Standing]:
        """How far each unit that is there is, the least covered one first."""
        found = [self._standing(name) for name in self._present()]
        return sorted(found, key=lambda standing: -standing.chance)

    def _standing(self, name: str) -> Standing:
        unit = self._units.get(name)
        if unit is None or not unit.slots:
            return Standing(name, 1.0, "nothing done in its steady phase so far")
        if unit.listens and not unit.served:
            return Standing(name, 1.0, "listens, but has accepted nothing in its steady phase")
        if unit.slots < self.blocks:
            left = (self.blocks - unit.slots) * SLOT
            return Standing(name, 1.0, f"at least {left:.0f} s more of activity are needed")
        found = estimate_blocks(np.array(unit.first), np.array(unit.last), 0, unit.slots, self.blocks)
        span = unit.slots * SLOT / self.blocks
        return Standing(name, found.high, f"up to {found.high:.0%} chance that another {span:.0f} s show something new")

    def enough(self) -> bool:
        """Whether every unit that is there is covered; never while there is none."""
        standings = self.standings()
        return bool(standings) and all(standing.chance <= self.chance for standing in standings)


def _told(name: str, row: dict[str, Any]) -> Any:
    if name == "address" and row["op"] in _SERVES:
        return None
    value = row[name]
    return shape(value) if name in ("path", "script") and value else value
