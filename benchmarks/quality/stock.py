"""What exists in a workload's file system, and how much of it a policy admits that nobody used.

The files lie sorted, so a directory is a range of them and a pattern's candidates are the range of its literal
beginning; only candidates are asked, and the decision function has the last word about each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from benchmarks.quality.judge import compiled, policy_of
from benchmarks.quality.material import Material
from benchmarks.quality.sensitive import is_sensitive
from models.policy import Access, Action, Op, Rule, Ruleset, Spec, Target, compile_pattern, rules
from models.policy.patterns import literal_prefix

__all__ = ["Admitted", "Stock", "admitted"]

EXAMPLES = 12
NOWHERE = "/\x01 no such file"
"""A path that only a class which is no allow-list admits, or a rule that holds for everything."""


@dataclass(frozen=True)
class Entry:
    """One existing file."""

    path: str
    packaged: bool
    sensitive: bool
    executable: bool
    uid: int | None


@dataclass
class Admitted:
    """Existing files that a policy admits beyond those that were used."""

    known: bool = True
    """False: there is no inventory, so the figures say nothing."""
    files: int = 0
    """How many exist."""
    reads: int = 0
    writes: int = 0
    reads_packaged: int = 0
    writes_packaged: int = 0
    executables: int = 0
    """Executed, not only read."""
    sensitive: list[str] = field(default_factory=list)
    """All sensitive ones that may be read or written."""
    examples: list[str] = field(default_factory=list)

    @property
    def rights(self) -> int:
        """Reads and writes together: the figure that methods are compared by."""
        return self.reads + self.writes


class Stock:
    """An index over an inventory (`models.behaviour.INVENTORY`)."""

    def __init__(self, inventory: pa.Table) -> None:
        found: dict[str, Entry] = {}
        for row in inventory.to_pylist():
            if row["object"] == "file":
                entry = _entry(row)
                found[entry.path] = entry
        self.entries = [found[path] for path in sorted(found)]
        self.paths = [e.path for e in self.entries]
        self._parents: dict[str, list[int]] = {}
        for index, path in enumerate(self.paths):
            self._parents.setdefault(path[: path.rfind("/") + 1], []).append(index)

    def __len__(self) -> int:
        return len(self.entries)

    def beginning(self, prefix: str) -> range:
        """The files whose path begins so."""
        if not prefix:
            return range(len(self.paths))
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return range(bisect_left(self.paths, prefix), bisect_left(self.paths, after))

    def _exactly(self, path: str) -> list[int]:
        at = bisect_left(self.paths, path)
        return [at] if at < len(self.paths) and self.paths[at] == path else []

    def candidates(self, rule: Rule) -> Iterable[int]:
        """The files that a rule is about."""
        if rule.match == "path":
            return self._exactly(rule.value)
        if rule.match == "dir":  # which holds for a file of its own name too
            inside = self.beginning(rule.value) if rule.recursive else self._parents.get(rule.value, [])
            return [*self._exactly(rule.value.rstrip("/")), *inside]
        if rule.match == "pattern":
            compiled = compile_pattern(rule.value)
            return [i for i in self.beginning(literal_prefix(rule.value)) if compiled.fullmatch(self.paths[i])]
        return range(len(self.paths))  # a binary by its name anywhere

    def of(self, listed: Iterable[Rule]) -> Iterator[tuple[Entry, list[str]]]:
        """The files that Allow rules are about, in order, each with the sources for whom they are."""
        found: dict[int, set[str]] = {}
        for rule in listed:
            if rule.action is not Action.BLOCK:
                for index in self.candidates(rule):
                    found.setdefault(index, set()).update(rule.sources or ("",))
        for index in sorted(found):
            yield self.entries[index], sorted(found[index])


def _entry(row: dict[str, Any]) -> Entry:
    raw = row["path_raw"]
    path = raw.decode("utf-8", "surrogateescape") if raw is not None else row["path"]
    return Entry(path, bool(row["package"]), is_sensitive(path), bool((row["mode"] or 0) & 0o111), row["uid"])


def admitted(spec: Spec, target: Target, stock: Stock, material: Material) -> Admitted:
    """What a policy admits of what exists, beyond what `material` used."""
    found = Admitted(known=len(stock) > 0, files=len(stock))
    ruleset = compiled(spec, target)
    listed = list(rules(policy_of(spec)))
    candidates = _all(stock) if _is_open(ruleset, Op.OPEN) else stock.of(r for r in listed if r.section == "file")
    examples: list[str] = []
    for entry, sources in candidates:
        use = material.files.get(entry.path)
        own = entry.uid is None or entry.uid in material.uids
        may_read = not (use and use.reads) and _may(ruleset, entry, sources, own, write=False)
        may_write = not (use and use.writes) and _may(ruleset, entry, sources, own, write=True)
        if may_read and entry.path in material.executables:
            may_read = False  # KubeArmor wants what is executed to be readable
        found.reads += may_read
        found.writes += may_write
        found.reads_packaged += may_read and entry.packaged
        found.writes_packaged += may_write and entry.packaged
        if may_read or may_write:
            examples.append(entry.path)
            if entry.sensitive:
                found.sensitive.append(entry.path)
    found.examples = examples[:: max(1, len(examples) // EXAMPLES)][:EXAMPLES]
    ran = set(material.executables)
    candidates = _all(stock) if _is_open(ruleset, Op.EXEC) else stock.of(r for r in listed if r.section == "process")
    for entry, sources in candidates:
        if entry.executable and entry.path not in ran:
            asked = (Access(op=Op.EXEC, path=entry.path, parent=s, source=s, owner_match=True) for s in sources)
            found.executables += any(ruleset.decide(a).allowed for a in asked)
    return found


def _all(stock: Stock) -> Iterator[tuple[Entry, list[str]]]:
    return ((entry, [""]) for entry in stock.entries)


def _is_open(ruleset: Ruleset, op: Op) -> bool:
    return ruleset.decide(Access(op=op, path=NOWHERE, read=True, owner_match=True)).allowed


def _may(ruleset: Ruleset, entry: Entry, sources: list[str], own: bool, *, write: bool) -> bool:
    return any(
        ruleset.decide(
            Access(op=Op.OPEN, path=entry.path, source=s, read=not write, write=write, owner_match=own)
        ).allowed
        for s in sources
    )
