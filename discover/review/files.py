"""The files as a tree, each marked by what the policy makes of it.

- *observed*: it was used, and a rule names it exactly;
- *generalised*: it was used, and a wider rule admits it;
- *unseen*: it exists (inventory), a rule admits it, and nobody was seen to use it;
- *denied*: it was used, and the policy denies it;
- *open*: it was used, and nothing in the policy judges it; the container runtime's own start is not judged either.

What a wider rule covers is one group with examples, so that ten thousand temporary files are one line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import Phase
from models.evidence import Evidence, Seen
from models.policy import Access, Decision, Dialect, Op, Policy, Posture, Rule, Verdict, compile, rules  # noqa: A004
from models.policy.access import FILE_OPS
from models.policy.patterns import literal_prefix

if TYPE_CHECKING:
    from discover.review.make import Review

__all__ = ["MARKS", "FileNode", "admitted_unseen", "file_tree", "walk"]

MARKS = ("observed", "generalised", "unseen", "denied", "open")
_WIDE = ("dir", "pattern", "execname")


@dataclass(slots=True)
class FileNode:
    """A folder, a file, or what one wider rule covers in a folder."""

    name: str
    mark: str = ""
    """One of `MARKS`, empty for a folder."""
    sensitive: bool = False
    reads: int = 0
    """Events that read it."""
    writes: int = 0
    """Events that changed it."""
    executions: int = 0
    units: frozenset[str] = frozenset()
    rule: str = ""
    """``POLICY:FIELD`` of the rule that decided."""
    group: bool = False
    """Whether it stands for what a wider rule covers."""
    children: dict[str, FileNode] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    """At and below it: how many of each mark, and of ``sensitive`` ones."""


def walk(node: FileNode, prefix: str = "") -> Iterator[tuple[str, FileNode]]:
    """Every node below one, with its path."""
    for child in node.children.values():
        path = f"{prefix}/{child.name}" if not child.group else prefix
        yield path, child
        yield from walk(child, prefix if child.group else path)


def file_tree(review: Review) -> FileNode:
    """The tree of everything that was used or is admitted, with its totals."""
    ruleset = compile(review.policies, Posture.all("block"), Dialect.DISCOVER)
    found: dict[tuple[str, str], FileNode] = {}
    groups: dict[str, tuple[Rule, dict[str, FileNode]]] = {}
    for one in review.seen:
        access = one.access
        judged = access.op is Op.EXEC or access.op in FILE_OPS
        if not judged or not access.path.startswith("/"):
            continue
        decision = ruleset.decide(access)
        mark, rule = _mark(decision)
        if mark == "denied" and one.phases == {Phase.RUNTIME_INIT}:
            mark, rule = "open", None
        key = f"{rule.policy}:{rule.where}" if rule else ""
        if rule and rule.match in _WIDE and mark == "generalised":
            place = groups.setdefault(key, (rule, {}))[1]
            node = place.setdefault(access.path, FileNode(access.path, mark, rule=key))
        else:
            node = found.setdefault((access.path, mark), FileNode(access.path, mark, rule=key))
        node.sensitive = node.sensitive or review.sensitive(access.path)
        node.units |= one.units
        _count(node, one)
    by_where = {(r.policy, r.where): r for p in review.policies for r in rules(p)}
    for (policy, where), paths in review.unseen.items():
        key = f"{policy}:{where}"
        place = groups.setdefault(key, (by_where[(policy, where)], {}))[1]
        for path in paths:
            place.setdefault(path, FileNode(path, "unseen", review.sensitive(path), rule=key))
    root = FileNode("/")
    for (path, _), node in sorted(found.items()):
        _put(root, path, node)
    for key, (rule, nodes) in sorted(groups.items()):
        _put_group(root, key, rule, nodes)
    _total(root)
    return root


def _mark(decision: Decision) -> tuple[str, Rule | None]:
    rule = decision.rule
    if decision.verdict is Verdict.BLOCK:
        return "denied", rule
    if rule is None:
        return "open", None
    return ("generalised" if rule.match in _WIDE else "observed"), rule


def _count(node: FileNode, one: Seen) -> None:
    access = one.access
    if access.op is Op.EXEC:
        node.executions += one.count
    elif access.op is Op.OPEN and not access.write and not access.create:
        node.reads += one.count
    else:
        node.writes += one.count


def _folder(root: FileNode, parts: Sequence[str]) -> FileNode:
    for part in parts:
        root = root.children.setdefault(f"{part}/", FileNode(part))
    return root


def _put(root: FileNode, path: str, node: FileNode) -> None:
    parts = [p for p in path.split("/") if p]
    folder = _folder(root, parts[:-1])
    node.name = parts[-1] if parts else "/"
    # a path that was used as a file and as a folder, or in two ways, keeps a place for each
    folder.children[f"{node.name} {node.mark}"] = node


def _put_group(root: FileNode, key: str, rule: Rule, nodes: Mapping[str, FileNode]) -> None:
    prefix = literal_prefix(rule.value) if rule.match == "pattern" else rule.value if rule.match == "dir" else "/"
    directory = prefix.rpartition("/")[0]
    folder = _folder(root, [p for p in directory.split("/") if p])
    rest = (
        rule.value[len(directory) + 1 :] if rule.match == "pattern" else {True: "** (below)"}.get(rule.recursive, "*")
    )
    name = rule.value if rule.match == "execname" else rest
    seen = [n for n in nodes.values() if n.mark != "unseen"]
    group = FileNode(
        name,
        "generalised" if seen else "unseen",
        reads=sum(n.reads for n in seen),
        writes=sum(n.writes for n in seen),
        executions=sum(n.executions for n in seen),
        units=frozenset().union(*(n.units for n in seen)),
        rule=key,
        group=True,
    )
    for path, node in sorted(nodes.items()):
        node.name = path[len(directory) + 1 :] if path.startswith(f"{directory}/") else path
        group.children[f"{path} {node.mark}"] = node
    folder.children[f"{name} group {key}"] = group


def _total(node: FileNode) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    for child in node.children.values():
        for name, number in _total(child).items():
            totals[name] += number
    if node.mark and not node.group:
        totals[node.mark] += 1
        totals["sensitive"] += node.sensitive
    node.totals = dict(totals)
    return node.totals


def admitted_unseen(
    policies: Sequence[Policy], evidence: Evidence, seen: Iterable[Seen]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """The existing files that wider rules admit for reading and nobody was seen to use, by the rule that admits them.

    Decided by the policy's own decision function, file by file; empty where no inventory says what exists.
    """
    wide = [r for p in policies for r in rules(p) if r.section == "file" and r.match in _WIDE and r.action != "Block"]
    table = evidence.inventory
    if not wide or not table.num_rows:
        return {}
    kinds = table["object"].cast(pa.string())
    table = table.filter(pc.invert(pc.is_in(kinds, pa.array(["directory", "symlink"]))))
    used = {s.access.path for s in seen}
    ruleset = compile(policies, Posture.all("block"), Dialect.DISCOVER)
    sources = sorted({s for r in wide for s in r.sources or ()} | {""})
    names = table["path"].cast(pa.string())
    prefixes = {r.value if r.match == "dir" else literal_prefix(r.value) for r in wide}
    mask = None
    for prefix in sorted(prefixes):
        begins = pc.starts_with(names, prefix)
        mask = begins if mask is None else pc.or_(mask, begins)
    near = table.filter(mask).select(["path", "path_raw"]).to_pylist()
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in near:
        raw = row["path_raw"]
        path = raw.decode("utf-8", "surrogateescape") if raw is not None else row["path"]
        if path in used:
            continue
        for source in sources:
            access = Access(op=Op.OPEN, path=path, source=source, read=True, owner_match=True)
            decision = ruleset.decide(access)
            if decision.allowed and decision.rule is not None:
                found[(decision.rule.policy, decision.rule.where)].append(path)
                break
    return {key: tuple(sorted(set(paths))) for key, paths in sorted(found.items())}
