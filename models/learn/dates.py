"""Names with a date in them: another one tomorrow, though every recorded unit ran on the same day.

Recordings are short, so that a date hardly ever varies in them; yet a log called after its day breaks an allow-list of
yesterday's names. What proves a date from a single example is the clock: the name has the day (or the month) on which
the workload wrote it. Folders by year are known by the months in them.

- `of_day`: ``app-2026-11-24.log``, ``dump_20261124-1015.gz``, ``2026-11`` written on that day;
- `calendar`: ``2026`` over ``11`` over ``24``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta

from models.learn.shapes import EXAMPLES, Group, escape
from models.learn.trie import Node

__all__ = ["calendar", "dated", "of_day"]

_MONTH, _DAY = r"0[1-9]|1[0-2]", r"0[1-9]|[12][0-9]|3[01]"
_DATE = re.compile(
    rf"(?<![0-9])((?:19|20)[0-9]{{2}})([-_.]?)({_MONTH})(?:\2({_DAY})"
    r"([-_.T]?(?:[01][0-9]|2[0-3])([-_.:]?)[0-5][0-9](?:\6[0-5][0-9])?)?)?(?![0-9])"
)
"""A year and a month, perhaps a day, perhaps hours, minutes and seconds; the same separator within each."""
_YEARS = "[0-9]" * 4
_TWO = "[0-9]" * 2
_KIND = "date"
_MOST_DAYS = 3
"""Days over which one unit's names are compared; a longer recording has names that differ."""


def dated(nodes: Sequence[Node], where: str) -> tuple[list[Group], list[Node]]:
    """Groups of the written names that have a date in them, and the nodes in none; `where` is the directory."""
    families: dict[tuple[str, str], list[str]] = {}
    left = []
    for node in nodes:
        found = None
        if node.writes and any(c.isdigit() for c in node.name):
            days = _days(node)
            found = calendar(node, where, days) or of_day(node.name, days)
        if found is None:
            left.append(node)
        else:
            families.setdefault(found, []).append(node.name)
    return [Group(p, tuple(sorted(n)), _KIND, prefix) for (p, prefix), n in sorted(families.items())], left


def of_day(name: str, days: Collection[date]) -> tuple[str, str] | None:
    """The pattern and the literal beginning of a name that has one of the days in it; None for another."""
    for match in _DATE.finditer(name):
        year, separator, month, day = match.group(1, 2, 3, 4)
        if day is None and not separator:
            continue  # 202611 may be any number
        if any((f"{d:%Y}", f"{d:%m}") == (year, month) and day in (None, f"{d:%d}") for d in days):
            digits = "".join("[0-9]" if c.isdigit() else escape(c) for c in match[0])
            prefix = name[: match.start()]
            return escape(prefix) + digits + escape(name[match.end() :]), prefix
    return None


def calendar(node: Node, where: str, days: Collection[date]) -> tuple[str, str] | None:
    """The pattern of a folder called after a year with its months in it, of a month or of a day in such a folder."""
    name = node.name
    above = where.split("/")
    if re.fullmatch("(?:19|20)[0-9]{2}", name):
        months = [c for c in node.children if re.fullmatch(_MONTH, c)]
        known = any(f"{d:%Y}" == name and f"{d:%m}" in months for d in days) or len(months) >= EXAMPLES
        return (_YEARS, "") if known and len(months) == len(node.children) else None
    if above[-1] == _YEARS and re.fullmatch(_MONTH, name):
        return _TWO, ""
    if above[-2:] in ([_YEARS, _TWO], [_YEARS, "[0-9]*"]) and re.fullmatch(_DAY, name):
        return _TWO, ""
    return None


def _days(node: Node) -> set[date]:
    """The days, in any time zone, on which a name or what is below it was used."""
    found: set[date] = set()
    waiting = [node]
    while waiting and len(found) <= 3 * _MOST_DAYS:
        one = waiting.pop()
        for item in one.paths:
            if item.first and item.last:
                first, last = (datetime.fromtimestamp(t // 1_000_000, UTC) for t in (item.first, item.last))
                span = min((last.date() - first.date()).days, _MOST_DAYS)
                found |= {(first + timedelta(days=n)).date() for n in range(-1, span + 2)}
        waiting.extend(one.children.values())
    return found
