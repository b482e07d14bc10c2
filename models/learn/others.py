"""The rules of processes, sockets and capabilities: exactly what was used, from where it was used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.accesses import Seen
from models.learn.result import LearnedRule, RuleEvidence, Why
from models.learn.running import RUNNING
from models.learn.sensitive import SHELLS, TOOLS
from models.learn.shapes import escape
from models.policy.access import NETWORK_OPS, Access, Op
from models.policy.decision import Dialect, compile  # noqa: A004
from models.policy.limits import LIMITS, Target
from models.policy.model import (
    Capabilities,
    CapabilityRule,
    Network,
    Process,
    ProcessDirectory,
    ProcessPath,
    ProcessPattern,
    ProtocolRule,
    Source,
    Spec,
)
from models.policy.names import CAPABILITIES, CRD_CAPABILITIES
from models.policy.policy import KubeArmorPolicy, Metadata
from models.policy.posture import Posture

__all__ = ["SECTIONS", "Gathered", "capability_rules", "closing", "dialect_of", "network_rules", "process_rules"]

_STARTING = frozenset({"start-up", "runtime-init"})
_UNITS = 3
"""Units that have to agree before a rule says from where."""
_WORDS = ("tcp", "udp", "icmp", "icmpv6", "sctp", "raw", "stream", "dgram", "seqpacket", "rdm", "dccp", "packet", "all")
_CLOSING = ("tcp", "udp", "icmp", "raw")


def dialect_of(target: Target) -> Dialect:
    """Whose decisions tell what a policy does on a target; AppArmor's are those of the written semantics."""
    if target in (Target.KUBEARMOR_BPFLSM, Target.PORTABLE):
        return Dialect.KUBEARMOR_BPFLSM
    return Dialect.DISCOVER


@dataclass
class Gathered:
    """The evidence for one rule while it is being gathered."""

    behaviours: int = 0
    count: int = 0
    units: set[str] = field(default_factory=set)
    phases: set[str] = field(default_factory=set)
    sources: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Units by where it came from."""
    first: datetime | None = None
    last: datetime | None = None

    def add(self, one: Seen, source: str) -> None:
        """Count one more access in."""
        self.behaviours += 1
        self.count += one.count
        self.units |= one.units
        self.phases |= one.phases
        self.sources[source] |= one.units
        self.first = one.first if self.first is None else min(self.first, one.first)
        self.last = one.last if self.last is None else max(self.last, one.last)

    def evidence(self, why: Why = Why.SEEN, note: str = "", examples: tuple[str, ...] = ()) -> RuleEvidence:
        """What a person is told."""
        return RuleEvidence(
            why=why,
            behaviours=self.behaviours,
            count=self.count,
            units=tuple(sorted(self.units)),
            phases=tuple(sorted(self.phases)),
            executables=tuple(sorted(s for s in self.sources if s)),
            first=self.first,
            last=self.last,
            examples=examples,
            note=note,
        )

    def closed(self, units: Sequence[str]) -> bool:
        """Whether each place that it came from was seen in several units, so that a new one would be news."""
        return len(units) >= _UNITS and all(s and len(by) >= min(_UNITS, len(units)) for s, by in self.sources.items())


def process_rules(seen: Iterable[Seen], units: Sequence[str], target: Target) -> tuple[list[LearnedRule], list[str]]:
    """A rule for each executable that ran, and what no rule can hold."""
    gathered: dict[str, Gathered] = defaultdict(Gathered)
    scripts: dict[str, set[str]] = defaultdict(set)
    memory: set[str] = set()
    for one in seen:
        access = one.access
        if access.op is not Op.EXEC:
            continue
        if not _has_name(access.path):
            memory.add(access.source)
            continue
        gathered[access.path].add(one, access.parent)
        if one.script.startswith("/") and one.script != access.path:
            gathered[one.script].add(one, access.parent)
            scripts[one.script].add(access.path)
    rules = []
    warnings = [
        f"{source} executes a file without a name (memfd, detached mount): no rule can list it"
        for source in sorted(memory)
    ]
    for path in sorted(gathered):
        found = gathered[path]
        name = path.rpartition("/")[2]
        tool = name in TOOLS or name.rstrip("0123456789.-") in TOOLS
        parents = set(found.sources)
        # a parent that the workload itself does not execute is the container runtime: its path says nothing
        known = parents <= gathered.keys() and found.closed(units)
        origin = _origins(parents) if tool and known and path not in parents else ()
        # a recorded execution has a source; one that is known from what ran afterwards has none
        unseen = set(found.sources) == {""}
        note = "a shell" if name in SHELLS else "a script" if path in scripts else RUNNING if unseen else ""
        evidence = found.evidence(note=note)
        if name in SHELLS and target is not Target.DISCOVER and found.phases <= _STARTING:
            later = f"{target} cannot tell that from an intruder's shell later"
            warnings.append(f"{path} ran only while the workload started, and {later}")
        if _is_path(path):
            rules.append(LearnedRule("process", "match_paths", ProcessPath(path=path, from_source=origin), evidence))
        elif LIMITS[target].patterns:
            pattern = ProcessPattern(pattern=escape(path))
            rules.append(LearnedRule("process", "match_patterns", pattern, evidence))
        else:
            warnings.append(f"{path!r} was executed, and {target} has no rule that can name it")
    return rules, warnings


def _origins(sources: Iterable[str]) -> tuple[Source, ...]:
    """From where, as a rule says it: nothing where one source has no path that a rule can name (a memfd)."""
    named = sorted(sources)
    return tuple(Source(path=s) for s in named) if all(map(_nameable, named)) else ()


def _host_origins(sources: Iterable[str], what: str) -> tuple[tuple[Source, ...], list[str]]:
    """The sources that a host policy can name, and a word about each that it cannot."""
    named = sorted(s for s in sources if _nameable(s))
    others = sorted(s for s in sources if not _nameable(s))
    return tuple(Source(path=s) for s in named), [
        f"{s or 'an executable without a name'} {what}, and a host policy can only allow that from a path"
        for s in others
    ]


def _nameable(source: str) -> bool:
    return _has_name(source) and _is_path(source)


def _has_name(path: str) -> bool:
    """Whether what was executed has one: not a memfd, nor the root of a detached mount, as runc makes of itself."""
    return len(path) > 1 and path.startswith("/")


def _is_path(path: str) -> bool:
    return len(path.encode("utf-8", "surrogateescape")) <= 199 and path.isprintable()


def _narrowed(found: Gathered, units: Sequence[str], everywhere: set[str]) -> tuple[Source, ...]:
    """From where, if the evidence supports that it is from there alone."""
    return _origins(found.sources) if found.closed(units) and set(found.sources) < everywhere else ()


def _host_narrowed(found: Gathered, what: str, warnings: list[str]) -> tuple[Source, ...]:
    """From where, which a host's rule has to say; `warnings` gains what no rule can."""
    origin, said = _host_origins(found.sources, what)
    warnings += said
    return origin


