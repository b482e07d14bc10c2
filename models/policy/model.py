"""KubeArmorPolicy, KubeArmorHostPolicy and KubeArmorClusterPolicy (``security.kubearmor.com/v1``) as dataclasses.

Complete for the CRDs of KubeArmor v1.7.4. What a kind does not have (``presets`` on a host policy, ``device`` on a
container policy) is still an attribute here, None, and validation refuses it. Absent values are None, so that
``recursive: false`` written out and left out stay different; an empty list and an absent one mean the same everywhere
and are one value.
"""

# ruff: noqa: RUF009 - crd() returns a dataclass field

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.policy.fields import Kind, crd
from models.policy.names import CRD_CAPABILITIES, PROTOCOL_WORDS, SYSCALLS

__all__ = [
    "API_VERSION",
    "Action",
    "Capabilities",
    "CapabilityRule",
    "Device",
    "DeviceRule",
    "DnsRule",
    "File",
    "FileDirectory",
    "FilePath",
    "FilePattern",
    "MatchExpression",
    "Network",
    "NodeSelector",
    "Preset",
    "Process",
    "ProcessDirectory",
    "ProcessPath",
    "ProcessPattern",
    "ProtocolRule",
    "Selector",
    "Source",
    "Spec",
    "SyscallPathRule",
    "SyscallRule",
    "SyscallSource",
    "Syscalls",
]

API_VERSION = "security.kubearmor.com/v1"

STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}
ACTION = {"type": "string", "enum": ["Allow", "Audit", "Block"]}
SEVERITY = {"type": "integer", "minimum": 1, "maximum": 10}
PATH = {"type": "string", "pattern": r"^\/+.*[^\/]$", "maxLength": 200}
DIRECTORY = {"type": "string", "pattern": r"^\/$|^\/.*\/$"}
PATH_OR_DIRECTORY = {"type": "string", "pattern": r"(^\/+.*[^\/]$)|(^\/$|^\/.*\/$)"}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
INT32 = {"type": "integer", "format": "int32"}
SYSCALL = {"type": "string", "enum": list(SYSCALLS)}
CAPABILITY = {"type": "string", "pattern": f"({'|'.join(CRD_CAPABILITIES)})$"}
PROTOCOL = {"type": "string", "pattern": f"({'|'.join(f'{w}|{w.upper()}' for w in PROTOCOL_WORDS)})$"}
EXPRESSION_KEY = {Kind.CLUSTER: {"type": "string", "enum": ["namespace", "label"]}}
HOST = frozenset({Kind.HOST})
NOT_HOST = frozenset(Kind) - HOST


