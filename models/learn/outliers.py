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

from models.evidence import Seen
from models.learn.result import Outlier
from models.learn.sensitive import SHELLS, TOOLS, Sensitive, is_protected, is_scratch
from models.learn.trie import writes
from models.policy.access import FILE_OPS, Op

__all__ = ["FEWEST", "outliers"]

FEWEST = 4
"""Units from which one can be unlike the others."""
_THRESHOLD = 10.0
_REASONS = 8


def outliers(seen: Iterable[Seen], units: Sequence[str], sensitive: Sensitive) -> list[Outlier]:
    """The units whose own behaviour weighs more than the threshold and ten times that of the unit in the middle."""
    if len(units) < FEWEST:
        return []
    own: dict[str, dict[str, float]] = defaultdict(dict)
    seen = list(seen)
    executed: dict[str, set[str]] = defaultdict(set)
    capable: dict[str, set[str]] = defaultdict(set)
    touched: dict[str, set[str]] = defaultdict(set)
    for one in seen:
        access = one.access
        if access.op is Op.EXEC:
            executed[access.path] |= one.units
        elif access.op is Op.CAPABLE:
            capable[access.capability] |= one.units
        elif access.op in FILE_OPS or access.op in (Op.MMAP_EXEC, Op.MPROTECT_EXEC):
            touched[access.path] |= one.units
    for path, by in executed.items():
        if len(by) == 1:
            own[next(iter(by))][f"executed {path}"] = _execution(path)
    for name, by in capable.items():
        if len(by) == 1:
            own[next(iter(by))][f"used the capability {name}"] = 2.0
    told: set[tuple[str, str]] = set()
    for one in seen:
        access = one.access
        path = access.path
        if path not in touched or len(touched[path]) > 1 or (path, str(access.op)) in told:
            continue
        told.add((path, str(access.op)))
        unit = next(iter(touched[path]))
        weight, word = _touch(one, sensitive)
        if weight:
            reason = f"{word} {path}"
            own[unit][reason] = max(weight, own[unit].get(reason, 0.0))
    return _told(own, units)


def _execution(path: str) -> float:
    name = path.rpartition("/")[2]
    if not path.startswith("/") or is_scratch(path.rpartition("/")[0]):
        return 20.0
    stem = name.rstrip("0123456789.-")
    if name in SHELLS or stem in SHELLS:
        return 6.0
    return 5.0 if name in TOOLS or stem in TOOLS else 3.0


def _touch(one: Seen, sensitive: Sensitive) -> tuple[float, str]:
    access = one.access
    if access.op is Op.MMAP_EXEC and is_scratch(access.path.rpartition("/")[0]):
        return 15.0, "mapped for execution"
    if access.op in (Op.MMAP_EXEC, Op.MPROTECT_EXEC):
        return 0.0, ""
    if access.path.startswith("/proc/") and not access.path.endswith("/environ"):
        return 0.0, ""
    if sensitive(access.path):
        return 10.0, "wrote" if writes(one) else "read"
    if writes(one) and is_protected(access.path.rpartition("/")[0]):
        return 0.5, "wrote"
    return 0.0, ""


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
