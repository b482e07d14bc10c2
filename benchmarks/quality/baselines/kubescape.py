"""Kubescape's application profiles: a directory with more than 50 names becomes one that any name fits.

Restated from ``pkg/registry/file/dynamicpathdetector`` of kubescape/storage (commit b35788b): every open is put into a
trie twice, first to count, then to be named. A node with more than 50 children (100 directly below ``/etc``) trades
them for a single one that stands for any one name; what lay below them is merged. Neighbouring ones become one that
stands for any number of names. Files of the image (its SBOM) stay literal, and a literal that a pattern holds is
dropped.

Here the SBOM is the inventory's files with a package; the modes are kept by rule as Kubescape keeps flags. Operations
other than opens, which its profiles do not have, count as writes to their path.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.quality.baselines.grants import Grant, Kind, assemble, escaped
from benchmarks.quality.material import Material, Use
from models.policy import Spec

__all__ = ["collapsed", "learn"]

THRESHOLDS = {"/etc": 100, "/etc/apache2": 50, "/opt": 50, "/var/run": 50, "/app": 50}
THRESHOLD = 50
ANY = "\0any"
"""A name that no file has: stands for any one name."""


@dataclass
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    count: int = 0

    def child(self, name: str) -> _Node:
        if ANY in self.children:
            return self.children[ANY]
        if name not in self.children:
            self.count += 1
            self.children[name] = _Node()
        return self.children[name]

    def collapse(self, threshold: int) -> None:
        if self.count <= threshold or ANY in self.children:
            return
        merged = _Node()
        for child in self.children.values():
            _merge(child, merged)
        merged.count = len(merged.children)
        self.children = {ANY: merged}


def _merge(source: _Node, into: _Node) -> None:
    for name, child in source.children.items():
        if name in into.children:
            _merge(child, into.children[name])
        else:
            into.children[name] = child


def _threshold(path: str) -> int:
    best = max((p for p in THRESHOLDS if path == p or path.startswith(p + "/")), key=len, default="")
    return THRESHOLDS.get(best, THRESHOLD)


def _walk(root: _Node, path: str) -> list[str]:
    """The names of a path as the trie has them by now."""
    node, names, at = root, [], ""
    for name in path.split("/")[1:]:
        literal = ANY not in node.children
        node = node.child(name)
        names.append(name if literal else ANY)
        at = f"{at}/{name}"
        node.collapse(_threshold(at))
    return names


def collapsed(paths: list[str]) -> dict[str, list[str]]:
    """What each path is called in the profile: its names, `ANY` for one that any name fits."""
    root = _Node()
    for path in paths:
        _walk(root, path)
    return {path: _walk(root, path) for path in paths}


def _pattern(names: list[str]) -> str:
    out, index = "", 0
    while index < len(names):
        run = 0
        while index + run < len(names) and names[index + run] == ANY:
            run += 1
        if run == 0:
            out += "/" + escaped(names[index])
        elif run == 1:
            out += "/*"
        elif index + run == len(names):
            out += "/**"
        else:
            out += "{,/**}"
        index += run or 1
    return out


def learn(material: Material, patterns: bool) -> Spec:
    """The policy of a workload."""
    grants = []
    uses: dict[str, Use] = {}
    named = collapsed(list(material.files))
    for path, use in material.files.items():
        if ANY not in named[path] or path in material.image_files:
            grants.append(Grant(Kind.PATH, path, use.writes))
        else:
            pattern = _pattern(named[path])
            uses[pattern] = uses.get(pattern, Use()) | use
    grants += [Grant(Kind.PATTERN, pattern, use.writes) for pattern, use in uses.items()]
    return assemble(material, grants, patterns=patterns)
