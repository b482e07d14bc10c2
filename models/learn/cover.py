"""The cheapest rules that hold what was seen: a choice at each directory, from the leaves up.

Everything is weighed in one currency, existing files newly admitted (`models.learn.stock`):

- a rule costs a little (`RULE`), so that among equals fewer rules win;
- what a rule newly admits costs its price, and its openness to names that do not exist yet something besides;
- names that keep being new cost what the next unit is expected to be denied: by Good and Turing, a unit more shows as
  many new names as there are names in one unit only, divided by the units (see `models.coverage`).

At each directory the choices are: each name for itself; a slot for names of one shape (`models.learn.shapes`), whose
subtrees become one; a common ending; the directory; the whole tree. A directory or ending has to be *earned*: by new
names in at least two units of at least three. Without that, names stay as they were seen, however many they are,
unless the target cannot hold them: then `pressure`, the price of a rule key, makes wider rules cheaper, and they say
so. A target without patterns gets the directory in place of a slot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.learn.choices import (
    ALL,
    NONE,
    NOTHING,
    READS,
    UNITS,
    VARIES,
    Choice,
    Novelty,
    Place,
    Plan,
    annotate,
    flat,
    is_open,
    items_below,
    needs,
)
from models.learn.grouping import Grouping
from models.learn.result import Why
from models.learn.sensitive import Sensitive, is_lever, is_protected, is_scratch
from models.learn.shapes import Group, escape
from models.learn.stock import FORBIDDEN, Stock
from models.learn.trie import Item, Node, merged
from models.policy.limits import Limits

__all__ = ["Choice", "Cover", "can_hold"]

RULE = 0.02
_OPEN = {
    Why.SLOT: (0.05, 0.1),
    Why.NAMES: (0.3, 1.0),
    Why.DIRECTORY: (0.6, 2.0),
    Why.TREE: (2.0, 6.0),
}
"""What openness to names that do not exist yet costs, for reading and for writing."""
_FEW = 3
"""Rules that one on the whole directory has to save at least."""
_SHAPED = 0.5
"""The chance that a unit brings a new name of a known shape, where nothing says that the set is closed."""
_MOST = 20
"""New paths that one new name is taken to bring at most: one directory is one surprise, not thousands."""
_LONGEST = 200
_PATH = re.compile(r"/+[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f]")
"""What a policy takes as a path: no control character (a line break is one), no slash at the end."""


def can_hold(path: str, limits: Limits) -> bool:
    """Whether a target takes a path as it is."""
    plain = path.isascii()
    size = len(path) if plain else len(path.encode("utf-8", "surrogateescape"))
    if size > min(_LONGEST, limits.path_bytes or _LONGEST) or not _PATH.fullmatch(path):
        return False
    if not plain and any("\ud800" <= c <= "\udfff" for c in path):
        return False
    if not limits.literal_globs and any(c in "*?[]{}" for c in path):
        return False
    return limits.components is None or path.count("/") <= limits.components


@dataclass
class Cover:
    """Chooses rules for the files of one workload."""

    stock: Stock
    sensitive: Sensitive
    units: int
    denial: float
    limits: Limits
    pressure: float = 0.0
    """What each rule key costs besides; more than nothing once the target is full."""
    _plans: dict[tuple[int, int, int], Plan] = field(default_factory=dict)
    _merged: dict[tuple[int, str], Node] = field(default_factory=dict)
    _grouping: Grouping = field(init=False)
    _kept: list[Node] = field(default_factory=list)
    """Merged nodes, kept so that no other gets the identity of one."""

    def choose(self, root: Node) -> list[Choice]:
        """The rules for a tree, in the order of its names."""
        self._grouping = Grouping(self.stock, self.units, root.units)
        self._plans.clear()
        return list(flat(self._plan(root, Place("/"), NONE, NONE)))

    # A node. `below` and `own` say what an ancestor's rule covers already of what lies below it, and of itself.

    def _plan(self, node: Node, place: Place, below: int, own: int) -> Plan:
        if not needs(node, below, own):
            return NOTHING
        key = (id(node), below, own)
        known = self._plans.get(key)
        if known is None:
            known = self._plans[key] = self._best(node, place, below, own)
        return known

    def _best(self, node: Node, place: Place, below: int, own: int) -> Plan:
        itself = self._leaf(node, place) if is_open(node, own) else NOTHING
        if not node.children or below == ALL:
            return itself
        single, leaves, deeper = self._children(node, place, below, below)
        best = Plan(itself.cost + single.cost, (itself, single))
        for plan in self._wider(node, place, below, itself, single, leaves, deeper):
            if plan.cost < best.cost:
                best = plan
        return best

    def _leaf(self, node: Node, place: Place) -> Plan:
        item = node.item
        assert item is not None  # noqa: S101 - asked by the caller
        write = bool(item.writes)
        if place.is_pattern:
            price = self.stock.pattern(place.text).of(write=write)
            cost = RULE + self.pressure + _OPEN[Why.SLOT][write] + price
            return Plan(cost, (Choice("pattern", place.text, write, Why.SLOT, node.paths, item),))
        if can_hold(place.text, self.limits):
            return Plan(RULE + self.pressure, (Choice("path", place.text, write, Why.SEEN, node.paths, item),))
        if self.limits.patterns:
            # a line break, a name of more than 200 bytes: what the CRD takes in no path it takes in a pattern
            return Plan(RULE, (Choice("pattern", escape(place.text), write, Why.SEEN, node.paths),))
        return Plan(2 * FORBIDDEN, (Choice("path", place.text, write, Why.SEEN, node.paths, held=False),))

    # The names in a directory

    def _children(self, node: Node, place: Place, below: int, direct: int) -> tuple[Plan, Novelty, Novelty]:
        """Names for themselves or in slots; and what is new among the leaves, and among the directories, that stay.

        `direct` says what is covered of the children themselves, `below` of what lies below them.
        """
        cost, parts = 0.0, list[Plan | Choice]()
        leaves = deeper = Novelty()
        groups, left = self._grouping.of(node, place)
        for group in groups:
            members = [c for n in group.names if needs(c := node.children[n], below, direct)]
            if not members:
                continue
            novelty = self._novelty(members, below, direct, shaped=True)
            slot = self._slot(group, node, members, place, below, direct)
            if slot is not None and slot.cost < novelty.cost + RULE * (len(members) - 1):
                # whatever the names cost one by one, it is a rule for each at least
                cost += slot.cost
                parts.append(slot)
                continue
            literal = [self._plan(c, place.below(c.name), below, direct) for c in members]
            if not self.limits.patterns and novelty.cost > 0:
                certain = FORBIDDEN * 10 if group.kind == "pid" else 0.0
                # one id that every unit has is this machine's perhaps, and does not vary from run to run
                if len(members) > 1 or group.kind != "container id":
                    for plan in literal:
                        annotate(plan, VARIES)
                novelty = Novelty(novelty.cost + certain, novelty.units, novelty.names, 1)
            best = Plan(sum(p.cost for p in literal) + novelty.cost, tuple(literal))
            if slot is not None and slot.cost < best.cost:
                best = slot
            elif any(not c.children for c in members):
                leaves += novelty
            else:
                deeper += novelty
            cost += best.cost
            parts.append(best)
        rest = [c for n in left if needs(c := node.children[n], below, direct)]
        for plan, taken in self._endings(rest, place, below, direct):
            rest = [c for c in rest if c.name not in taken]
            cost += plan.cost
            parts.append(plan)
        above = place.text.rstrip("/")
        for child in rest:
            if not (child.children or place.is_pattern) and can_hold(text := f"{above}/{child.name}", self.limits):
                # most of all: a file with a rule of its own
                cost += RULE + self.pressure
                parts.append(Choice("path", text, child.writes > 0, Why.SEEN, child.paths, child.item))
                continue
            plan = self._plan(child, place.below(child.name), below, direct)
            cost += plan.cost
            parts.append(plan)
        files = self._novelty([c for c in rest if not c.children], below, direct, shaped=False)
        folders = self._novelty([c for c in rest if c.children], below, direct, shaped=False)
        return Plan(cost + files.cost + folders.cost, tuple(parts)), leaves + files, deeper + folders

    def _slot(
        self, group: Group, node: Node, members: Sequence[Node], place: Place, below: int, direct: int
    ) -> Plan | None:
        """The group as one name; None where the target has no patterns, or nothing new may be written there."""
        if not self.limits.patterns:
            return None
        one = self._merged.get((id(node), group.pattern))
        if one is None or set(one.names) != {c.name for c in members}:
            one = merged(group.pattern, members)
            self._merged[id(node), group.pattern] = one
            self._kept.append(one)
        # in /proc and in a cgroup the kernel makes the files: what is written there is no new name
        ours = group.kind == "container id" or place.text == "/proc" or place.text.startswith("/proc/")
        if (
            one.writes
            and not ours
            and is_protected(place.text)
            and not self._grouping.beside_a_file(group, node, place)
        ):
            return None
        plan = self._plan(one, place.slot(group.pattern), below, direct)
        annotate(plan, f"slot: {group.kind}")
        return plan

    def _is_own(self, node: Node, place: Place) -> bool:
        """Whether a protected directory is the workload's own: ``/etc/redis``, where it rewrites its configuration.

        Nothing in it that the workload does not use, and all that it writes there is a file, or a temporary copy beside
        it. Only for targets without patterns, which cannot name the copies.
        """
        if self.limits.patterns or place.is_pattern or place.text.count("/") < 2 or not place.text.startswith("/etc/"):
            return False
        if is_lever(f"{place.text}/new"):
            return False
        if self.stock.directory(place.text).existing:
            return False
        groups, _ = self._grouping.of(node, place)
        return bool(groups) and all(g.prefix and self._grouping.beside_a_file(g, node, place) for g in groups)

    def _endings(
        self, rest: Sequence[Node], place: Place, below: int, direct: int
    ) -> Iterator[tuple[Plan, frozenset[str]]]:
        """``*.html`` for files of one ending of which new ones keep coming."""
        if not self.limits.patterns:
            return
        families: dict[str, list[Node]] = {}
        for child in rest:
            stem, dot, ending = child.name.rpartition(".")
            if dot and stem and not child.children and 1 <= len(ending) <= 10:
                families.setdefault(ending, []).append(child)
        for ending, members in sorted(families.items()):
            novelty = self._novelty(members, below, direct, shaped=False)
            write = any(c.writes for c in members)
            if not novelty.earned or (write and is_protected(place.text)):
                continue
            pattern = place.slot(f"*.{escape(ending)}").text
            cost = RULE + self.pressure + _OPEN[Why.NAMES][write] + self.stock.pattern(pattern).of(write=write)
            literal = sum(self._plan(c, place.below(c.name), below, direct).cost for c in members)
            if cost < literal + novelty.cost:
                choice = Choice("pattern", pattern, write, Why.NAMES, [i for c in members for i in c.paths])
                yield Plan(cost, (choice,)), frozenset(c.name for c in members)

    def _novelty(self, nodes: Sequence[Node], below: int, direct: int, *, shaped: bool) -> Novelty:
        """What the next unit is expected to be denied if these names stay as they are."""
        if not nodes:
            return Novelty()
        # what a workload names by itself, by number or at random, is never a closed set; the files of an image are
        shaped = shaped and not all(self._of_the_image(n) for n in nodes)
        if self.units < UNITS:
            return Novelty(self.denial * _SHAPED if shaped else 0.0, 0, 0)
        bits = paths = names = 0
        for node in nodes:
            if node.units.bit_count() == 1:
                bits |= node.units
                names += 1
                paths += min(needs(node, below, direct), _MOST)
        expected = paths / self.units
        if shaped and (names or len(nodes) < UNITS or any(n.writes for n in nodes)):
            expected = max(expected, _SHAPED)
        return Novelty(self.denial * expected, bits, names)

    def _of_the_image(self, node: Node) -> bool:
        return not node.children and not node.writes and all(self.stock.in_image(i.path) for i in node.paths)

    # Wider rules

    def _wider(
        self, node: Node, place: Place, below: int, itself: Plan, single: Plan, leaves: Novelty, deeper: Novelty
    ) -> Iterator[Plan]:
        """A rule on the directory, for reading or for both, and one on the whole tree, where they are earned."""
        # at a price that no rule has, something here or below can be held by nothing narrower
        pressed = self.pressure > 0 or itself.cost >= FORBIDDEN or single.cost >= FORBIDDEN
        if leaves.earned or pressed:
            yield from self._directory(node, place, below, itself, limits=not leaves.earned)
        elif below == NONE and not place.is_pattern and node.uses > _FEW and self._is_complete(node, place):
            folders = any(c.children for c in node.children.values())
            yield self._all_of_it(node, place, folders=folders)
            return
        elif below == NONE and self._is_workloads_own(node, place):
            yield self._own_directory(node, place)
        everything = leaves + deeper
        if ((deeper.names or deeper.slots) and everything.earned) or pressed:
            yield from self._tree(node, place, below, itself, limits=not everything.earned)

    def _is_complete(self, node: Node, place: Place) -> bool:
        return not node.writes and place.text.count("/") > 2 and self.stock.complete(place.text)

    def _all_of_it(self, node: Node, place: Place, *, folders: bool) -> Plan:
        """One rule for reading in place of many, where it admits nothing that is not read today."""
        match, value, _ = self._rule_on("tree" if folders else "dir", place)
        if match is None:
            return Plan(math.inf)
        cost = RULE + self.pressure * 2 + _FEW * RULE
        return Plan(cost, (Choice(match, value, False, Why.COMPLETE, list(items_below(node))),))

    def _is_workloads_own(self, node: Node, place: Place) -> bool:
        """Whether a directory is the workload's alone: every unit writes each name in it, and nothing else is there.

        Only where an inventory says so, and not where files come and go or decide what runs.
        """
        if self.units < UNITS or place.is_pattern or is_protected(place.text) or is_scratch(place.text):
            return False
        everybody, names = self._grouping.everybody, node.children.values()
        if len(names) <= _FEW or not all(c.item is not None and c.item.writes == everybody for c in names):
            return False
        price = self.stock.directory(place.text)
        return price.known and not price.existing

    def _own_directory(self, node: Node, place: Place) -> Plan:
        """One rule in place of those on the names in it; what lies deeper stays as it is."""
        match, value, _ = self._rule_on("dir", place)
        if match is None:
            return Plan(math.inf)
        names = node.children.values()
        rest, _, _ = self._children(node, place, NONE, ALL)
        covered = [*node.paths, *(i for c in names for i in c.paths)]
        cost = RULE + self.pressure * 2 + _FEW * RULE
        return Plan(cost + rest.cost, (Choice(match, value, True, Why.OWN, covered), rest))

    def _directory(self, node: Node, place: Place, below: int, itself: Plan, *, limits: bool) -> Iterator[Plan]:
        items = [i for c in node.children.values() if c.item is not None for i in c.paths]
        yield from self._rules("dir", Why.DIRECTORY, node, place, items, itself, below, below, limits=limits)

    def _tree(self, node: Node, place: Place, below: int, itself: Plan, *, limits: bool) -> Iterator[Plan]:
        items = [i for c in node.children.values() for i in items_below(c)]
        yield from self._rules("tree", Why.TREE, node, place, items, itself, below, ALL, limits=limits)

    def _rules(
        self,
        kind: str,
        why: Why,
        node: Node,
        place: Place,
        items: list[Item],
        itself: Plan,
        below: int,
        reach: int,
        *,
        limits: bool,
    ) -> Iterator[Plan]:
        """The rule for reading, with what is written beside it; and the rule for both.

        `reach` says how far down it covers: what lies below the children stays as it is, or is covered as well.
        """
        match, value, price = self._rule_on(kind, place)
        if match is None:
            return
        # a directory rule holds the directory itself as well; the pattern in its place does not
        own = [] if place.is_pattern else list(node.paths)
        for level in (READS, ALL):
            write = level == ALL
            if below >= level or (write and not any(i.writes for i in items)):
                continue
            deep = max(below, level) if reach == ALL else below
            rest, _, _ = self._children(node, place, deep, level)
            left = itself if place.is_pattern or (not write and any(i.writes for i in own)) else NOTHING
            cost = RULE + self.pressure * 2 + _OPEN[why][write] + price.of(write=write)
            if write and is_protected(place.text) and not (reach != ALL and self._is_own(node, place)):
                cost += FORBIDDEN
            covered = [i for i in (*items, *own) if write or not i.writes]
            choice = Choice(match, value, write, why, covered, limits=limits)
            yield Plan(cost + rest.cost + left.cost, (choice, rest, left))

    def _rule_on(self, kind: str, place: Place) -> tuple[str | None, str, Any]:
        """The match, the value and the price of a rule on a directory or a tree; None where the target has none."""
        if place.is_pattern:
            value = f"{place.text}/{'**' if kind == 'tree' else '*'}"
            return "pattern", value, self.stock.pattern(value)
        size = len(place.text.encode("utf-8", "surrogateescape")) + 1
        if any("\ud800" <= c <= "\udfff" or c < " " or c == "\x7f" for c in place.text):
            return None, "", None
        if self.limits.directory_bytes is not None and size > self.limits.directory_bytes:
            return None, "", None
        if self.limits.components is not None and place.text.count("/") > self.limits.components:
            return None, "", None
        price = self.stock.tree(place.text) if kind == "tree" else self.stock.directory(place.text)
        return kind, place.text, price
