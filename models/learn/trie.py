"""The files of a workload as a tree of names, each with who used it, how, and in which units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from models.evidence import Seen
from models.policy.access import FILE_OPS, Op

__all__ = ["Item", "Node", "items_of", "merged", "tree_of", "writes"]

_KEEPS_OWNER = frozenset({Op.OPEN, Op.TRUNCATE, Op.CHMOD})


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
    first: datetime | None = None
    last: datetime | None = None
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

    def add(self, seen: Seen, bits: int) -> None:
        """Count one more access in."""
        if writes(seen):
            self.writes |= bits
        else:
            self.reads |= bits
        self.count += seen.count
        self.accesses += 1
        self.phases |= seen.phases
        self.exes.add(seen.access.source)
        self.first = seen.first if self.first is None else min(self.first, seen.first)
        self.last = seen.last if self.last is None else max(self.last, seen.last)
        access = seen.access
        self.owned &= bool(access.owner_match) and access.op in _KEEPS_OWNER and not access.create
        self.overlay |= access.overlay
        self.moved |= access.op in (Op.RENAME, Op.RENAME_FROM)

    def absorb(self, other: Item) -> None:
        """Take another path's accesses in: both are one name of a slot."""
        self.reads |= other.reads
        self.writes |= other.writes
        self.count += other.count
        self.accesses += other.accesses
        self.phases |= other.phases
        self.exes |= other.exes
        if other.first is not None and other.last is not None:
            self.first = other.first if self.first is None else min(self.first, other.first)
            self.last = other.last if self.last is None else max(self.last, other.last)
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


def writes(seen: Seen) -> bool:
    """Whether an access changes a file or a name: everything but an open for reading alone."""
    access = seen.access
    return access.op is not Op.OPEN or access.write or access.create or access.truncate


def items_of(seen: Iterable[Seen], units: Sequence[str]) -> dict[str, Item]:
    """The paths that the file class judges, by path. Objects without a path are judged by no rule and left out."""
    bit = {name: 1 << place for place, name in enumerate(units)}
    items: dict[str, Item] = {}
    for one in seen:
        access = one.access
        if access.op not in FILE_OPS or access.op is Op.SETXATTR or not access.path.startswith("/"):
            continue
        item = items.get(access.path)
        if item is None:
            item = items[access.path] = Item(access.path)
        item.add(one, sum(bit[u] for u in one.units))
    return items


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
