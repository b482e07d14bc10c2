"""The handful of facts that every form of the report begins with."""

from __future__ import annotations

from dataclasses import dataclass

from discover.review import Review
from discover.words import listed, many, percent, share
from models.completeness import Verdict
from models.learn.outliers import FEWEST

__all__ = ["Fact", "facts", "verdict_sentence"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. `state` is ``good``, ``look`` or ``bad``; `section` is the part of the report with more."""

    name: str
    value: str
    more: str
    state: str
    section: str


def facts(review: Review) -> list[Fact]:
    """What decides about a policy, the most important first."""
    total = review.simulation.total
    covered = review.coverage
    unseen = review.files.totals.get("unseen", 0)
    secret = sum(1 for r in review.rules for _ in r.evidence.admits.sensitive)
    lost = sum(review.evidence.lost.values())
    heavy = [r for r in review.first if r.weight >= 25]
    worst = max(covered.assessment.classes, key=lambda c: c.high)
    chance = f"{worst.name}: one more unit shows something new with a chance of {percent(worst.new)}, up to "
    lesser = len(review.first) - len(heavy)
    units = len(review.evidence.units)
    apart = f"of {units:,}: too few to tell" if units < FEWEST else f"of {units:,} unlike the others"
    known = bool(review.evidence.inventory.num_rows)
    return [
        Fact(
            "Coverage",
            str(covered.verdict),
            chance + percent(worst.high)
            if covered.verdict is Verdict.COMPLETE
            else "; ".join(covered.assessment.reasons[:2]) or chance + percent(worst.high),
            {Verdict.COMPLETE: "good", Verdict.INCOMPLETE: "look"}.get(covered.verdict, "bad"),
            "coverage",
        ),
        Fact(
            "Would deny",
            f"{total.denied:,}",
            f"of {many(total.accesses, 'recorded access', 'recorded accesses')}, in "
            f"{share(len(review.simulation.units_hit), len(review.evidence.units))} units",
            "bad" if total.denied else "good",
            "simulation",
        ),
        Fact(
            "Look at",
            many(len(heavy), "rule"),
            f"of {many(len(review.rules), 'rule')}" + (f"; {lesser:,} more with a lesser remark" if lesser else ""),
            "look" if heavy else "good",
            "first",
        ),
        Fact(
            "Admits unseen",
            many(unseen, "file") if known else "not known",
            (f"{many(secret, 'sensitive one')}" if secret else "no sensitive one")
            if known
            else "no inventory says what exists in its file system",
            "bad" if secret else "look" if unseen or not known else "good",
            "files",
        ),
        Fact(
            "Lost",
            many(lost, "event") if lost else "nothing",
            listed(f"{n:,} {cause}" for cause, n in sorted(review.evidence.lost.items()) if n) or "while recording",
            "bad" if lost else "good",
            "recorded",
        ),
        Fact(
            "Outliers",
            many(len(review.outliers), "unit"),
            apart,
            "look" if review.outliers else "good",
            "outliers",
        ),
    ]


def verdict_sentence(review: Review) -> str:
    """One sentence at the top."""
    units = many(len(review.evidence.units), "unit")
    rules = many(len(review.rules), "rule")
    return f"{rules} for the target {review.target}, from {units} of {review.evidence.workload}"
