"""The ``discover`` dialect: the written semantics, compiled so that a decision is a few look-ups.

The first key of this order that has something to say decides, the most specific first:

1. the path, from this source; the binary's name, from this source; the deepest directory, from this source
2. the path; the binary's name (processes only); the patterns; the deepest directory

Several rules on one key: Block wins over Audit, Audit over Allow, whatever their order. ``readOnly``, ``ownerOnly``,
``pts: false`` and ``allowedArgs`` name what a rule *permits*: an Allow or Audit rule is about that, a Block rule is
about everything else. A key with an Allow or Audit rule that does not permit the access ends the search, and the
posture decides; a Block rule that does not deny it only steps aside: Block never lists anything.

`WrittenRuleset` is also what the enforcer's table compiler reads: its tables are the semantics.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from models.policy.access import FILE_OPS, UNJUDGED, Access, Op, PolicyClass
from models.policy.cells import Cell, Conflict, Facts, Said
from models.policy.decision import ALLOWED, DEFAULT_POSTURE, EACCES, Alert, Decision, Verdict
from models.policy.model import Action
from models.policy.names import PROTOCOLS, SOCKET_TYPES, capability_name
from models.policy.patterns import compile_pattern
from models.policy.policy import Policy, Rule, rules
from models.policy.posture import Posture, PostureMode

__all__ = ["KeyTable", "PathTable", "WrittenRuleset"]

NOT_JUDGED = UNJUDGED | {Op.WRITE, Op.SETXATTR}
"""`Op.WRITE` was decided at the open; the hook of `Op.SETXATTR` sees no mount, so no path."""
CACHED = 1 << 17
STREAM, DGRAM, SEQPACKET = 1, 2, 5
MPTCP = 262
OPERATIONS = {
    PolicyClass.PROCESS: "Process",
    PolicyClass.FILE: "File",
    PolicyClass.NETWORK: "Network",
    PolicyClass.DNS: "Network",
    PolicyClass.CAPABILITIES: "Capabilities",
    PolicyClass.SYSCALLS: "Syscall",
}


@dataclass(slots=True)
class PathTable:
    """The rules of the process or file class. A source of ``""`` means from anywhere."""

    exact: dict[tuple[str, str], Cell] = field(default_factory=dict)
    names: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """``execname`` rules."""
    directories: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """By directory with its trailing slash; the rules in a cell say whether they are recursive."""
    patterns: list[Rule] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    _above: dict[tuple[str, str], tuple[Cell, ...]] = field(default_factory=dict)

    def add(self, rule: Rule) -> None:
        """Put a rule under its keys."""
        if rule.match == "pattern":
            compile_pattern(rule.value)
            self.patterns.append(rule)
            return
        table = {"path": self.exact, "execname": self.names, "dir": self.directories}[rule.match]
        for source in rule.sources or ("",):
            if rule.sources is not None and not source:
                continue  # an entry without a path names nobody
            self.sources.add(source)
            table.setdefault((rule.value, source), Cell()).add(rule)

    def search(self, path: str, source: str) -> Iterator[Cell]:
        """Yield the cells that are about a path, in the order in which they decide."""
        name = path.rpartition("/")[2]
        for origin in (source, "") if source and source in self.sources else ("",):
            if cell := self.exact.get((path, origin)):
                yield cell
            if self.names and (cell := self.names.get((name, origin))):
                yield cell
            if not origin and self.patterns:
                matching = [r for r in self.patterns if compile_pattern(r.value).fullmatch(path)]
                if matching:
                    yield Cell(matching)
            if self.directories:
                itself = path if path.endswith("/") else path + "/"
                if cell := self.directories.get((itself, origin)):
                    yield cell
                yield from self._directories_above(path, origin)

    def _directories_above(self, path: str, origin: str) -> tuple[Cell, ...]:
        parent = path[: path.rstrip("/").rfind("/") + 1]
        if parent == path:  # the root has nothing above it
            return ()
        known = self._above.get((parent, origin))
        if known is None:
            if len(self._above) >= CACHED:
                self._above.clear()
            known = self._above[parent, origin] = tuple(self._walk_up(parent, origin))
        return known

    def _walk_up(self, parent: str, origin: str) -> Iterator[Cell]:
        if cell := self.directories.get((parent, origin)):
            yield cell
        while len(parent) > 1:
            parent = parent[: parent[:-1].rfind("/") + 1]
            cell = self.directories.get((parent, origin))
            if cell and (recursive := [r for r in cell.rules if r.recursive]):
                yield Cell(recursive)

    def cells(self) -> Iterator[Cell]:
        """Yield every cell that stands under a key."""
        for table in (self.exact, self.names, self.directories):
            yield from table.values()


@dataclass(slots=True)
class KeyTable:
    """The rules of a class whose objects are names or numbers: ``("protocol", 6)``, ``("capability", "net_raw")``."""

    exact: dict[tuple[str, str | int, str], Cell] = field(default_factory=dict)

    def add(self, rule: Rule, keys: Iterable[tuple[str, str | int]]) -> None:
        """Put a rule under its keys."""
        for source in rule.sources if rule.sources is not None else ("",):
            if rule.sources is None or source:
                for kind, value in keys:
                    self.exact.setdefault((kind, value, source), Cell()).add(rule)

    def search(self, keys: Iterable[tuple[str, str | int]], source: str, *, together: bool) -> Iterator[Cell]:
        """Yield what the keys hold from this source, then from anywhere; `together` makes all keys of a level one."""
        keys = list(keys)
        for origin in (source, "") if source else ("",):
            found = [c for kind, value in keys if (c := self.exact.get((kind, value, origin)))]
            if together and len(found) > 1:
                yield Cell([r for c in found for r in c.rules])
            else:
                yield from found


@dataclass(slots=True)
class WrittenRuleset:
    """Policies compiled to the tables of the written semantics."""

    posture: Posture
    process: PathTable = field(default_factory=PathTable)
    file: PathTable = field(default_factory=PathTable)
    network: KeyTable = field(default_factory=KeyTable)
    dns: KeyTable = field(default_factory=KeyTable)
    capabilities: KeyTable = field(default_factory=KeyTable)
    syscalls: list[Rule] = field(default_factory=list)
    lists: dict[PolicyClass, PostureMode] = field(default_factory=dict)
    """The classes that are allow-lists, with the posture of each."""

    @classmethod
    def compile(cls, policies: Iterable[Policy], posture: Posture) -> WrittenRuleset:
        """Fill the tables. Raise ValueError for a pattern that is none."""
        ruleset = cls(posture)
        for policy in policies:
            for rule in rules(policy):
                ruleset._add(rule)
        return ruleset

    def _add(self, rule: Rule) -> None:
        policy_class = PolicyClass.DNS if rule.match == "domain" else PolicyClass(rule.section)
        if rule.action is Action.ALLOW:
            self.lists[policy_class] = self.posture.of(policy_class)
        match policy_class:
            case PolicyClass.PROCESS:
                self.process.add(rule)
            case PolicyClass.FILE:
                self.file.add(rule)
            case PolicyClass.NETWORK:
                self.network.add(rule, [_network_key(rule.value.lower())])
            case PolicyClass.DNS:
                self.dns.add(rule, [("domain", rule.value.strip(".").lower())])
            case PolicyClass.CAPABILITIES:
                self.capabilities.add(rule, [("capability", capability_name(rule.value))])
            case PolicyClass.SYSCALLS:
                self.syscalls.append(rule)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Return the keys on which a Block rule makes another action pointless."""
        cells = [*self.process.cells(), *self.file.cells()]
        for table in (self.network, self.dns, self.capabilities):
            cells += table.exact.values()
        return tuple(c for cell in cells for c in cell.conflicts())

    def decide(self, access: Access) -> Decision:
        """Judge one access."""
        op = access.op
        if op in NOT_JUDGED:
            return ALLOWED
        if op in FILE_OPS:
            return self._file(access)
        if op is Op.EXEC:
            return self._exec(access)
        if op is Op.CAPABLE:
            cells = self.capabilities.search([("capability", access.capability)], access.source, together=True)
            return self._settle(access, PolicyClass.CAPABILITIES, cells, access.capability)
        if op is Op.SYSCALL:
            return self._syscall(access)
        if op is Op.SEND:
            return self._dns(access) if access.dns else ALLOWED
        cells = self.network.search(_socket_keys(access), access.source, together=True)
        return self._settle(access, PolicyClass.NETWORK, cells, _socket_text(access))

    # -- classes -------------------------------------------------------------------------------------------------

    def _file(self, access: Access) -> Decision:
        if not (self.file.exact or self.file.directories or self.file.patterns):
            return ALLOWED
        decision = self._file_name(access, access.path)
        if access.op in (Op.RENAME, Op.LINK) and decision.allowed:
            second = self._file_name(access, access.target, second=True)
            if second.verdict is Verdict.BLOCK:
                return second
            if second.verdict is Verdict.AUDIT:
                alerts = decision.alerts + second.alerts
                return Decision(Verdict.AUDIT, second.policy, second.rule, 0, alerts, second.path)
        return decision

    def _file_name(self, access: Access, path: str, *, second: bool = False) -> Decision:
        if not path.startswith("/"):
            return ALLOWED  # a memfd, a pipe: no path of any mount
        cells = self.file.search(path, access.source)
        return self._settle(access, PolicyClass.FILE, cells, path, second=second)

    def _exec(self, access: Access) -> Decision:
        named = access.path.startswith("/")
        cells = self.process.search(access.path, access.parent) if named else ()
        decision = self._settle(access, PolicyClass.PROCESS, cells, access.path)
        if decision.allowed and named and (self.file.exact or self.file.directories or self.file.patterns):
            # A file rule that blocks the binary outright keeps it from being executed; a file allow-list does not.
            file = self._settle(access, PolicyClass.FILE, self.file.search(access.path, access.source), access.path)
            if file.verdict is Verdict.BLOCK and file.rule is not None:
                return file
        return decision

    def _dns(self, access: Access) -> Decision:
        labels = access.dns.strip(".").lower().split(".")
        keys = [("domain", ".".join(labels[i:])) for i in range(len(labels))]
        cells = self.dns.search(keys, access.source, together=False)
        return self._settle(access, PolicyClass.DNS, cells, access.dns)

    def _syscall(self, access: Access) -> Decision:
        for rule in self.syscalls:
            if rule.value == access.syscall and _syscall_path(rule, access) and _syscall_source(rule, access.source):
                return self._audited(access, PolicyClass.SYSCALLS, rule, access.syscall)
        return ALLOWED

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _settle(
        self, access: Access, policy_class: PolicyClass, cells: Iterable[Cell], resource: str, *, second: bool = False
    ) -> Decision:
        facts: Facts | None = None
        for cell in cells:
            if cell.constant is not None:
                said, rule = cell.constant
            else:
                facts = facts or Facts.of(access, second=second)
                said, rule = cell.judge(facts)
            if said is Said.ALLOW:
                return Decision(Verdict.ALLOW, rule.policy, rule)
            if said is Said.AUDIT:
                return self._audited(access, policy_class, rule, resource)
            if said is Said.BLOCK:
                return self._denied(access, policy_class, rule, resource)
            if said is Said.NOT_PERMITTED:
                break
        mode = self.lists.get(policy_class)
        if mode is None:
            return ALLOWED
        if mode == "block":
            return self._denied(access, policy_class, None, resource)
        return self._audited(access, policy_class, None, resource)

    @staticmethod
    def _audited(access: Access, policy_class: PolicyClass, rule: Rule | None, resource: str) -> Decision:
        alert = _alert(access, policy_class, rule, resource, "Audit", "Passed")
        return Decision(Verdict.AUDIT, alert.policy, rule, 0, (alert,), resource)

    @staticmethod
    def _denied(access: Access, policy_class: PolicyClass, rule: Rule | None, resource: str) -> Decision:
        alert = _alert(access, policy_class, rule, resource, "Block", "Permission denied")
        return Decision(Verdict.BLOCK, alert.policy, rule, EACCES, (alert,), resource)


