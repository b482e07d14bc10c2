"""What would raise coverage most: which loads and drills brought news, which were never walked, how many units more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.behaviour import Phase
from models.completeness import AT_MOST, Assessment, Verdict, class_of

__all__ = ["DRILLS", "Tag", "advise", "tags_of", "units_needed"]

DRILLS = ("reload", "rotate", "stop", "crash", "restart")
"""What only trouble shows; a stop also counts where a unit's shutdown was recorded, a restart where a unit began on
what another had left (note ``state: restart``)."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A load, drill or state of some units, and the news that they brought."""

    name: str
    units: int
    news: float
    """Mean number of accesses that surprised, over units that have it."""
    others: float
    """The same over units that do not."""


def tags_of(row: Mapping[str, Any]) -> frozenset[str]:
    """What a UNITS row says that it went through: its notes (a seed is none) and its drills."""
    notes = {n for n in row["notes"] or () if not n.startswith("seed")}
    named = {n.split(",", 1)[0] for n in notes}
    return frozenset(named | {f"drill: {d}" for d in row["drills"] or ()})


def brought(assessment: Assessment, tags: Mapping[str, frozenset[str]]) -> list[Tag]:
    """The tags whose units brought more news than the others, the most first."""
    news = {u: len(assessment.news.get(u, ())) for u in assessment.units}
    found = []
    for name in sorted(frozenset().union(*tags.values()) if tags else ()):
        inside = [news[u] for u in assessment.units if name in tags.get(u, ())]
        outside = [news[u] for u in assessment.units if name not in tags.get(u, ())]
        if not inside or not outside:
            continue
        mean, rest = sum(inside) / len(inside), sum(outside) / len(outside)
        if mean > rest:
            found.append(Tag(name, len(inside), mean, rest))
    return sorted(found, key=lambda t: (-(t.news - t.others), t.units, t.name))


def missing_drills(assessment: Assessment, tags: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The drills that no unit went through."""
    walked = {t.removeprefix("drill: ").split("=")[0] for names in tags.values() for t in names}
    if any("state: restart" in names for names in tags.values()):
        walked.add("restart")
    phases = set(assessment.evidence.behaviours["phase"].cast("string").unique().to_pylist())
    if Phase.SHUTDOWN in phases:
        walked.add("stop")
    return tuple(d for d in DRILLS if d not in walked)


def units_needed(at_most: float = AT_MOST) -> int:
    """How many units without surprise it takes for the clean bound to be at most that."""
    return math.ceil(math.log(0.05) / math.log(1 - at_most))


def advise(assessment: Assessment, units: Iterable[Mapping[str, Any]], at_most: float = AT_MOST) -> list[str]:
    """Sentences, the most useful first. `units` are the UNITS rows of the workload."""
    tags = {row["unit"]: tags_of(row) for row in units}
    out: list[str] = []
    signs = assessment.idleness
    if assessment.verdict is Verdict.IDLE:
        out.append("record it under load: clients that use all of it, as in production")
    elif signs.silent:
        out.append(f"connect to {_listed(signs.silent)}: it listens there, and no unit was ever asked")
    if signs.idle and assessment.verdict is not Verdict.IDLE:
        out.append(
            f"{len(signs.idle)} of {len(signs.listening)} units accepted nothing and are left out of the figures"
        )
    out += [f"show it: {name}" for name, met in assessment.must_sees if met is not True]
    if (drills := missing_drills(assessment, tags)) and assessment.verdict is not Verdict.COMPLETE:
        out.append(f"never walked: {_listed(drills)} (`discover record --drill`)")
    for tag in brought(assessment, tags)[:3]:
        out.append(
            f"more units with {tag.name!r}: the {tag.units} that had it brought {tag.news:.1f} surprises each, "
            f"the others {tag.others:.1f}"
        )
    if worst := _classes(assessment):
        out.append(f"most of what only one unit did is in {worst}")
    missing = units_needed(at_most) - len(assessment.units)
    if missing > 0 and assessment.verdict is not Verdict.IDLE:
        out.append(
            f"record {missing} more unit{'' if missing == 1 else 's'}: {len(assessment.units)} without any "
            f"surprise still leave a chance of {assessment.clean:.0%}"
        )
    return out


def _classes(assessment: Assessment) -> str:
    counts = Counter(class_of(s) for news in assessment.news.values() for s in news)
    total = sum(counts.values())
    return ", ".join(f"{name} ({n:,} of {total:,})" for name, n in counts.most_common(2) if name)


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items)
