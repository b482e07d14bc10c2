"""Which alert KubeArmor v1.7.4 makes of an event that its enforcer sent: ``feeder/policyMatcher.go``, restated.

The kernel says only that something was denied or is not listed; the name in the alert comes from matching the event
against all rules a second time, in user space, by other means than the kernel's. So the policy named is not always the
one that decided: an Audit rule can lend its name to a posture's event, and a Block rule that denies nothing can too.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from models.policy.decision import DEFAULT_POSTURE, Alert
from models.policy.model import Action
from models.policy.names import CAPABILITIES
from models.policy.policy import Policy, Rule, rules
from models.policy.posture import Posture

__all__ = ["AlertMatcher", "Event"]

CACHED = 1 << 16
PASSED, REFUSED = "Passed", "Permission denied"
PROTOCOL_TEXTS = {
    0: "HOPOPT",
    1: "protocol=ICMP type=SOCK_RAW",
    2: "IGMP",
    6: "protocol=TCP type=SOCK_STREAM",
    17: "protocol=UDP type=SOCK_DGRAM",
    47: "GRE",
    58: "protocol=IPv6-ICMP type=SOCK_RAW",
    132: "protocol=SCTP type=SOCK_STREAM|SOCK_SEQPACKET",
    136: "UDPLite",
    255: "Reserved",
}
"""How an alert writes a protocol. KubeArmor names all of IANA's; the rest are numbers here."""
TYPE_TEXTS = {1: "STREAM", 2: "DGRAM", 3: "RAW", 4: "RDM", 5: "SEQPACKET", 6: "DCCP", 10: "PACKET"}
WORDS = (
    ("protocol=TCP", "tcp"),
    ("protocol=UDP", "udp"),
    ("protocol=IPv6-ICMP", "icmpv6"),
    ("protocol=ICMP", "icmp"),
    ("protocol=SCTP", "sctp"),
    ("SOCK_RAW", "raw"),
    ("SOCK_STREAM", "stream"),
    ("SOCK_DGRAM", "dgram"),
    ("SOCK_RDM", "rdm"),
    ("SOCK_SEQPACKET", "seqpacket"),
    ("SOCK_DCCP", "dccp"),
    ("SOCK_PACKET", "packet"),
)


class Event(NamedTuple):
    """What the enforcer's ring carries up."""

    operation: str
    hook: str
    path: str
    """The path, or for sockets and capabilities the key."""
    source: str
    uid: int
    tty: bool
    denied: bool
    reads: bool = False
    """Whether ``O_RDONLY`` stands in the event. The enforcer's own events carry no open flags."""
    owner: bool | None = None
    """Whether the user owns the object; None as in the enforcer's events, where the owner reads as uid 0."""

    @property
    def resource(self) -> str:
        """The alert's resource."""
        if self.operation == "Capabilities":
            return "CAP_" + CAPABILITIES[ord(self.path[1])].upper()
        if self.operation != "Network" or self.hook == "SOCKET_SENDMSG":
            return self.path
        number = ord(self.path[1]) if len(self.path) > 1 else 0
        if self.path[:1] == "\x02":
            return f"type=SOCK_{TYPE_TEXTS[number]}" if number in TYPE_TEXTS else chr(number)
        return PROTOCOL_TEXTS.get(number, str(number))

    @property
    def data(self) -> str:
        """The alert's data."""
        if not self.hook:
            return ""
        if self.operation in ("File", "Process"):
            return f"lsm={self.hook}"
        domain = "domain=" if self.hook == "SOCKET_SENDMSG" else ""
        return f"lsm={self.hook} {domain}{self.resource}"


@dataclass(slots=True)
class Draft:
    """The alert as it stands while the rules are gone through."""

    policy: str = ""
    action: str = ""
    rule: Rule | None = None
    typed: bool = False

    def take(self, rule: Rule, action: str) -> None:
        """Let a rule claim the event."""
        self.policy, self.action, self.rule, self.typed = rule.policy, action, rule, True

    def default(self, action: str) -> None:
        """Let the posture claim the event."""
        self.policy, self.action, self.rule, self.typed = DEFAULT_POSTURE, action, None, True


def _directory(path: str) -> str:
    head = path.rstrip("/").rpartition("/")[0] if path != "/" else ""
    if not path.startswith("/"):
        return "__not_absolute_path__"
    return head + "/"


def _in_directory(directory: str, rule: Rule) -> bool:
    # filepath.Dir gives "/" for a child of the root, and one more slash is put behind it.
    directory = "//" if directory == "/" else directory
    if not directory.startswith(rule.value):
        return False
    depth, wanted = directory.count("/"), rule.value.count("/")
    return depth >= wanted if rule.recursive else depth == wanted


