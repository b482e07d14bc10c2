"""What a baseline grants on files, and the policy that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from benchmarks.quality.material import Material
from models.policy import (
    LIMITS,
    Access,
    Capabilities,
    CapabilityRule,
    File,
    FileDirectory,
    FilePath,
    FilePattern,
    Network,
    PolicyClass,
    Process,
    ProcessPath,
    ProtocolRule,
    Source,
    Spec,
    Target,
    compile_pattern,
)
from models.policy.patterns import SPECIAL, literal_prefix

__all__ = ["Grant", "Kind", "assemble", "escaped"]

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 262: "tcp"}
_USUAL = {1: "tcp", 2: "udp", 3: "raw", 4: "rdm", 5: "sctp", 6: "dccp", 10: "packet"}
"""What a type means where no protocol is given."""


class Kind(StrEnum):
    """What a grant holds for."""

    PATH = "path"
    CHILDREN = "children"
    """A directory and what lies directly in it; the value ends with a slash."""
    TREE = "tree"
    """A directory and everything below it; the value ends with a slash."""
    PATTERN = "pattern"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """Files that may be used."""

    kind: Kind
    value: str
    writes: bool
    """Also for anything but reading."""
    source: str = ""
    """The executable that may; empty for all."""


def escaped(text: str) -> str:
    """`text` as a pattern that matches it alone."""
    return "".join("\\" + c if c in SPECIAL else c for c in text)


def assemble(material: Material, grants: Iterable[Grant], *, patterns: bool, union: bool = True) -> Spec:
    """The policy for some grants.

    Without `patterns`, a pattern becomes the nearest directory, and what is too long for KubeArmor's kernel side the
    nearest directory that is not; executables are listed under the files too, which KubeArmor asks for. With `union`
    (the methods whose own enforcer adds up all rules on a path) a grant that a wider one holds is left out, since here
    the most specific rule decides alone.
    """
    found = list(grants)
    if not patterns:
        found = [_fitted(g) for g in found]
        found += [Grant(Kind.PATH, path, writes=False) for path in material.executables]
    merged: dict[tuple[Kind, str, str], Grant] = {}
    for grant in found:
        kind, value = grant.kind, grant.value
        if kind is Kind.PATH and value == "/":
            kind = Kind.CHILDREN
        known = merged.get((kind, value, grant.source))
        merged[kind, value, grant.source] = replace(
            grant, kind=kind, value=value, writes=grant.writes or bool(known and known.writes)
        )
    for kind, value, source in [k for k in merged if k[0] is Kind.CHILDREN]:
        tree = merged.get((Kind.TREE, value, source))
        if tree is not None:  # one key for both: the wider one it is
            merged[Kind.TREE, value, source] = replace(tree, writes=tree.writes or merged[kind, value, source].writes)
            del merged[kind, value, source]
    kept = sorted(merged.values())
    return _spec(material, _without_covered(kept) if union else kept)


def _fitted(grant: Grant) -> Grant:
    limits = LIMITS[Target.PORTABLE]
    kind, value = grant.kind, grant.value
    if kind is Kind.PATTERN:
        prefix = literal_prefix(value)
        directory = prefix[: prefix.rfind("/") + 1]
        rest = value[len(directory) :]
        kind, value = (Kind.TREE if "/" in rest or "**" in rest else Kind.CHILDREN), directory
    most = limits.path_bytes if kind is Kind.PATH else limits.directory_bytes
    while len(value.encode("utf-8", "surrogateescape")) > (most or 0) or value.count("/") > (limits.components or 0):
        value, kind, most = value[: value.rstrip("/").rfind("/") + 1], Kind.TREE, limits.directory_bytes
    return replace(grant, kind=kind, value=value)


def _without_covered(grants: Sequence[Grant]) -> list[Grant]:
    """Drop what another grant holds with at least the same rights."""
    trees = {g.value: g for g in grants if g.kind is Kind.TREE}
    children = {g.value: g for g in grants if g.kind is Kind.CHILDREN}
    patterns = [(g, compile_pattern(g.value)) for g in grants if g.kind is Kind.PATTERN]

    def covered(grant: Grant) -> bool:
        text = literal_prefix(grant.value) if grant.kind is Kind.PATTERN else grant.value
        itself = text if text.endswith("/") else text + "/"
        wider = []
        if grant.kind is Kind.PATH:
            parent = text[: text.rfind("/") + 1]
            wider += [trees.get(itself), children.get(itself), children.get(parent)]
            wider += [p for p, compiled in patterns if compiled.fullmatch(text)]
        directory = text.rstrip("/")
        while directory:
            directory = directory[: directory.rfind("/")]
            wider.append(trees.get(directory + "/"))
        return any(w is not None and w is not grant and w.writes >= grant.writes for w in wider)

    return [g for g in grants if not covered(g)]


def _spec(material: Material, grants: Sequence[Grant]) -> Spec:
    sources: dict[tuple[Kind, str, bool], set[str]] = {}
    for grant in grants:
        sources.setdefault((grant.kind, grant.value, grant.writes), set()).add(grant.source)
    paths, directories, patterns = [], [], []
    for (kind, value, writes), names in sorted(sources.items()):
        origin = () if "" in names else tuple(Source(path=n) for n in sorted(names))
        read_only = None if writes else True
        if kind is Kind.PATH:
            paths.append(FilePath(path=value, read_only=read_only, from_source=origin))
        elif kind is Kind.PATTERN:
            patterns.append(FilePattern(pattern=value, read_only=read_only))
        else:
            recursive = True if kind is Kind.TREE else None
            directories.append(FileDirectory(dir=value, recursive=recursive, read_only=read_only, from_source=origin))
    protocols = sorted({_protocol(s.access) for s in material.seen if s.access.policy_class is PolicyClass.NETWORK})
    held = sorted({s.access.capability for s in material.seen if s.access.policy_class is PolicyClass.CAPABILITIES})
    file = File(
        match_paths=tuple(paths), match_directories=tuple(directories), match_patterns=tuple(patterns), action="Allow"
    )
    process = Process(match_paths=tuple(ProcessPath(path=p) for p in material.executables), action="Allow")
    network = Network(match_protocols=tuple(ProtocolRule(protocol=p) for p in protocols), action="Allow")
    capabilities = Capabilities(match_capabilities=tuple(CapabilityRule(capability=c) for c in held), action="Allow")
    return Spec(
        process=process if material.executables else None,
        file=file if grants else None,
        network=network if protocols else None,
        capabilities=capabilities if held else None,
    )


def _protocol(access: Access) -> str:
    return _PROTOCOLS.get(access.protocol) or _USUAL.get(access.type, "all")
