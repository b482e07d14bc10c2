"""What a choice of rules is made of: the rule itself, plans and their costs, places, and what is new there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.learn.result import Why
from models.learn.shapes import escape
from models.learn.trie import Item, Node

__all__ = [
    "ALL",
    "NONE",
    "NOTHING",
    "READS",
    "UNITS",
    "VARIES",
    "Choice",
    "Novelty",
    "Place",
    "Plan",
    "annotate",
    "flat",
    "is_open",
    "items_below",
    "needs",
]

NONE, READS, ALL = 0, 1, 2
"""What is covered already: nothing, opens for reading, everything."""
UNITS = 3
"""Units from which novelty can be told from habit."""
VARIES = "the name varies from run to run"
"""The note of a literal rule that the target has no better one for."""


@dataclass(slots=True)
class Choice:
    """One rule on files, as it was chosen."""

    match: str
    """``path``, ``dir``, ``tree`` or ``pattern``."""
    value: str
    """A directory has no slash at its end here, but for the root."""
    write: bool
    why: Why
    items: list[Item]
    whole: Item | None = None
    """All of them as one, where that is known."""
    note: str = ""
    held: bool = True
    """Whether the target can write the value."""
    limits: bool = False
    """Whether it is wider only because the target cannot hold what was seen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Rules for a part of the tree, and what they cost."""

    cost: float
    parts: tuple[Any, ...] = ()
    """Choices and further plans: flattened once, at the end."""


NOTHING = Plan(0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: its path, or the pattern for it once a slot lies above."""

    text: str
    is_pattern: bool = False

    def below(self, name: str) -> Place:
        """The place of a literal name in here."""
        if self.is_pattern:
            return Place(f"{self.text}/{escape(name)}", True)
        return Place(f"{self.text.rstrip('/')}/{name}")

    def slot(self, pattern: str) -> Place:
        """The place of a slot in here."""
        text = self.text if self.is_pattern else escape(self.text)
        return Place(f"{text.rstrip('/')}/{pattern}", True)


@dataclass(frozen=True, slots=True)
class Novelty:
    """What literal names of a set would cost in denials, and whether that earns something wider."""

    cost: float = 0.0
    units: int = 0
    """Units with a new name, as bits."""
    names: int = 0
    slots: int = 0
    """Slots that the target cannot write: each is proof of more names to come."""

    def __add__(self, other: Novelty) -> Novelty:
        return Novelty(
            self.cost + other.cost, self.units | other.units, self.names + other.names, self.slots + other.slots
        )

    @property
    def earned(self) -> bool:
        """New names keep coming: several, in several units."""
        return self.slots > 0 or (self.names >= UNITS and self.units.bit_count() >= 2)


def is_open(node: Node, own: int) -> bool:
    """Whether a node's own path still needs a rule."""
    return node.item is not None and own != ALL and (own == NONE or node.item.writes > 0)


def needs(node: Node, below: int, own: int) -> int:
    """How many paths at or below a node still need a rule."""
    itself = 1 if node.item is not None else 0
    changed = 1 if node.item is not None and node.item.writes else 0
    deep = {NONE: node.uses - itself, READS: node.writes - changed, ALL: 0}[below]
    return deep + is_open(node, own)


def items_below(node: Node) -> Iterator[Item]:
    """The paths at and below a node."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield from one.paths
        waiting.extend(one.children.values())


def flat(plan: Plan) -> Iterator[Choice]:
    """The rules of a plan, in order."""
    waiting: list[Any] = [plan]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Choice):
            yield one
        else:
            waiting.extend(reversed(one.parts))


def annotate(plan: Plan, note: str) -> None:
    """Say something about every rule of a plan."""
    for choice in flat(plan):
        choice.note = choice.note if note in choice.note else f"{note}; {choice.note}".rstrip("; ")
