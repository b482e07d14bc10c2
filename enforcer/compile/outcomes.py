"""Outcomes: what a rule, a key or a chain of keys says, as the numbers that the kernel compares.

An *outcome* is a kind in its low three bits and a rule's number above them; rule 0 is the posture. A *part* is what one
or more keys, asked one after the other, say of an access with known facts. Eight combinations of facts (reads only,
owner, terminal) are all that flags ask about, so a part is eight outcomes: one number where they are equal, else the
place of a table with this bit set: `TABLE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from models.policy import Cell, Facts, Rule, Said

__all__ = ["FACTS", "NOTHING", "TABLE", "Kind", "Outcomes", "facts_number", "kind_of", "rule_of"]


class Kind(IntEnum):
    """The low three bits of an outcome."""

    NOTHING = 0
    """Ask the next key."""
    ALLOW = 1
    AUDIT = 2
    BLOCK = 3
    NOT_PERMITTED = 4
    """Listed, but not for this: the posture decides."""


NOTHING = 0
TABLE = 1 << 31
RULE_SHIFT = 3
READS, OWNER, TERMINAL = 1, 2, 4
FACTS = tuple(Facts(bool(n & READS), bool(n & OWNER), bool(n & TERMINAL), None) for n in range(8))
"""Every combination, in the order of a table's outcomes."""
_KINDS = {
    Said.NOTHING: Kind.NOTHING,
    Said.ALLOW: Kind.ALLOW,
    Said.AUDIT: Kind.AUDIT,
    Said.BLOCK: Kind.BLOCK,
    Said.NOT_PERMITTED: Kind.NOT_PERMITTED,
}


def facts_number(facts: Facts) -> int:
    """The place of these facts in a table."""
    return facts.reads_only * READS | facts.owner * OWNER | facts.tty * TERMINAL


def kind_of(outcome: int) -> Kind:
    """What an outcome says."""
    return Kind(outcome & 7)


def rule_of(outcome: int) -> int:
    """The number of the rule that says it; 0 is the posture."""
    return outcome >> RULE_SHIFT


class Outcomes:
    """Numbers rules, and collects parts, each once."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.tables: list[tuple[int, ...]] = []
        self._numbers: dict[int, int] = {}
        self._places: dict[tuple[int, ...], int] = {}

    def of(self, said: Said, rule: Rule | None) -> int:
        """The outcome that a rule, or the posture, gives."""
        kind = _KINDS[said]
        if kind in (Kind.NOTHING, Kind.NOT_PERMITTED) or rule is None:
            return int(kind)
        number = self._numbers.get(id(rule))
        if number is None:
            self.rules.append(rule)  # which also keeps it, and so its id, alive
            number = self._numbers[id(rule)] = len(self.rules)
        return kind | number << RULE_SHIFT

    def part(self, cells: Sequence[Cell]) -> int:
        """What these keys say, the first first."""
        if not cells:
            return NOTHING
        first = cells[0].constant
        if first is not None:
            return self.of(*first)
        table = tuple(self._chain(cells, facts) for facts in FACTS)
        if len(set(table)) == 1:
            return table[0]
        place = self._places.get(table)
        if place is None:
            place = self._places[table] = len(self.tables)
            self.tables.append(table)
        return TABLE | place

    def _chain(self, cells: Sequence[Cell], facts: Facts) -> int:
        for cell in cells:
            said, rule = cell.constant if cell.constant is not None else cell.judge(facts)
            if said is not Said.NOTHING:
                return self.of(said, rule)
        return NOTHING
