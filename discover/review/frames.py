"""The tables of a review as pandas frames, a row each as people count: units, rules, denials."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import pandas as pd

from discover.errors import UsageError
from discover.review.difference import change_words, rule_words
from discover.review.files import walk
from discover.text import printable
from discover.words import access_words, in_order, listed

if TYPE_CHECKING:
    from discover.review.make import Review
    from discover.review.rules import ReviewedRule

__all__ = ["accesses_frame", "frame"]


class Table(pd.DataFrame):
    """A frame that a notebook shows whole: no cell cut short, text to the left, every name escaped."""

    _most = 300
    _short = 24

    @property
    def _constructor(self) -> type[Table]:
        return Table

    def _repr_html_(self) -> str:
        if self.empty:
            return f"<p>{self.attrs.get('nothing', 'None.')}</p>"
        rows = self.head(self._most)
        shown = rows.style.format(escape="html", precision=3, na_rep="").hide(axis="index")
        times: list[Hashable] = list(rows.select_dtypes(include=["datetime", "datetimetz"]).columns)
        shown = shown.format(lambda t: f"{t:%Y-%m-%d %H:%M:%S}", subset=times, na_rep="")
        shown = shown.set_properties(None, **{"text-align": "left", "overflow-wrap": "anywhere"})
        # short ones stay whole, so that the long ones are those that wrap
        short: list[Hashable] = [
            c for c in rows.columns if max((len(str(v)) for v in rows[c]), default=0) <= self._short or c in times
        ]
        shown = shown.set_properties(short, **{"white-space": "nowrap"})
        shown = shown.set_table_styles([{"selector": "th", "props": "text-align: left"}])
        more = f"<p>and {len(self) - self._most:,} more rows</p>" if len(self) > self._most else ""
        return str(shown.to_html()) + more


def frame(review: Review, name: str) -> pd.DataFrame:
    """One of the tables. Raises `UsageError` for a name that none has."""
    if name not in _FRAMES:
        raise UsageError(f"no table {name!r}", f"there are {', '.join(_FRAMES)}")
    table = Table(_FRAMES[name](review))
    table.attrs["nothing"] = _NOTHING.get(name, "None.")
    if name == "difference" and review.difference is None:
        table.attrs["nothing"] = "There is no policy in force to compare with: name one as <code>against</code>."
    return table


_NOTHING = {
    "first": "No rule stands out.",
    "outliers": "No unit behaves unlike the others, or there are too few to tell.",
    "sensitive": "No sensitive file was used or is admitted.",
    "simulation": "The policy denies nothing of what was recorded.",
    "difference": "No rule permits anything else.",
}
"""What an empty table says in a notebook."""


def accesses_frame(rule: ReviewedRule) -> pd.DataFrame:
    """What a rule covers, the most frequent first."""
    rows = [
        (
            printable(access_words(s.access)),
            printable(s.access.source),
            s.count,
            len(s.units),
            ", ".join(in_order(s.phases)),
        )
        for s in rule.covers
    ]
    return Table(pd.DataFrame(rows, columns=["access", "by", "events", "units", "phases"]))


def _facts(review: Review) -> pd.DataFrame:
    from discover.report.words import facts  # noqa: PLC0415 - the report stands on the review

    rows = [(f.name, f.value, {"good": "", "look": "look", "bad": "LOOK"}[f.state], f.more) for f in facts(review)]
    return pd.DataFrame(rows, columns=["", "what", "look", "more"])


def _sensitive(review: Review) -> pd.DataFrame:
    rows = [
        (printable(path), node.mark, node.reads, node.writes, len(node.units), node.rule)
        for path, node in walk(review.files)
        if node.sensitive and not node.group
    ]
    return pd.DataFrame(rows, columns=["path", "mark", "reads", "changes", "units", "rule"])


def _units(review: Review) -> pd.DataFrame:
    columns = ["unit", "started", "seconds", "behaviours", "events", "drills", "notes"]
    rows = [
        (
            printable(u.unit),
            u.started,
            None if u.seconds is None else round(u.seconds, 1),
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
            ", ".join(in_order(d.seen.phases)),
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
    "facts": _facts,
    "units": _units,
    "sensitive": _sensitive,
    "rules": _rules,
    "first": _first,
    "outliers": _outliers,
    "coverage": _coverage,
    "simulation": _simulation,
    "difference": _difference,
}
