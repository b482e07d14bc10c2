"""The tables of a review as pandas frames, a row each as people count: units, rules, denials."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from discover.errors import UsageError
from discover.review.difference import change_words, rule_words
from discover.text import printable
from discover.words import access_words, listed

if TYPE_CHECKING:
    from discover.review.make import Review
    from discover.review.rules import ReviewedRule

__all__ = ["frame"]


def frame(review: Review, name: str) -> pd.DataFrame:
    """One of the tables. Raises `UsageError` for a name that none has."""
    if name not in _FRAMES:
        raise UsageError(f"no table {name!r}", f"there are {', '.join(_FRAMES)}")
    return _FRAMES[name](review)


def _units(review: Review) -> pd.DataFrame:
    columns = ["unit", "started", "seconds", "behaviours", "events", "drills", "notes"]
    rows = [
        (
            printable(u.unit),
            u.started,
            u.seconds,
            sum(u.behaviours.values()),
            sum(u.events.values()),
            ", ".join(u.drills),
            printable(", ".join(u.notes)),
        )
        for u in review.units
    ]
    return pd.DataFrame(rows, columns=columns)


def _rule(rule: ReviewedRule) -> dict[str, object]:
    evidence = rule.evidence
    return {
        "rule": printable(rule_words(rule.rule)),
        "why": rule.why,
        "units": len(evidence.units),
        "events": evidence.count,
        "phases": ", ".join(evidence.phases),
        "by": printable(listed(evidence.executables, 3)),
        "existing files admitted": evidence.admits.existing if evidence.admits.known else None,
        "look, because": printable("; ".join(c.text for c in rule.attention)),
        "where": rule.where,
    }


def _rules(review: Review) -> pd.DataFrame:
    return pd.DataFrame([_rule(r) for r in review.rules])


def _first(review: Review) -> pd.DataFrame:
    columns = ["rule", "look, because", "units", "events", "where"]
    return pd.DataFrame([_rule(r) for r in review.first], columns=columns)


def _outliers(review: Review) -> pd.DataFrame:
    rows = [(printable(o.unit), o.score, printable("; ".join(o.reasons))) for o in review.outliers]
    return pd.DataFrame(rows, columns=["unit", "score", "what it alone did"])


def _coverage(review: Review) -> pd.DataFrame:
    rows = []
    for one in review.coverage.assessment.classes:
        left = one.learned
        rows.append(
            (
                str(one.name),
                one.watched,
                one.raw.behaviours,
                one.new,
                left.low if left else one.raw.low,
                one.high,
                one.watched and one.high <= review.at_most,
            )
        )
    columns = ["class", "watched", "accesses", "chance of something new", "low", "high", "enough"]
    return pd.DataFrame(rows, columns=columns)


def _simulation(review: Review) -> pd.DataFrame:
    rows = [
        (
            str(d.section),
            printable(access_words(d.seen.access)),
            printable(d.seen.access.source),
            d.seen.count,
            len(d.seen.units),
            ", ".join(sorted(d.seen.phases)),
        )
        for d in review.simulation.denials
    ]
    return pd.DataFrame(rows, columns=["class", "denied", "by", "events", "units", "phases"])


def _difference(review: Review) -> pd.DataFrame:
    columns = ["change", "rule", "before", "permits something new"]
    difference = review.difference
    if difference is None:
        return pd.DataFrame([], columns=columns)
    rows = [(str(c.kind), *map(printable, change_words(c)), c.gives) for c in difference.changes]
    return pd.DataFrame(rows, columns=columns)


_FRAMES: dict[str, Callable[[Review], pd.DataFrame]] = {
    "units": _units,
    "rules": _rules,
    "first": _first,
    "outliers": _outliers,
    "coverage": _coverage,
    "simulation": _simulation,
    "difference": _difference,
}
