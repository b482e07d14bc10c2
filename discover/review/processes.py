"""The process tree: which executable executed which, and what each of them did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from discover.review.peers import Link
from discover.words import in_order, listed, many
from models.behaviour import Phase
from models.evidence import Seen
from models.learn.sensitive import SHELLS, TOOLS, is_scratch
from models.policy import Op
from models.policy.access import FILE_OPS

__all__ = ["Executable", "executables"]

_CHANGES = FILE_OPS - {Op.OPEN, Op.EXEC}


@dataclass(frozen=True, slots=True)
class Executable:
    """One place in the tree. An executable that was met before, higher up, has no children here."""

    path: str
    depth: int
    parent: str
    """Empty for a root."""
    executions: int
    """How often its parent executed it; 0 for a root."""
    units: tuple[str, ...]
    phases: tuple[str, ...]
    did: tuple[str, ...]
    """Sentences."""
    marks: tuple[str, ...]
    """``shell``, ``tool``, ``scratch`` (it lies where files come and go), ``session`` (only a person ran it), or
    ``runtime`` alone: the container runtime, which is in no file system of the container's."""
    again: bool = False


def executables(seen: Iterable[Seen], links: Sequence[Link]) -> tuple[Executable, ...]:
    """The executables depth first: roots are those that nobody was seen to execute."""
    by_source: dict[str, list[Seen]] = defaultdict(list)
    edges: dict[str, dict[str, int]] = defaultdict(dict)
    executed: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        by_source[one.access.source].append(one)
        if one.access.op is Op.EXEC:
            source, path = one.access.source, one.access.path
            executed[path].append(one)
            if path != source:
                edges[source][path] = edges[source].get(path, 0) + one.count
    earliest = {n: min(s.first for s in rows) for n, rows in [*executed.items(), *by_source.items()]}
    names = sorted(earliest, key=lambda n: (earliest[n], n))
    below = {child for children in edges.values() for child in children}
    roots = [n for n in names if n not in below]
    answer: list[Executable] = []
    met: set[str] = set()

    def visit(path: str, depth: int, parent: str, count: int) -> None:
        again = path in met
        met.add(path)
        rows = by_source.get(path, []) + executed.get(path, [])
        answer.append(
            Executable(
                path,
                depth,
                parent,
                count,
                tuple(sorted({u for s in rows for u in s.units})),
                in_order(p for s in rows for p in s.phases),
                () if again else tuple(_did(by_source.get(path, []), [x for x in links if x.exe == path])),
                _marks(path, rows, by_source.get(path, [])),
                again,
            )
        )
        if not again:
            for child, times in sorted(edges.get(path, {}).items()):
                visit(child, depth + 1, path, times)

    for root in roots:
        visit(root, 0, "", 0)
    for name in names:  # a circle that nobody outside it started: whoever came first began it
        if name not in met:
            visit(name, 0, "", 0)
    return tuple(answer)


def _marks(path: str, rows: Sequence[Seen], own: Sequence[Seen]) -> tuple[str, ...]:
    if not path.startswith("/") and any(Phase.RUNTIME_INIT in s.phases for s in own):
        return ("runtime",)
    name = path.rpartition("/")[2]
    stem = name.rstrip("0123456789.-")
    marks = []
    if name in SHELLS or stem in SHELLS:
        marks.append("shell")
    elif name in TOOLS or stem in TOOLS:
        marks.append("tool")
    if not path.startswith("/") or is_scratch(path.rpartition("/")[0]):
        marks.append("scratch")
    if rows and all(s.phases == {Phase.EXEC_SESSION} for s in rows):
        marks.append("session")
    return tuple(marks)


def _did(rows: Sequence[Seen], links: Sequence[Link]) -> Iterable[str]:
    scripts = sorted({s.script for s in rows if s.script})
    read = {s.access.path for s in rows if s.access.op is Op.OPEN and s.access.read and not s.access.directory}
    changed = {
        s.access.path
        for s in rows
        if (s.access.op is Op.OPEN and (s.access.write or s.access.create)) or s.access.op in _CHANGES
    }
    mapped = {s.access.path for s in rows if s.access.op is Op.MMAP_EXEC}
    capabilities = sorted({s.access.capability for s in rows if s.access.capability})
    if scripts:
        yield f"executed the scripts {listed(scripts, 5)}"
    if read:
        yield f"read {many(len(read), 'file')} in {listed(_folders(read), 5)}"
    if changed:
        yield f"changed {many(len(changed), 'file')} in {listed(_folders(changed), 5)}"
    if mapped:
        yield f"mapped {many(len(mapped), 'file')} for execution"
    for kind in ("listens on", "is called by", "connects to", "sends to"):
        peers = [x.peer for x in links if x.kind == kind]
        if peers:
            yield f"{kind} {listed(peers, 5)}"
    if capabilities:
        yield f"used {listed(capabilities, 8)}"


def _folders(paths: Iterable[str]) -> list[str]:
    """The folders, the fullest first."""
    counts: dict[str, int] = defaultdict(int)
    for path in paths:
        counts[path.rpartition("/")[0] or "/"] += 1
    return sorted(counts, key=lambda f: (-counts[f], f))
