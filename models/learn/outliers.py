"""Units that behave unlike the others: set apart and named, not learned from in silence.

What counts is what a unit *alone* did, weighed by what it would mean if it were an intrusion: an executable that no
other replica ran, one that lies where files come and go, a credential that no other read, a new kind of capability. A
unit of a rare but ordinary load has new file names, which weigh nearly nothing; six replicas of which one ran a miner
from /tmp are told apart without a model of either. (Tried instead: isolation forests and local outlier factors on the
units' incidence, which with six units call whoever ran the longest load an outlier.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from models.accesses import Seen
from models.learn.result import Outlier
from models.learn.sensitive import SHELLS, TOOLS, Sensitive, is_protected, is_scratch
from models.learn.trie import Item
from models.policy.access import Op

__all__ = ["FEWEST", "outliers"]

FEWEST = 4
"""Units from which one can be unlike the others."""
_THRESHOLD = 10.0
_REASONS = 8


def outliers(
    seen: Iterable[Seen], items: Mapping[str, Item], units: Sequence[str], sensitive: Sensitive
) -> list[Outlier]:
    """The units whose own behaviour weighs more than the threshold and ten times that of the unit in the middle.

    `seen` are the accesses of other classes than files, `items` the files.
    """
    if len(units) < FEWEST:
        return []
    own: dict[str, dict[str, float]] = defaultdict(dict)
    executed: dict[str, set[str]] = defaultdict(set)
    capable: dict[str, set[str]] = defaultdict(set)
    mapped: dict[str, set[str]] = defaultdict(set)
    for one in seen:
        access = one.access
        if access.op is Op.EXEC:
            executed[access.path] |= one.units
        elif access.op is Op.CAPABLE:
            capable[access.capability] |= one.units
        elif access.op is Op.MMAP_EXEC and is_scratch(access.path.rpartition("/")[0]):
            mapped[access.path] |= one.units
    for reason, weight, by in (
        *((f"executed {p}", _execution(p), by) for p, by in executed.items()),
        *((f"used the capability {name}", 2.0, by) for name, by in capable.items()),
        *((f"mapped for execution {p}", 15.0, by) for p, by in mapped.items()),
    ):
        if len(by) == 1:
            own[next(iter(by))][reason] = weight
    alone = [(p, i) for p, i in items.items() if i.units and i.units & (i.units - 1) == 0]
    secret = frozenset(sensitive.among([p for p, _ in alone]))
    for path, item in alone:
        bits = item.units
        if weight := _touch(item, path, path in secret):
            own[units[bits.bit_length() - 1]][f"{'wrote' if item.writes else 'read'} {path}"] = weight
    return _told(own, units)


def _execution(path: str) -> float:
    name = path.rpartition("/")[2]
    if not path.startswith("/") or is_scratch(path.rpartition("/")[0]):
        return 20.0
    stem = name.rstrip("0123456789.-")
    if name in SHELLS or stem in SHELLS:
        return 6.0
    return 5.0 if name in TOOLS or stem in TOOLS else 3.0


def _touch(item: Item, path: str, secret: bool) -> float:
    if path.startswith("/proc/") and not path.endswith("/environ"):
        return 0.0
    if secret:
        return 10.0
    return 0.5 if item.writes and is_protected(path.rpartition("/")[0]) else 0.0


def _told(own: Mapping[str, Mapping[str, float]], units: Sequence[str]) -> list[Outlier]:
    scores = {u: sum(own.get(u, {}).values()) for u in units}
    middle = sorted(scores.values())[len(scores) // 2]
    apart = sorted(u for u, score in scores.items() if score >= max(_THRESHOLD, 10 * middle))
    if len(apart) * 3 > len(units):
        # a third of all units is no exception but a second way of working
        return []
    return [
        Outlier(
            unit,
            round(scores[unit], 2),
            tuple(r for r, _ in sorted(own[unit].items(), key=lambda item: (-item[1], item[0]))[:_REASONS]),
        )
        for unit in apart
    ]