class Action(StrEnum):
    """What a rule does."""

    ALLOW = "Allow"
    AUDIT = "Audit"
    BLOCK = "Block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One ``fromSource`` entry: the executable from which the access comes."""

    path: str | None = crd("path", PATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyscallSource:
    """One ``fromSource`` entry of a system call rule: an executable or a directory of them."""

    path: str | None = crd("path", PATH)
    dir: str | None = crd("dir", STRING)
    recursive: bool | None = crd("recursive", BOOLEAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a rule takes from its section, and a section from the spec, when it says nothing itself."""

    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPath:
    """A binary, by its path or by its name anywhere (`execname`)."""

    path: str | None = crd("path", PATH)
    execname: str | None = crd("execname", {"type": "string", "pattern": r"^[^\/]+$"})
    owner_only: bool | None = crd("ownerOnly", BOOLEAN)
    pts: bool | None = crd("pts", BOOLEAN)
    allowed_args: tuple[str, ...] = crd("allowedArgs", STRING, many=True, max_items=20)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDirectory:
    """The binaries of a directory; `dir` ends with a slash."""

    dir: str | None = crd("dir", DIRECTORY, required=True)
    recursive: bool | None = crd("recursive", BOOLEAN)
    owner_only: bool | None = crd("ownerOnly", BOOLEAN)
    pts: bool | None = crd("pts", BOOLEAN)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPattern:
    """The binaries that match a glob (see `models.policy.patterns`)."""

    pattern: str | None = crd("pattern", STRING, required=True)
    owner_only: bool | None = crd("ownerOnly", BOOLEAN)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePath:
    """One file."""

    path: str | None = crd("path", PATH, required=True)
    read_only: bool | None = crd("readOnly", BOOLEAN)
    owner_only: bool | None = crd("ownerOnly", BOOLEAN)
    pts: bool | None = crd("pts", BOOLEAN)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDirectory:
    """The directory itself and its direct children, or with `recursive` everything below it."""

    dir: str | None = crd("dir", DIRECTORY, required=True)
    recursive: bool | None = crd("recursive", BOOLEAN)
    read_only: bool | None = crd("readOnly", BOOLEAN)
    owner_only: bool | None = crd("ownerOnly", BOOLEAN)
    pts: bool | None = crd("pts", BOOLEAN)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePattern:
    """The files that match a glob."""

    pattern: str | None = crd("pattern", STRING, required=True)
    read_only: bool | None = crd("readOnly", BOOLEAN)
    owner_only: bool | None = crd("ownerOnly", BOOLEAN)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolRule:
    """Sockets of a protocol or type; ``"tcp,udp"`` names several."""

    protocol: str | None = crd("protocol", PROTOCOL, required=True)
    pts: bool | None = crd("pts", BOOLEAN, kinds=NOT_HOST)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True, required=HOST)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsRule:
    """DNS queries for a domain or a name below it."""

    domain: str | None = crd("domain", STRING, required=True)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityRule:
    """A capability; ``"net_raw,sys_admin"`` names several."""

    capability: str | None = crd("capability", CAPABILITY, required=True)
    from_source: tuple[Source, ...] = crd("fromSource", model=Source, many=True, required=HOST)
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyscallRule:
    """System calls by name. Always audited, never blocked."""

    syscall: tuple[str, ...] = crd("syscall", SYSCALL, many=True)
    from_source: tuple[SyscallSource, ...] = crd("fromSource", model=SyscallSource, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyscallPathRule:
    """System calls by name on a path or directory. Always audited, never blocked."""

    path: str | None = crd("path", PATH_OR_DIRECTORY)
    recursive: bool | None = crd("recursive", BOOLEAN)
    syscall: tuple[str, ...] = crd("syscall", SYSCALL, many=True)
    from_source: tuple[SyscallSource, ...] = crd("fromSource", model=SyscallSource, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRule:
    """USB devices of a class; host policies only."""

    class_: str | None = crd("class", STRING, required=True)
    sub_class: int | None = crd("subClass", INT32)
    protocol: int | None = crd("protocol", INT32)
    level: int | None = crd("level", INT32 | {"minimum": 1})
    action: str | None = crd("action", ACTION)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A canned protection of KubeArmor (``filelessExec``, ``anonMapExec``, ``protectEnv`` and kin)."""

    name: str | None = crd("name", STRING)
    action: str | None = crd("action", ACTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process(Inherited):
    """Rules on what may be executed."""

    match_paths: tuple[ProcessPath, ...] = crd("matchPaths", model=ProcessPath, many=True)
    match_directories: tuple[ProcessDirectory, ...] = crd("matchDirectories", model=ProcessDirectory, many=True)
    match_patterns: tuple[ProcessPattern, ...] = crd("matchPatterns", model=ProcessPattern, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Inherited):
    """Rules on which files may be used."""

    match_paths: tuple[FilePath, ...] = crd("matchPaths", model=FilePath, many=True)
    match_directories: tuple[FileDirectory, ...] = crd("matchDirectories", model=FileDirectory, many=True)
    match_patterns: tuple[FilePattern, ...] = crd("matchPatterns", model=FilePattern, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(Inherited):
    """Rules on sockets and DNS queries."""

    match_protocols: tuple[ProtocolRule, ...] = crd("matchProtocols", model=ProtocolRule, many=True)
    match_dns_queries: tuple[DnsRule, ...] = crd("matchDNSQueries", model=DnsRule, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities(Inherited):
    """Rules on capabilities."""

    match_capabilities: tuple[CapabilityRule, ...] = crd("matchCapabilities", model=CapabilityRule, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Syscalls:
    """Rules on system calls: no action of their own, they are always audited."""

    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)
    match_syscalls: tuple[SyscallRule, ...] = crd("matchSyscalls", model=SyscallRule, many=True)
    match_paths: tuple[SyscallPathRule, ...] = crd("matchPaths", model=SyscallPathRule, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Inherited):
    """Rules on USB devices; host policies only."""

    match_device: tuple[DeviceRule, ...] = crd("matchDevice", model=DeviceRule, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchExpression:
    """One expression of a selector."""

    key: str | None = crd("key", {"type": "string", "enum": ["label"]}, per_kind=EXPRESSION_KEY)
    operator: str | None = crd("operator", {"type": "string", "enum": ["In", "NotIn"]})
    values: tuple[str, ...] = crd("values", STRING, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which pods a policy is for; a cluster policy has expressions only."""

    match_labels: Mapping[str, str] | None = crd("matchLabels", LABELS, kinds=frozenset({Kind.POLICY}))
    match_expressions: tuple[MatchExpression, ...] = crd("matchExpressions", model=MatchExpression, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelector:
    """Which nodes a host policy is for."""

    match_labels: Mapping[str, str] | None = crd("matchLabels", LABELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The body of a policy."""

    selector: Selector | None = crd("selector", model=Selector, kinds=NOT_HOST)
    node_selector: NodeSelector | None = crd("nodeSelector", model=NodeSelector, kinds=HOST, required=HOST)
    severity: int | None = crd("severity", SEVERITY)
    tags: tuple[str, ...] = crd("tags", STRING, many=True)
    message: str | None = crd("message", STRING)
    process: Process | None = crd("process", model=Process)
    file: File | None = crd("file", model=File)
    network: Network | None = crd("network", model=Network)
    capabilities: Capabilities | None = crd("capabilities", model=Capabilities)
    syscalls: Syscalls | None = crd("syscalls", model=Syscalls)
    device: Device | None = crd("device", model=Device, kinds=HOST)
    presets: tuple[Preset, ...] = crd("presets", model=Preset, many=True, kinds=NOT_HOST)
    apparmor: str | None = crd("apparmor", STRING)
    action: str | None = crd("action", ACTION)
