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
LONG = 60
"""Paths from here on are asked one by one: KubeArmor's kernel side cuts long ones, and not only by directory."""
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

    def of(self, listed: Iterable[Rule]) -> Iterator[tuple[Entry, tuple[str, ...]]]:
        """The files that Allow rules are about, in order, each with the sources for whom they are."""
        found: dict[int, set[str]] = {}
        for rule in listed:
            if rule.action is not Action.BLOCK:
                for index in self.candidates(rule):
                    found.setdefault(index, set()).update(rule.sources or ("",))
        for index in sorted(found):
            yield self.entries[index], tuple(sorted(found[index]))

    def alone(self, listed: Iterable[Rule]) -> set[str]:
        """The files that a rule is about by name, not only by a directory above: each has a verdict of its own."""
        found: set[str] = set()
        for rule in listed:
            if rule.match == "dir":
                found.update(self.paths[i] for i in self._exactly(rule.value.rstrip("/")))
            else:
                found.update(self.paths[i] for i in self.candidates(rule))
        return found


def _entry(row: dict[str, Any]) -> Entry:
    raw = row["path_raw"]
    path = raw.decode("utf-8", "surrogateescape") if raw is not None else row["path"]
    return Entry(path, bool(row["package"]), is_sensitive(path), bool((row["mode"] or 0) & 0o111), row["uid"])


def admitted(spec: Spec, target: Target, stock: Stock, material: Material) -> Admitted:
    """What a policy admits of what exists, beyond what `material` used."""
    found = Admitted(known=len(stock) > 0, files=len(stock))
    listed = list(rules(policy_of(spec)))
    ask = _Asked(compiled(spec, target), stock.alone(r for r in listed if r.section == "file"))
    examples: list[str] = []
    candidates = _all(stock) if ask.is_open(Op.OPEN) else stock.of(r for r in listed if r.section == "file")
    ran = material.ran
    for entry, sources in candidates:
        use = material.files.get(entry.path)
        own = entry.uid is None or entry.uid in material.uids
        # KubeArmor wants what is executed to be readable
        may_read = not (use and use.reads) and entry.path not in ran and ask.opened(entry, sources, own, write=False)
        may_write = not (use and use.writes) and ask.opened(entry, sources, own, write=True)
        found.reads += may_read
        found.writes += may_write
        found.reads_packaged += may_read and entry.packaged
        found.writes_packaged += may_write and entry.packaged
        if may_read or may_write:
            examples.append(entry.path)
            if entry.sensitive:
                found.sensitive.append(entry.path)
    found.examples = examples[:: max(1, len(examples) // EXAMPLES)][:EXAMPLES]
    candidates = _all(stock) if ask.is_open(Op.EXEC) else stock.of(r for r in listed if r.section == "process")
    for entry, sources in candidates:
        if entry.executable and entry.path not in ran:
            found.executables += ask.executed(entry, sources)
    return found


def _all(stock: Stock) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    return ((entry, ("",)) for entry in stock.entries)


class _Asked:
    """A rule set asked about files; those that only directories decide about share the verdict of their directory."""

    def __init__(self, ruleset: Ruleset, alone: set[str]) -> None:
        self._ruleset = ruleset
        self._alone = alone
        self._known: dict[tuple[str, tuple[str, ...], bool, bool], bool] = {}

    def is_open(self, op: Op) -> bool:
        """Whether the class of an operation is no allow-list, or has a rule for everything."""
        return self._ruleset.decide(Access(op=op, path=NOWHERE, read=True, owner_match=True)).allowed

    def opened(self, entry: Entry, sources: tuple[str, ...], own: bool, *, write: bool) -> bool:
        """Whether any of the sources may open a file."""
        if entry.path in self._alone or len(entry.path) > LONG:
            return self._open(entry.path, sources, own, write=write)
        key = (entry.path[: entry.path.rfind("/") + 1], sources, own, write)
        if key not in self._known:
            self._known[key] = self._open(entry.path, sources, own, write=write)
        return self._known[key]

    def _open(self, path: str, sources: tuple[str, ...], own: bool, *, write: bool) -> bool:
        asked = (Access(op=Op.OPEN, path=path, source=s, read=not write, write=write, owner_match=own) for s in sources)
        return any(self._ruleset.decide(a).allowed for a in asked)

    def executed(self, entry: Entry, sources: tuple[str, ...]) -> bool:
        """Whether a file may be executed from any of the sources."""
        asked = (Access(op=Op.EXEC, path=entry.path, parent=s, source=s, owner_match=True) for s in sources)
        return any(self._ruleset.decide(a).allowed for a in asked)