def _alert(
    access: Access, policy_class: PolicyClass, rule: Rule | None, resource: str, action: str, result: str
) -> Alert:
    return Alert(
        policy=rule.policy if rule else DEFAULT_POSTURE,
        operation=OPERATIONS[policy_class],
        resource=resource,
        source=access.parent if policy_class is PolicyClass.PROCESS else access.source,
        action=action,
        result=result,
        data=f"op={access.op}",
        where=rule.where if rule else "",
        severity=rule.severity if rule else None,
        tags=rule.tags if rule else (),
        message=rule.message if rule else "",
    )


def _network_key(word: str) -> tuple[str, str | int]:
    if word in PROTOCOLS:
        return "protocol", PROTOCOLS[word]
    return ("type", SOCKET_TYPES[word]) if word in SOCKET_TYPES else ("all", "")


_FAMILIES = {number: name for name, number in vars(socket).items() if name.startswith("AF_")}
_TYPES = {number: f"SOCK_{name.upper()}" for name, number in SOCKET_TYPES.items()}
_PROTOCOLS = {number: name.upper() for name, number in PROTOCOLS.items()}


def _socket_text(access: Access) -> str:
    family = _FAMILIES.get(access.family, access.family)
    protocol = _PROTOCOLS.get(access.protocol, access.protocol)
    return f"domain={family} type={_TYPES.get(access.type, access.type)} protocol={protocol}"