@dataclass(slots=True)
class AlertMatcher:
    """All rules of a workload, one for each source, in the order in which KubeArmor goes through them."""

    rules: list[tuple[Rule, str]]
    posture: Posture
    audits: frozenset[str] = frozenset()
    """The sections that have an Audit rule."""
    _cache: dict[Event, Alert | None] = field(default_factory=dict)

    @classmethod
    def build(cls, policies: Iterable[Policy], posture: Posture) -> AlertMatcher:
        """List the rules; entries of ``fromSource`` without a path are left out, as upstream leaves them out."""
        pairs = [
            (rule, source)
            for policy in policies
            for rule in rules(policy)
            if rule.section != "syscalls"
            for source in (rule.sources if rule.sources is not None else ("",))
            if rule.sources is None or source
        ]
        return cls(pairs, posture, frozenset(r.section for r, _ in pairs if r.action is Action.AUDIT))

    def match(self, event: Event) -> Alert | None:
        """Return the alert for an event, None if it becomes a log line or nothing."""
        if event not in self._cache:
            if len(self._cache) >= CACHED:
                self._cache.clear()
            self._cache[event] = self._match(event)
        return self._cache[event]

    def audited(self, event: Event) -> Alert | None:
        """Return the alert that an Audit rule makes of something the system monitor saw and let pass.

        With the BPF-LSM enforcer active, everything else that the monitor's events match becomes a log line
        (``feeder.go``, PushLog).
        """
        alert = self.match(event)
        return alert if alert is not None and alert.action == "Audit" and alert.policy != DEFAULT_POSTURE else None

    def _match(self, event: Event) -> Alert | None:
        draft = Draft()
        if event.operation in ("File", "Process"):
            self._paths(event, draft)
            listed = any(r.action is Action.ALLOW and r.section in ("process", "file") for r, _ in self.rules)
            mode = self.posture.file
        else:
            section = event.operation.lower()
            mode = self.posture.network if section == "network" else self.posture.capabilities
            (self._network if section == "network" else self._capabilities)(event, draft, mode)
            listed = any(r.action is Action.ALLOW and r.section == section for r, _ in self.rules)
        if not draft.typed:
            if listed and (mode == "block") is event.denied:
                draft.default("Block" if event.denied else "Audit")
            else:
                return None
        if draft.action == "Allow" and not event.denied:
            return None
        return self._alert(event, draft)

    @staticmethod
    def _alert(event: Event, draft: Draft) -> Alert:
        rule = draft.rule
        return Alert(
            policy=draft.policy,
            operation=event.operation,
            resource=event.resource,
            source=event.source,
            action=draft.action,
            result=REFUSED if event.denied else PASSED,
            data=event.data,
            where=rule.where if rule else "",
            severity=rule.severity if rule else None,
            tags=rule.tags if rule else (),
            message=rule.message if rule else "",
        )

    def _paths(self, event: Event, draft: Draft) -> None:
        section = event.operation.lower()
        process = event.path if section == "process" else event.source
        parent = event.source if section == "process" else ""
        for rule, source in self.rules:
            if rule.section != section:
                continue
            if not source or source in (process, parent):
                if self._resource(rule, event, process):
                    flagged = self._flags(rule, event)
                    if flagged and rule.action is Action.ALLOW and not event.denied:
                        if draft.action != "Audit":
                            draft.take(rule, "Allow")
                        continue
                    if flagged and rule.action is Action.AUDIT and not event.denied:
                        draft.take(rule, "Audit")
                        return
                    if rule.action is Action.BLOCK and event.denied:
                        draft.take(rule, "Block")
                        return
                    if flagged and rule.action is Action.ALLOW and event.denied:
                        continue
                if rule.action is Action.ALLOW and event.denied:
                    draft.default("Block")
                    continue
            if self.posture.file == "audit" and rule.action is Action.ALLOW and not event.denied and not draft.typed:
                draft.default("Audit")

    @staticmethod
    def _resource(rule: Rule, event: Event, process: str) -> bool:
        if rule.match == "pattern":
            return any(
                fnmatch.fnmatchcase(p, rule.value) and p.count("/") == rule.value.count("/")
                for p in (event.path, process)
            )
        if rule.match == "execname":
            return process.endswith("/" + rule.value)
        if rule.section == "process":
            return rule.value == process if rule.match == "path" else _in_directory(_directory(process), rule)
        first = event.path.split(" ")[0]
        if rule.match == "path":
            return rule.value in (first, event.path + "/")
        above = _in_directory(_directory(first), rule)
        return above or rule.value == event.path + "/" or (rule.value == "/" and rule.recursive)

    @staticmethod
    def _flags(rule: Rule, event: Event) -> bool:
        owner = event.uid == 0 if event.owner is None else event.owner
        permitted = (event.reads or not rule.read_only) and (owner or not rule.owner_only)
        if rule.read_only or rule.owner_only:  # what the flags permit counts for Allow rules alone
            return not permitted or rule.action is Action.ALLOW
        return event.tty if rule.no_terminal else True

    def _network(self, event: Event, draft: Draft, mode: str) -> None:
        resource = event.resource
        word = next((w for text, w in WORDS if text in resource), resource)
        last = len(self.rules) - 1
        for index, (rule, source) in enumerate(self.rules):
            if rule.section != "network":
                continue
            if not source or source == event.source:
                if rule.match == "protocol":
                    flagged = rule.value.lower() in (word, "all")
                    flagged = event.tty if rule.no_terminal else flagged
                else:
                    labels = resource.lower().split(".")
                    tails = [".".join(labels[i:]) for i in range(len(labels))]
                    domain = rule.value.lower()
                    flagged = any(t == domain or t.startswith(domain + ".") for t in tails)
                if flagged and (rule.action is Action.BLOCK) is event.denied:
                    draft.take(rule, rule.action.value)
                    return
                if not flagged and index < last:
                    continue
                if rule.action is Action.ALLOW and event.denied:
                    draft.default("Block")
                    continue
            if mode == "audit" and rule.action is Action.ALLOW and not event.denied:
                draft.default("Audit")

    def _capabilities(self, event: Event, draft: Draft, mode: str) -> None:
        for rule, source in self.rules:
            if rule.section != "capabilities":
                continue
            if not source or source == event.source:
                if rule.value.upper() in event.resource and (rule.action is Action.BLOCK) is event.denied:
                    draft.take(rule, rule.action.value)
                    continue
                if rule.action is Action.ALLOW and event.denied:
                    draft.default("Block")
                    continue
            if mode == "audit" and rule.action is Action.ALLOW and not event.denied:
                draft.default("Audit")
