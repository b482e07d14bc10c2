"""What ``karmor discover`` did: a trie whose nodes with more than three children become recursive directories.

Restated from ``AggregatePaths`` in ``src/common/pathAggregator.go`` of accuknox/discovery-engine (commit 0b5b734):
paths are cut into names; from the leaves up, a node with more than three children loses them and becomes a directory;
what is left as a leaf is a rule; ``/tmp`` is always a directory; a path that others lie below gets no rule of its own,
and ``/`` none at all.

Not restated: that it aggregated executables likewise (here all methods list them), that it left ``readOnly`` out, and
that one source was aggregated at a time where ``fromSource`` was on (off by default for files).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.quality.baselines.grants import Grant, Kind, assemble
from benchmarks.quality.material import Material, Use
from models.policy import Spec

__all__ = ["learn"]

THRESHOLD = 3
ALWAYS_A_DIRECTORY = "/tmp"


@dataclass
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    use: Use = field(default_factory=Use)
    directory: bool = False

    def aggregate(self) -> None:
        for child in self.children.values():
            child.aggregate()
            self.use |= child.use  # a directory's rights are those of all that it stands for
        if len(self.children) > THRESHOLD:
            self.children = {}
            self.directory = True

    def leaves(self, path: str) -> list[tuple[str, _Node]]:
        if not self.children:
            return [(path, self)]
        return [leaf for name, child in self.children.items() for leaf in child.leaves(f"{path}/{name}")]


def learn(material: Material, patterns: bool) -> Spec:
    """The policy of a workload."""
    roots: dict[str, _Node] = {}
    for path, use in material.files.items():
        names = [n for n in path.split("/") if n]
        if not names:
            continue
        node = roots.setdefault(names[0], _Node())
        if "/" + names[0] == ALWAYS_A_DIRECTORY:
            node.directory = True
        else:
            for name in names[1:]:
                node = node.children.setdefault(name, _Node())
        node.use |= use
    grants = []
    for name, root in roots.items():
        root.aggregate()
        for path, leaf in root.leaves("/" + name):
            kind, value = (Kind.TREE, path + "/") if leaf.directory else (Kind.PATH, path)
            grants.append(Grant(kind, value, leaf.use.writes))
    return assemble(material, grants, patterns=patterns)
