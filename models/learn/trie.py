"""The files of a workload as a tree of names, each with who used it, how, and in which units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

__all__ = ["Item", "Node", "items_of", "merged", "tree_of"]

_KEEPS_OWNER = frozenset({"open", "truncate", "chmod"})


@dataclass(slots=True)
class Item:
    """One path, and every judged access to it."""

    path: str
    reads: int = 0
    """Units that read it, as bits in the order of the units."""
    writes: int = 0
    """Units that changed it or its name."""
    count: int = 0
    accesses: int = 0
    phases: set[str] = field(default_factory=set)
    exes: set[str] = field(default_factory=set)
    first: int = 0
    """Microseconds since 1970, as `last`."""
    last: int = 0
    owned: bool = True
    """Whether each access is known to be the owner's, and none makes a name."""
    overlay: bool = False
    """Whether it lies on overlayfs, in the image or its upper layer."""
    moved: bool = False
    """Whether it was renamed to another name."""

    @property
    def units(self) -> int:
        """Units that used it, as bits."""
        return self.reads | self.writes

    def absorb(self, other: Item) -> None:
        """Take another path's accesses in: both are one name of a slot."""
        self.reads |= other.reads
        self.writes |= other.writes
        self.count += other.count
        self.accesses += other.accesses
        self.phases |= other.phases
        self.exes |= other.exes
        self.first = min(self.first or other.first, other.first)
        self.last = max(self.last, other.last)
        self.owned &= other.owned
        self.overlay |= other.overlay
        self.moved |= other.moved


@dataclass(slots=True)
class Node:
    """One name in the tree."""

    name: str
    children: dict[str, Node] = field(default_factory=dict)
    item: Item | None = None
    paths: list[Item] = field(default_factory=list)
    """At the end of a slot: the items of the real paths that it stands for."""
    names: tuple[str, ...] = ()
    """The names that a slot stands for."""
    units: int = 0
    """Units that used it or anything below, as bits."""
    uses: int = 0
    """Paths used at or below it."""
    writes: int = 0
    """Paths changed at or below it."""

    def count(self) -> None:
        """Fill in what is known of the whole from its parts; the children are counted already."""
        self.units = self.uses = self.writes = 0
        if self.item is not None:
            self.units = self.item.units
            self.uses = 1
            self.writes = 1 if self.item.writes else 0
        for child in self.children.values():
            self.units |= child.units
            self.uses += child.uses
            self.writes += child.writes


def items_of(rows: pa.Table, units: Sequence[str]) -> dict[str, Item]:
    """The paths that the file class judges, by path, from distinct rows (`models.accesses.distinct`).

    Objects without a path are judged by no rule and left out.
    """
    bit = {name: 1 << place for place, name in enumerate(units)}
    known_units: dict[tuple[str, ...], int] = {}
    items: dict[str, Item] = {}
    names = ("op", "access", "path", "path_raw", "exe", "owner_match", "fs", "phase", "units", "count", "first", "last")
    for op, access, text, raw, exe, owner, fs, phase, by, count, first, last in zip(
        *(rows[n].to_pylist() for n in names), strict=True
    ):
        path = text if raw is None else raw.decode("utf-8", "surrogateescape")
        if not path or path[0] != "/":
            continue
        key = tuple(by)
        bits = known_units.get(key)
        if bits is None:
            bits = known_units[key] = sum(bit[u] for u in set(key))
        item = items.get(path)
        if item is None:
            item = items[path] = Item(path)
            item.first, item.last = first, last
        elif first < item.first:
            item.first = first
        item.last = max(item.last, last)
        reading = op == "open" and (access in ("read", "read+directory") or not _changes(access))
        if reading:
            item.reads |= bits
        else:
            item.writes |= bits
            item.moved |= op == "rename-from"
        item.count += count
        item.accesses += 1
        item.phases.add(phase)
        item.exes.add(exe)
        item.owned &= bool(owner) and op in _KEEPS_OWNER and (reading or "create" not in (access or ""))
        item.overlay |= fs == "overlay"
    return items


def _changes(access: str | None) -> bool:
    parts = (access or "").split("+")
    return not {"write", "append", "create", "truncate"}.isdisjoint(parts)


def tree_of(items: Iterable[Item]) -> Node:
    """The tree of the paths; the root is ``/``."""
    root = Node("")
    for item in items:
        node = root
        for name in item.path.strip("/").split("/"):
            if not name:
                continue
            below = node.children.get(name)
            if below is None:
                below = node.children[name] = Node(name)
            node = below
        node.item = item
        node.paths.append(item)
    _count(root)
    return root


def _count(root: Node) -> None:
    order = [root]
    for node in order:
        order.extend(node.children.values())
    for node in reversed(order):
        node.count()


def merged(name: str, nodes: Sequence[Node]) -> Node:
    """Several names as one: what lies below them under the same name is one as well."""
    answer = Node(name, names=tuple(n.name for n in nodes))
    below: dict[str, list[Node]] = {}
    for node in nodes:
        if node.item is not None:
            if answer.item is None:
                answer.item = Item("")
            answer.item.absorb(node.item)
            answer.paths += node.paths
        for child in node.children.values():
            below.setdefault(child.name, []).append(child)
    for child_name, same in below.items():
        answer.children[child_name] = merged(child_name, same)
    answer.count()
    return answer
