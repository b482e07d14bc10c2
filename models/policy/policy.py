"""The three policy kinds, and their rules with everything inherited filled in.

`rules` is what decisions, limits and tables read: it knows that action, severity, tags and message come from the rule,
else its section, else the spec, and that an action missing everywhere is Block (KubeArmor v1.7.4,
``core/kubeUpdate.go``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from models.policy.fields import Kind, from_document, to_document
from models.policy.model import API_VERSION, Action, Spec
from models.policy.names import split_names

__all__ = [
    "KINDS",
    "KubeArmorClusterPolicy",
    "KubeArmorHostPolicy",
    "KubeArmorPolicy",
    "Metadata",
    "Policy",
    "Rule",
    "rules",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The Kubernetes object metadata that people write, and in `extra` whatever else there was."""

    name: str = ""
    namespace: str | None = None
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return plain data, absent fields left out."""
        known = {"name": self.name or None, "namespace": self.namespace}
        maps = {"labels": self.labels, "annotations": self.annotations}
        document: dict[str, Any] = {k: v for k, v in known.items() if v is not None}
        document |= {k: dict(v) for k, v in maps.items() if v is not None}
        return document | dict(self.extra)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read plain data."""
        known = {k: document[k] for k in ("name", "namespace", "labels", "annotations") if k in document}
        return cls(**known, extra={k: v for k, v in document.items() if k not in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy of any kind; use one of the three subclasses to make one."""

    kind: ClassVar[Kind]
    metadata: Metadata = field(default_factory=Metadata)
    spec: Spec = field(default_factory=Spec)
    status: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    def to_document(self) -> dict[str, Any]:
        """Return plain data as the API server takes it."""
        document = {
            "apiVersion": API_VERSION,
            "kind": self.kind.value,
            "metadata": self.metadata.to_document(),
            "spec": to_document(self.spec),
        }
        return document if self.status is None else document | {"status": dict(self.status)}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Policy:
        """Build a policy from plain data that is already validated (see `models.policy.validate`)."""
        return KINDS[Kind(document["kind"])](
            metadata=Metadata.from_document(document.get("metadata") or {}),
            spec=from_document(Spec, document.get("spec") or {}),
            status=document.get("status"),
        )


class KubeArmorPolicy(Policy):
    """A policy for the pods that its labels select, in one namespace."""

    __slots__ = ()
    kind = Kind.POLICY


class KubeArmorHostPolicy(Policy):
    """A policy for the processes of the nodes that its labels select."""

    __slots__ = ()
    kind = Kind.HOST


class KubeArmorClusterPolicy(Policy):
    """A policy for pods in many namespaces."""

    __slots__ = ()
    kind = Kind.CLUSTER


KINDS: dict[Kind, type[Policy]] = {c.kind: c for c in (KubeArmorPolicy, KubeArmorHostPolicy, KubeArmorClusterPolicy)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a policy, inheritance applied."""

    policy: str
    section: str
    """``process``, ``file``, ``network``, ``capabilities`` or ``syscalls``."""
    match: str
    """``path``, ``execname``, ``dir``, ``pattern``, ``protocol``, ``domain``, ``capability`` or ``syscall``."""
    value: str
    where: str
    """The field path in the policy, ``spec.file.matchPaths[3]``."""
    action: Action
    recursive: bool = False
    read_only: bool = False
    owner_only: bool = False
    no_terminal: bool = False
    """``pts: false``: not from a terminal."""
    allowed_args: tuple[str, ...] = ()
    sources: tuple[str, ...] | None = None
    """None: from anywhere. An empty text stands for an entry without a path."""
    severity: int | None = None
    tags: tuple[str, ...] = ()
    message: str = ""
    path: str = ""
    """Of a system call rule: the path or directory it is about."""


_LISTS = {
    "process": ("match_paths", "match_directories", "match_patterns"),
    "file": ("match_paths", "match_directories", "match_patterns"),
    "network": ("match_protocols", "match_dns_queries"),
    "capabilities": ("match_capabilities",),
}
_FIELD = {
    "match_paths": "matchPaths",
    "match_directories": "matchDirectories",
    "match_patterns": "matchPatterns",
    "match_protocols": "matchProtocols",
    "match_dns_queries": "matchDNSQueries",
    "match_capabilities": "matchCapabilities",
}
_VALUE = ("execname", "path", "dir", "pattern", "protocol", "domain", "capability")


def rules(policy: Policy) -> Iterator[Rule]:
    """Yield the rules of a policy in the order in which KubeArmor applies them, one for each name in a list of names.

    Device and preset rules are not among them: no access of a workload is judged by them here.
    """
    for section_name, lists in _LISTS.items():
        section = getattr(policy.spec, section_name)
        if section is None:
            continue
        for attribute in lists:
            for index, item in enumerate(getattr(section, attribute)):
                where = f"spec.{section_name}.{_FIELD[attribute]}[{index}]"
                yield from _expand(policy, section_name, section, item, where)
    if policy.spec.syscalls is not None:
        yield from _syscall_rules(policy)


def _expand(policy: Policy, section_name: str, section: Any, item: Any, where: str) -> Iterator[Rule]:
    match = next((m for m in _VALUE if getattr(item, m, None)), None)
    if match is None:
        return
    value = getattr(item, match)
    names = split_names(value) if match in ("protocol", "domain", "capability") else (value,)
    chain = (item, section, policy.spec)
    shared: dict[str, Any] = {
        "policy": policy.name,
        "section": section_name,
        "match": match,
        "where": where,
        "action": Action(next((c.action for c in chain if c.action), "Block")),
        "severity": next((c.severity for c in chain if c.severity), None),
        "tags": next((c.tags for c in chain if c.tags), ()),
        "message": next((c.message for c in chain if c.message), ""),
        "recursive": bool(getattr(item, "recursive", False)),
        "read_only": bool(getattr(item, "read_only", False)),
        "owner_only": bool(getattr(item, "owner_only", False)),
        "no_terminal": getattr(item, "pts", None) is False,
        "allowed_args": getattr(item, "allowed_args", ()),
        "sources": tuple(s.path or "" for s in getattr(item, "from_source", ())) or None,
    }
    for name in names:
        yield Rule(value=name, **shared)


def _syscall_rules(policy: Policy) -> Iterator[Rule]:
    syscalls = policy.spec.syscalls
    assert syscalls is not None  # noqa: S101 - checked by the caller
    chain = (syscalls, policy.spec)
    shared: dict[str, Any] = {
        "policy": policy.name,
        "section": "syscalls",
        "match": "syscall",
        "action": Action.AUDIT,
        "severity": next((c.severity for c in chain if c.severity), None),
        "tags": next((c.tags for c in chain if c.tags), ()),
        "message": next((c.message for c in chain if c.message), ""),
    }
    lists: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("matchSyscalls", syscalls.match_syscalls),
        ("matchPaths", syscalls.match_paths),
    )
    for field_name, items in lists:
        for index, item in enumerate(items):
            sources = tuple(_syscall_source(s.path, s.dir, s.recursive) for s in item.from_source) or None
            for name in item.syscall:
                yield Rule(
                    value=name,
                    where=f"spec.syscalls.{field_name}[{index}]",
                    path=getattr(item, "path", None) or "",
                    recursive=bool(getattr(item, "recursive", False)),
                    sources=sources,
                    **shared,
                )


def _syscall_source(path: str | None, directory: str | None, recursive: bool | None) -> str:
    """Write a source as one text: a file, ``dir/`` for its direct children, ``dir/**`` for everything below."""
    if path or not directory:
        return path or ""
    return directory.rstrip("/") + ("/**" if recursive else "/")
