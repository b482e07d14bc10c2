"""The names of a directory that are one: by shape, by what the kernel or a date says, beside a file they replace."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.learn.choices import UNITS, Place
from models.learn.dates import dated
from models.learn.numbers import with_numbers
from models.learn.sensitive import is_protected, is_scratch
from models.learn.shapes import Group, beside, cluster, joined, united, varies_alone, well_known
from models.learn.stock import Stock
from models.learn.suffixes import fan, generations, suffixed
from models.learn.trie import Node

__all__ = ["Grouping"]

_SIBLINGS = 20
"""Temporary names that a unit may leave beside a known file of a protected directory."""


@dataclass
class Grouping:
    """Groups the names of directories, each directory once."""

    stock: Stock
    units: int
    everybody: int
    """All units, as bits."""
    _known: dict[int, tuple[list[Group], list[str]]] = field(default_factory=dict)

    def of(self, node: Node, place: Place) -> tuple[list[Group], list[str]]:
        """The groups among the names in a directory, and the names in none."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = self._grouped(node, place)
        return known

    def _grouped(self, node: Node, place: Place) -> tuple[list[Group], list[str]]:
        fixed: dict[tuple[str, str, str], list[str]] = {}
        names = []
        habits: list[str] = []
        everywhere = varies_alone(place.text)
        habitual = self.everybody if self.units >= UNITS else -1
        for name, child in node.children.items():
            if (everywhere or name[0] in "#.") and (shape := well_known(place.text, name)) is not None:
                fixed.setdefault((*shape, ""), []).append(name)
            elif child.item is not None and child.item.moved and (copy := self._copy(node, child)) is not None:
                fixed.setdefault(copy, []).append(name)
            elif child.units == habitual and not child.writes:
                habits.append(name)
            else:
                names.append(name)
        # what every unit reads is no name that varies: shapes are looked for among the others, which may take it along
        fans = fan([node.children[n] for n in names])
        in_fan = {n for g in fans for n in g.names}
        groups, left = cluster(n for n in names if n not in in_fan)
        if groups and not is_protected(place.text):
            groups = united([with_numbers(g, [node.children[n] for n in g.names]) for g in groups])
            groups, left = joined(groups, left)
        if groups:
            groups, habits = joined(groups, habits)
        more, left = suffixed(left, scratch=is_scratch(place.text))
        counts = generations([node.children[n] for n in left])
        counted = {n for g in counts for n in g.names}
        days, rest = dated([node.children[n] for n in left if n not in counted], place.text)
        left = [c.name for c in rest] + habits
        special = [Group(p, tuple(sorted(n)), kind, prefix) for (p, kind, prefix), n in sorted(fixed.items())]
        groups = special + fans + groups + more + counts + days
        return groups, left

    @staticmethod
    def _copy(node: Node, child: Node) -> tuple[str, str, str] | None:
        """Whether the name of a file that was renamed is that of a temporary copy of its sibling."""
        if child.children or len(child.name) < 8:
            return None
        stem = child.name[:-6]
        for sibling in (stem, stem[:-1]):
            if sibling in node.children and (shape := beside(child.name, sibling)):
                return shape
        return None

    def beside_a_file(self, group: Group, node: Node, place: Place) -> bool:
        """Temporary names beside a file that is there, ``redis.conf-8123.tmp`` beside ``redis.conf``, and few of them.

        That is how a program replaces a file of its own; a workload that sprays names into /etc has no such file.
        """
        siblings = [n for n in node.children if n not in group.names and group.prefix.startswith(n)]
        if not siblings and not self.stock.exists(place.text, group.prefix.rstrip("-._#~")):
            return False
        return len(group.names) <= _SIBLINGS * max(1, self.units)
