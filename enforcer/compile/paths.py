"""Exact paths, directories and names as one automaton: a trie of bytes with a way out of each directory.

What is known of a path before its last byte is the directory it is in. So entering a directory sets the *context*: the
state for all that the trie does not name below it, where a further slash leads to what only recursive rules say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from enforcer.compile.automaton import ACCEPT, CONTEXT, LOOP, SLASH, STOP, Automata
from enforcer.compile.outcomes import Outcomes
from models.policy import Cell, PathTable

__all__ = ["Record", "Records", "Sources", "as_bytes", "names", "paths", "sources"]


def as_bytes(text: str) -> bytes:
    """A path as the kernel has it."""
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Record:
    """What the keys at the end of one path say: parts, first of the path (or name) itself, then of directories."""

    itself: int = 0
    directories: int = 0
    from_sources: tuple[tuple[int, int, int], ...] = ()
    """(number of the source, part of the path, part of the directories), in the order of the numbers."""


class Records:
    """Records, each once; number 0 is the one that says nothing."""

    def __init__(self) -> None:
        self.all: list[Record] = [Record()]
        self._places: dict[Record, int] = {Record(): 0}

    def place(self, record: Record) -> int:
        """The number of a record."""
        number = self._places.setdefault(record, len(self.all))
        if number == len(self.all):
            self.all.append(record)
        return number


class Sources:
    """Executables that ``fromSource`` names, numbered from 1; 0 is any other."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.numbers = {path: n for n, path in enumerate(sorted(set(paths) - {""}), 1)}

    def __len__(self) -> int:
        return len(self.numbers)


Chains = Mapping[str, tuple[Cell, ...]]
"""By source ("" is any): the cells of directories, deepest first."""


@dataclass(frozen=True, slots=True)
class _Context:
    """What holds inside a directory for what the trie does not name."""

    children: Chains = field(default_factory=dict)
    """For its direct children."""
    below: Chains = field(default_factory=dict)
    """For everything deeper."""
    state: int = 0


