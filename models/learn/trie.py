"""The files of a workload as a tree of names, each with who used it, how, and in which units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

import numpy as np

from models.distinct import Coded, Distinct, Sorted, integers, sets_of

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
    phases: frozenset[str] = frozenset()
    exes: frozenset[str] = frozenset()
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

    @classmethod
    def together(cls, items: Sequence[Item]) -> Item:
        """The accesses of several paths, as those of one name."""
        return cls(
            "",
            reduce(or_, [i.reads for i in items]),
            reduce(or_, [i.writes for i in items]),
            sum([i.count for i in items]),
            sum([i.accesses for i in items]),
            frozenset().union(*{i.phases for i in items}),
            frozenset().union(*{i.exes for i in items}),
            min([i.first for i in items]),
            max([i.last for i in items]),
            all(i.owned for i in items),
            any(i.overlay for i in items),
            any(i.moved for i in items),
        )


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
        item = self.item
        if item is None:
            self.units = self.uses = self.writes = 0
        else:
            self.units = item.reads | item.writes
            self.uses = 1
            self.writes = 1 if item.writes else 0
        for child in self.children.values():
            self.units |= child.units
            self.uses += child.uses
            self.writes += child.writes


def items_of(rows: Distinct) -> dict[str, Item]:
    """The paths that the file class judges, by path; the units' bits are those of the rows.

    Objects without a path are judged by no rule and left out.
    """
    paths, raw, op, access, phases, exes = (
        rows.columns[name] for name in ("path", "path_raw", "op", "access", "phase", "exe")
    )
    groups = Sorted([paths, raw], len(rows))
    changing = np.fromiter(map(_changes, access.values), bool, len(access.values))[access.codes]
    creating = np.fromiter(("create" in (a or "") for a in access.values), bool, len(access.values))[access.codes]
    reading = op.where("open") & ~changing
    owned = rows.columns["owner_match"].where(True) & op.where(*_KEEPS_OWNER) & (reading | ~creating)
    items: dict[str, Item] = {}
    for path, *rest in zip(
        _texts(paths.taken(groups.first), raw.taken(groups.first)),
        integers(groups.reduced(np.bitwise_or, np.where(reading[:, None], rows.used, np.uint64(0)))),
        integers(groups.reduced(np.bitwise_or, np.where(reading[:, None], np.uint64(0), rows.used))),
        groups.reduced(np.add, rows.count).tolist(),
        groups.sizes().tolist(),
        sets_of(groups.reduced(np.bitwise_or, phases.bits()), phases.values),
        sets_of(groups.reduced(np.bitwise_or, exes.bits()), exes.values),
        groups.reduced(np.minimum, rows.first).tolist(),
        groups.reduced(np.maximum, rows.last).tolist(),
        groups.reduced(np.logical_and, owned).tolist(),
        groups.reduced(np.logical_or, rows.columns["fs"].where("overlay")).tolist(),
        groups.reduced(np.logical_or, op.where("rename-from")).tolist(),
        strict=True,
    ):
        if path and path[0] == "/":
            items[path] = Item(path, *rest)
    return items


def _texts(paths: Coded, raw: Coded) -> list[str]:
    texts = paths.column()
    if any(v is not None for v in raw.values):
        for place, name in enumerate(raw.column()):
            if name is not None:
                texts[place] = name.decode("utf-8", "surrogateescape")
    return texts


def _changes(access: str | None) -> bool:
    parts = (access or "").split("+")
    return not {"write", "append", "create", "truncate"}.isdisjoint(parts)


def tree_of(items: Iterable[Item]) -> Node:
    """The tree of the paths; the root is ``/``."""
    root = Node("")
    folders = {"": root}
    for item in items:
        folder, _, name = item.path.rpartition("/")
        if not name or "//" in folder:
            folder, _, name = "".join(f"/{n}" for n in item.path.split("/") if n).rpartition("/")
        above = folders.get(folder) or _folder(folders, folder)
        node = above.children.get(name) if name else root
        if node is None:
            above.children[name] = Node(name, {}, item, [item])
        else:
            node.item = item
            node.paths.append(item)
    _count(root)
    return root


def _folder(folders: dict[str, Node], path: str) -> Node:
    """The node of a directory, made if it is new; `folders` has all that are known."""
    above, _, name = path.rpartition("/")
    node = (folders.get(above) or _folder(folders, above)).children.setdefault(name, Node(name))
    folders[path] = node
    return node


def _count(root: Node) -> None:
    order = [root]
    for node in order:
        order.extend(node.children.values())
    for node in reversed(order):
        if node.children or node.item is None:
            node.count()
        else:
            # most are names of files, and say all themselves
            node.units, node.uses, node.writes = node.item.units, 1, 1 if node.item.writes else 0


def merged(name: str, nodes: Sequence[Node]) -> Node:
    """Several names as one: what lies below them under the same name is one as well."""
    answer = Node(name, names=tuple(n.name for n in nodes))
    below: dict[str, list[Node]] = {}
    items = []
    for node in nodes:
        if node.item is not None:
            items.append(node.item)
            answer.paths += node.paths
        for child in node.children.values():
            below.setdefault(child.name, []).append(child)
    if items:
        answer.item = items[0] if len(items) == 1 else Item.together(items)
    for child_name, same in below.items():
        answer.children[child_name] = merged(child_name, same)
    answer.count()
    return answer