def _socket_keys(access: Access) -> list[tuple[str, str | int]]:
    """Return the keys of a socket. Without a protocol a type means its usual one, whatever the family.

    So AF_UNIX stream counts as tcp, AF_UNIX datagram as udp, AF_UNIX seqpacket as sctp; multipath TCP is tcp.
    """
    protocol = access.protocol
    if protocol == 0:
        protocol = {STREAM: PROTOCOLS["tcp"], DGRAM: PROTOCOLS["udp"], SEQPACKET: PROTOCOLS["sctp"]}.get(access.type, 0)
    elif protocol == MPTCP:
        protocol = PROTOCOLS["tcp"]
    return [("protocol", protocol), ("type", access.type), ("all", "")]


def _syscall_path(rule: Rule, access: Access) -> bool:
    if not rule.path or rule.path == access.path:
        return True
    if not rule.path.endswith("/"):
        return False
    below = access.path.startswith(rule.path) and (rule.recursive or "/" not in access.path[len(rule.path) :])
    return below or access.path + "/" == rule.path


def _syscall_source(rule: Rule, source: str) -> bool:
    if rule.sources is None:
        return True
    for wanted in rule.sources:
        if wanted.endswith("/**"):
            if source.startswith(wanted[:-2]):
                return True
        elif wanted.endswith("/"):
            if source.startswith(wanted) and "/" not in source[len(wanted) :]:
                return True
        elif wanted and wanted == source:
            return True
    return False