class _Builder:
    def __init__(self, automata: Automata, outcomes: Outcomes, records: Records, sources: Sources) -> None:
        self.automata, self.outcomes, self.records, self.sources = automata, outcomes, records, sources
        self.exact: dict[int, dict[str, Cell]] = {}
        self.directories: dict[int, dict[str, Cell]] = {}
        self._sinks: dict[tuple[int, int], int] = {}

    def insert(self, root: int, text: str) -> int:
        """The state at the end of a text, made if there is none."""
        rows = self.automata.rows
        state = root
        for byte in as_bytes(text):
            following = rows[state].get(byte)
            if following is None:
                following = rows[state][byte] = self.automata.add()
            state = following
        return state

    def record(self, exact: Mapping[str, Cell], chains: Chains) -> int:
        """The number of what these keys say."""
        part = self.outcomes.part
        own = {s: (exact[s],) for s in exact}
        asked = sorted(self.sources.numbers[s] for s in {*exact, *chains} if s)
        by_number = {n: s for s, n in self.sources.numbers.items()} if asked else {}
        from_sources = []
        for number in asked:
            source = by_number[number]
            parts = part(own.get(source, ())), part(chains.get(source, ()))
            if parts != (0, 0):
                from_sources.append((number, *parts))
        return self.records.place(Record(part(own.get("", ())), part(chains.get("", ())), tuple(from_sources)))

    def enter(self, state: int, outside: _Context) -> _Context:
        """The context inside the directory that ends at `state`; sets its column."""
        cells = self.directories.get(state)
        if not cells:
            inside = _Context(outside.below, outside.below, self._sink(outside.below, outside.below, outside))
        else:
            children, below = dict(outside.below), dict(outside.below)
            for source, cell in cells.items():
                above = outside.below.get(source, ())
                children[source] = (cell, *above)
                if recursive := [r for r in cell.rules if r.recursive]:
                    below[source] = (cell if len(recursive) == len(cell.rules) else Cell(recursive), *above)
            inside = _Context(children, below, self._sink(children, below, outside))
        if inside.state != outside.state:
            self.automata.rows[state][CONTEXT] = inside.state
        return inside

    def _sink(self, children: Chains, below: Chains, outside: _Context) -> int:
        deep = self.record({}, below) if below else 0
        shallow = deep if children is below else self.record({}, children)
        if not deep and not shallow and not outside.state:
            return 0  # nothing holds here, nor did outside
        state = self._sinks.get((shallow, deep))
        if state is None:
            state = self.automata.add(STOP if shallow == deep else LOOP)
            self._sinks[shallow, deep] = state
            self.automata.rows[state][ACCEPT] = shallow
            if shallow != deep:
                end = self._sinks.get((deep, deep))
                if end is None:
                    end = self._sinks[deep, deep] = self.automata.add(STOP)
                    self.automata.rows[end][ACCEPT] = deep
                self.automata.rows[state][SLASH] = end
        return state

    def ends(self, state: int, inside: _Context) -> None:
        """Say what it means that a path ends at `state`, in a directory whose context is `inside`."""
        exact = self.exact.get(state, {})
        itself = self.directories.get(self.automata.rows[state].get(SLASH, 0), {})
        if not exact and not itself:
            return  # as anything else that the trie does not name here
        chains = dict(inside.children)
        for source, cell in itself.items():
            chains[source] = (cell, *inside.children.get(source, ()))
        self.automata.rows[state][ACCEPT] = self.record(exact, chains)

    def finish(self, root: int) -> None:
        """Set contexts and ends below `root`, once everything is inserted."""
        rows = self.automata.rows
        pending = [(root, _Context())]
        while pending:
            state, inside = pending.pop()
            children = [(byte, child) for byte, child in rows[state].items() if byte < 256]
            if state != root:
                self.ends(state, inside)
            for byte, child in children:
                if byte != SLASH:
                    pending.append((child, inside))
                    continue
                context = self.enter(child, inside)
                if state == root:  # "/" itself: it has nothing above it
                    own = {s: (c,) for s, c in self.directories.get(child, {}).items()}
                    rows[child][ACCEPT] = self.record(self.exact.get(child, {}), own)
                    pending += [(below, context) for byte, below in rows[child].items() if byte < 256 and byte != SLASH]
                else:
                    pending.append((child, context))


def paths(table: PathTable, automata: Automata, outcomes: Outcomes, records: Records, sources: Sources) -> int:
    """The start of the automaton of a table's paths and directories; 0 if it has none."""
    if not table.exact and not table.directories:
        return 0
    builder = _Builder(automata, outcomes, records, sources)
    root = automata.add()
    for (path, source), cell in table.exact.items():
        builder.exact.setdefault(builder.insert(root, path), {})[source] = cell
    for (path, source), cell in table.directories.items():
        builder.directories.setdefault(builder.insert(root, path), {})[source] = cell
    if SLASH not in automata.rows[root]:
        builder.insert(root, "/")
    builder.finish(root)
    return root


def names(table: PathTable, automata: Automata, outcomes: Outcomes, records: Records, sources: Sources) -> int:
    """The start of the automaton of ``execname`` rules, which reads a path's last name; 0 if there are none."""
    if not table.names:
        return 0
    builder = _Builder(automata, outcomes, records, sources)
    root = automata.add()
    for (name, source), cell in table.names.items():
        builder.exact.setdefault(builder.insert(root, name), {})[source] = cell
    for state, cells in builder.exact.items():
        automata.rows[state][ACCEPT] = builder.record(cells, {})
    return root


def sources(numbers: Sources, automata: Automata) -> int:
    """The start of the automaton that tells a source's number from an executable's path; 0 if there are none."""
    if not len(numbers):
        return 0
    root = automata.add()
    for path, number in numbers.numbers.items():
        state = root
        for byte in as_bytes(path):
            row = automata.rows[state]
            state = row[byte] if byte in row else row.setdefault(byte, automata.add())
        automata.rows[state][ACCEPT] = number
    return root