def network_rules(
    seen: Iterable[Seen], units: Sequence[str], target: Target, *, host: bool = False
) -> tuple[list[LearnedRule], list[str]]:
    """The fewest protocols and types that let every socket be made that was made, each from where it was made.

    A `host` policy has to say from where in each rule (the CRD of KubeArmorHostPolicy requires ``fromSource``).
    """
    gathered: dict[str, Gathered] = defaultdict(Gathered)
    examples: dict[str, set[str]] = defaultdict(set)
    words: dict[tuple[Any, ...], str | None] = {}
    unnamed: set[str] = set()
    dialect = dialect_of(target)
    for one in seen:
        access = one.access
        if access.op not in NETWORK_OPS or access.op is Op.SEND:
            continue
        key = (access.family, access.type, access.protocol)
        if key not in words:
            words[key] = _word(access, dialect)
        word = words[key]
        if word is None:
            unnamed.add(f"family {access.family} type {access.type} protocol {access.protocol}")
            continue
        gathered[word].add(one, access.source)
        examples[word].add(str(access.op))
    everywhere = {s for found in gathered.values() for s in found.sources} | {
        one.access.source for one in seen if one.access.op is Op.EXEC
    }
    rules = []
    warnings = [f"no protocol rule allows sockets of {name}" for name in sorted(unnamed)]
    for word in sorted(gathered, key=_WORDS.index):
        found = gathered[word]
        origin = _narrowed(found, units, everywhere) if not host else _host_narrowed(found, f"used {word}", warnings)
        if host and not origin:
            continue
        evidence = found.evidence(examples=tuple(sorted(examples[word])))
        rules.append(
            LearnedRule("network", "match_protocols", ProtocolRule(protocol=word, from_source=origin), evidence)
        )
    return rules, warnings


def _word(access: Access, dialect: Dialect) -> str | None:
    """The first protocol or type whose rule alone allows a socket, by the decision function."""
    asked = Access(
        op=Op.SOCKET,
        source=access.source,
        family=access.family,
        type=access.type,
        protocol=access.protocol,
    )
    for word in _WORDS:
        spec = Spec(network=Network(match_protocols=(ProtocolRule(protocol=word, action="Allow"),)))
        policy = KubeArmorPolicy(metadata=Metadata(name="x"), spec=spec)
        ruleset = compile([policy], Posture.all("block"), dialect)
        if ruleset.decide(access).allowed and ruleset.decide(asked).allowed:
            return word
    return None


def capability_rules(
    seen: Iterable[Seen], units: Sequence[str], target: Target, *, host: bool = False
) -> tuple[list[LearnedRule], list[str]]:
    """A rule for each capability that was used; in a `host` policy from where, as for sockets."""
    gathered: dict[str, Gathered] = defaultdict(Gathered)
    executed = set()
    for one in seen:
        if one.access.op is Op.CAPABLE:
            gathered[one.access.capability].add(one, one.access.source)
        elif one.access.op is Op.EXEC:
            executed.add(one.access.path)
    rules, warnings = [], []
    for name in sorted(gathered, key=lambda n: CAPABILITIES.index(n) if n in CAPABILITIES else len(CAPABILITIES)):
        if name not in CRD_CAPABILITIES:
            warnings.append(f"the capability {name} was used, and no rule for {target} can name it")
            continue
        found = gathered[name]
        origin = (
            _narrowed(found, units, executed)
            if not host
            else _host_narrowed(found, f"used the capability {name}", warnings)
        )
        if host and not origin:
            continue
        rule = CapabilityRule(capability=name, from_source=origin)
        rules.append(LearnedRule("capabilities", "match_capabilities", rule, found.evidence()))
    return rules, warnings


def closing(section: str, note: str) -> tuple[LearnedRule, ...]:
    """Block rules that close a class of which nothing is allowed; `note` says why."""
    evidence = RuleEvidence(why=Why.CLOSED, note=note)
    if section == "process":
        everything = ProcessDirectory(dir="/", recursive=True, action="Block")
        return (LearnedRule("process", "match_directories", everything, evidence),)
    if section == "network":
        return tuple(
            LearnedRule("network", "match_protocols", ProtocolRule(protocol=w, action="Block"), evidence)
            for w in _CLOSING
        )
    names = ",".join(CRD_CAPABILITIES)
    return (
        LearnedRule("capabilities", "match_capabilities", CapabilityRule(capability=names, action="Block"), evidence),
    )


SECTIONS: Mapping[str, type] = {"process": Process, "network": Network, "capabilities": Capabilities}
