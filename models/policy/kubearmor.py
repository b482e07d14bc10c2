"""The ``kubearmor-bpflsm`` dialect: what KubeArmor v1.7.4 decides with its BPF-LSM enforcer, quirks included.

Restated from ``KubeArmor/BPF/shared.h``, ``enforcer.bpf.c`` and ``enforcer_path.bpf.c``, and held against the verdicts
recorded from it. Each method named after a hook answers as that program does; what one system call comes to is the
sequence of hooks that the kernel (6.1) fires for it. An open for writing is judged with its first write, because a
read-only rule lets the open pass and refuses the write (``file_permission``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from models.policy.access import NETWORK_OPS, Access, Op, PolicyClass
from models.policy.decision import ALLOWED, DEFAULT_POSTURE, DEFAULT_VISIBILITY, EACCES, Alert, Decision, Verdict
from models.policy.kubearmor_alerts import AlertMatcher, Event
from models.policy.kubearmor_tables import (
    ARGS,
    CAPABILITY_KEY,
    DENY,
    DIR,
    EXEC,
    HINT,
    NO_TTY,
    OWNER,
    PROTOCOL_KEY,
    READ,
    RECURSIVE,
    TYPE_KEY,
    WRITE,
    Key,
    Table,
    kernel_path,
    posture_modes,
)
from models.policy.names import CAPABILITIES
from models.policy.policy import Policy
from models.policy.posture import Posture

__all__ = ["KubeArmorRuleset"]

CACHED = 1 << 17
MAX_ARGUMENTS = 20
LOOP = 64
"""Directories are looked for at the slashes among the first 64 bytes of a path."""
COPY_UP = "/overlay/work/work/#0"
"""Stands for overlayfs's temporary file, ``<work directory on the host>/work/#<inode>``: only a rule on / holds it."""
PATH_HOOKS = {
    Op.UNLINK: "FILE_UNLINK",
    Op.RENAME_FROM: "FILE_RENAME",
    Op.RENAME_TO: "FILE_RENAME",
    Op.LINK_FROM: "FILE_LINK",
    Op.LINK_TO: "FILE_LINK",
    Op.SYMLINK: "FILE_SYMLINK",
    Op.MKDIR: "FILE_MKDIR",
    Op.RMDIR: "FILE_RMDIR",
    Op.MKNOD: "FILE_MKNOD",
    Op.CHMOD: "FILE_CHMOD",
    Op.TRUNCATE: "FILE_TRUNCATE",
}
MONITORED = frozenset({Op.EXEC, Op.OPEN, Op.UNLINK, Op.RMDIR, Op.CHOWN, Op.SOCKET, Op.CONNECT, Op.ACCEPT})
"""What the system monitor reports (``monitor/logUpdate.go``)."""
NET_HOOKS = {Op.SOCKET: "SOCKET_CREATE", Op.CONNECT: "SOCKET_CONNECT", Op.ACCEPT: "SOCKET_ACCEPT"}
STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132


class Outcome(NamedTuple):
    """What one hook did: whether it refused, the key that decided, and whether it sent an event."""

    denied: bool
    section: str
    key: Key | None = None
    event: Event | None = None


@dataclass(slots=True)
class KubeArmorRuleset:
    """Policies compiled to the table of one container."""

    table: Table
    modes: dict[str, str]
    matcher: AlertMatcher
    process: dict[Key, int]
    file: dict[Key, int]
    visibility: frozenset[PolicyClass] = frozenset()
    """The classes that KubeArmor's system monitor watches for this workload."""
    _walks: dict[tuple[str, str, str], Key | None] = field(default_factory=dict)

    @classmethod
    def compile(
        cls, policies: Iterable[Policy], posture: Posture, visibility: Iterable[PolicyClass] = DEFAULT_VISIBILITY
    ) -> KubeArmorRuleset:
        """Build the table and the alert matcher for policies in the order in which they were applied."""
        policies = list(policies)
        table = Table.build(policies)
        process, file = table.masks()
        modes, matcher = dict(posture_modes(table, posture)), AlertMatcher.build(policies, posture)
        return cls(table, modes, matcher, process, file, frozenset(visibility))

    def decide(self, access: Access) -> Decision:
        """Judge one access through every hook it passes, stopping at the first that refuses."""
        events: list[Event] = []
        for outcome in self._hooks(access):
            if outcome.event is not None:
                events.append(outcome.event)
            if outcome.denied:
                alerts = self._alerts(events)
                rule = self.table.origin.get((outcome.section, outcome.key)) if outcome.key else None
                policy = rule.policy if rule else DEFAULT_POSTURE
                path = outcome.event.path if outcome.event else access.path
                return Decision(Verdict.BLOCK, policy, rule, EACCES, alerts, path)
        alerts = self._alerts(events)
        if not alerts and self.visibility:
            alerts = self._monitored(access)
        if not alerts:
            return ALLOWED
        return Decision(Verdict.AUDIT, alerts[0].policy, None, 0, alerts, alerts[0].resource)

    def _alerts(self, events: list[Event]) -> tuple[Alert, ...]:
        return tuple(a for a in map(self.matcher.match, events) if a is not None)

    def _monitored(self, access: Access) -> tuple[Alert, ...]:
        """Return the alert of an Audit rule for what the system monitor sees: its own hooks, no part of the table."""
        op, policy_class = access.op, access.policy_class
        if policy_class not in self.visibility or policy_class not in self.matcher.audits or op not in MONITORED:
            return ()
        reads = op is Op.OPEN and not access.write
        facts = {"reads": reads, "owner": bool(access.owner_match)}
        if op is Op.EXEC:
            event = Event("Process", "", access.path, access.parent, access.uid, access.tty, False, **facts)
        elif policy_class is PolicyClass.FILE:
            event = Event("File", "", access.path, access.source, access.uid, access.tty, False, **facts)
        else:
            key = PROTOCOL_KEY + chr(_protocol(access.type, access.protocol) & 0xFF)
            key = TYPE_KEY + chr(access.type) if access.type == RAW and access.protocol == 0 else key
            event = Event("Network", "", key, access.source, access.uid, access.tty, False)
        alert = self.matcher.audited(event)
        return (alert,) if alert else ()

    def _hooks(self, access: Access) -> Iterator[Outcome]:
        op = access.op
        if op is Op.EXEC:
            yield from self._opened(access)
            yield self._bprm_check(access)
        elif op is Op.OPEN:
            if access.create:
                yield self._path_hook(access, access.path, Op.MKNOD)
            yield from self._opened(access)
            if access.copy_up:
                yield from self._copied_up(access)
            if access.truncate and not access.create:
                yield self._path_hook(access, access.path, Op.TRUNCATE)
            if access.write:
                yield self._file(access, access.path, "FILE_PERMISSION")
        elif op is Op.WRITE:
            yield self._file(access, access.path, "FILE_PERMISSION")
        elif op is Op.RENAME:  # programs on one hook run in the order opposite to that of their attachment
            yield self._path_hook(access, access.path, Op.RENAME_FROM)
            yield self._path_hook(access, access.target, Op.RENAME_TO)
        elif op is Op.LINK:
            yield self._path_hook(access, access.target, Op.LINK_TO)
            yield self._path_hook(access, access.path, Op.LINK_FROM)
        elif op in PATH_HOOKS:
            yield self._path_hook(access, access.path, op)
        elif op is Op.CAPABLE:
            yield self._capable(access)
        elif op in NET_HOOKS:
            yield self._socket(access, NET_HOOKS[op])
        elif op in NETWORK_OPS and access.dns:
            yield self._dns(access)

    def _opened(self, access: Access) -> Iterator[Outcome]:
        yield self._file(access, access.path, "FILE_OPEN")
        if access.overlay:
            # overlayfs opens the layer's file with the credentials of whoever mounted it: root, who owns only its own
            mounter = replace(access, uid=0, owner_match=bool(access.owner_match) and access.uid == 0)
            yield self._file(mounter, access.path, "FILE_OPEN")

    def _copied_up(self, access: Access) -> Iterator[Outcome]:
        """Judge overlayfs copying a file up: it reads the layer's, and writes a temporary file beside the layers."""
        mounter = replace(access, uid=0, owner_match=True)
        yield self._file(mounter, access.path, "FILE_OPEN")
        for hook in ("FILE_OPEN", "FILE_PERMISSION", "FILE_PERMISSION"):
            yield self._file(mounter, COPY_UP, hook)

    def _path_hook(self, access: Access, path: str, op: Op) -> Outcome:
        outcome = self._file(access, path, PATH_HOOKS[op], op)
        if op in (Op.RENAME_FROM, Op.RENAME_TO):
            # The event number of a rename differs between KubeArmor's two halves, so nobody reads it.
            return Outcome(outcome.denied, outcome.section, outcome.key)
        return outcome

    # -- look-ups ------------------------------------------------------------------------------------------------

    def _walk(self, path: str, source: str, section: str) -> Key | None:
        """Find the directory rule for a path, as the loops over its slashes do. Depends on the directory alone."""
        directory = path[: path.rfind("/") + 1]
        known = (directory, source, section)
        if known not in self._walks:
            if len(self._walks) >= CACHED:
                self._walks.clear()
            self._walks[known] = self._walk_slashes(directory, source, section)
        return self._walks[known]

    def _walk_slashes(self, directory: str, source: str, section: str) -> Key | None:
        """Do what the four loops do.

        The one for processes without a source also stops at a key that is no hint of its class. That changes nothing,
        since a directory rule puts hints of its own class on everything above it.
        """
        masks, bit = (self.process, EXEC) if section == "process" else (self.file, READ)
        raw = directory.encode("utf-8", "surrogateescape")
        found: Key | None = None
        direct: Key | None = None
        for index, byte in enumerate(raw[:LOOP]):
            if byte != ord("/"):
                continue
            direct = None
            key = (raw[: index + 1].decode("utf-8", "surrogateescape"), source)
            mask = masks.get(key)
            if mask is None:
                break
            if mask & DIR and mask & bit:
                direct = key
                if mask & RECURSIVE:
                    found = key
                    if not mask & HINT:
                        return key
        return found or direct

    def _find(self, path: str, source: str, section: str) -> Key | None:
        masks, bit = (self.process, EXEC) if section == "process" else (self.file, READ)
        if source:
            key = (path, source)
            if masks.get(key, 0) & bit:
                return key
            walked = self._walk(path, source, section)
            if walked is not None:
                return walked
        key = (path, "")
        if masks.get(key, 0) & bit:
            return key
        if section == "process":
            name = (path.rpartition("/")[2], "")
            if masks.get(name, 0) & bit:
                return name
        return self._walk(path, "", section)

    # -- hooks ---------------------------------------------------------------------------------------------------

    def _file(self, access: Access, path: str, hook: str, op: Op | None = None) -> Outcome:
        if not path.startswith("/") or path == "/":
            return Outcome(False, "file")  # prepend_path finds no name: not judged at all
        path, source = kernel_path(path), kernel_path(access.source)
        key = self._find(path, source, "file")
        mask = self.file[key] if key else 0
        mode = self.modes.get("file")

        def sent(denied: bool) -> Outcome:
            event = Event("File", hook, path, source, access.uid, access.tty, denied)
            return Outcome(denied, "file", key, event)

        quiet = Outcome(False, "file", key)
        denied = False
        if key is not None:
            if mask & OWNER:
                owner = self._owner(access, op)
                if hook == "FILE_PERMISSION":
                    if not owner:
                        return sent(True)
                elif op is None:
                    return quiet if owner else sent(True)
                elif owner:
                    return quiet
                else:
                    denied = True
            read_only = mask & READ and not mask & WRITE
            if hook == "FILE_PERMISSION":
                if read_only:
                    return sent(True)
            elif op is None and read_only:
                return quiet  # the decision is left to file_permission
            elif mask & DENY:
                denied |= access.tty if mask & NO_TTY else True
        if denied:
            return sent(True)
        if mode is None:
            return quiet
        if key is None:
            return sent(mode == "block")
        return sent(access.tty) if mask & NO_TTY else quiet

    @staticmethod
    def _owner(access: Access, op: Op | None) -> bool:
        if op in (Op.MKNOD, Op.MKDIR):
            return bool(access.parent_owner_match)
        if op in (Op.SYMLINK, Op.LINK_TO, Op.RENAME_TO) and access.owner_match is None:
            return access.uid == 0  # the name has no inode yet, and reading its owner gives 0
        return bool(access.owner_match)

    def _bprm_check(self, access: Access) -> Outcome:
        if not access.path.startswith("/"):
            return Outcome(False, "process")
        path, parent = kernel_path(access.path), kernel_path(access.parent)
        key = self._find(path, parent, "process")
        mask = self.process[key] if key else 0
        denied = False
        if key is not None:
            if mask & ARGS and self._arguments_match(access, key):
                return Outcome(False, "process", key)
            denied = bool(mask & NO_TTY) and access.tty
            if mask & OWNER:
                if access.owner_match and not mask & ARGS:
                    return Outcome(False, "process", key)
                denied = True
            denied |= bool(mask & DENY) and not mask & NO_TTY
        mode = self.modes.get("process")
        if not denied and (mode is None or key is not None):
            return Outcome(False, "process", key)
        denied |= mode == "block"
        event = Event("Process", "SECURITY_BPRM_CHECK", path, parent, access.uid, access.tty, denied)
        return Outcome(denied, "process", key, event)

    def _arguments_match(self, access: Access, key: Key) -> bool:
        """Whether every argument is allowed. The name itself may be another (busybox), unless it is all there is."""
        rule = self.table.origin["process", key]
        argv = access.argv or ()
        return 0 < len(argv) <= MAX_ARGUMENTS and all(a in rule.allowed_args for a in argv[1:] or argv)

    def _socket(self, access: Access, hook: str) -> Outcome:
        by_type = TYPE_KEY + chr(access.type)
        by_protocol = PROTOCOL_KEY + chr(_protocol(access.type, access.protocol) & 0xFF)
        return self._keyed(access, "network", (by_type, by_protocol), hook)

    def _capable(self, access: Access) -> Outcome:
        if access.capability not in CAPABILITIES:
            return Outcome(False, "capabilities")
        key = CAPABILITY_KEY + chr(CAPABILITIES.index(access.capability))
        return self._keyed(access, "capabilities", (key,), "CAPABLE")

    def _dns(self, access: Access) -> Outcome:
        labels = access.dns.strip(".").split(".")
        names = tuple(".".join(labels[i:]) for i in range(min(len(labels), 11)))
        return self._keyed(access, "dns", names, "SOCKET_SENDMSG")

    def _keyed(self, access: Access, mode_name: str, paths: tuple[str, ...], hook: str) -> Outcome:
        section = "network" if mode_name == "dns" else mode_name
        masks = self.table.capabilities if section == "capabilities" else self.table.network
        source = kernel_path(access.source)
        keys = [(p, s) for s in ((source, "") if source else ("",)) for p in paths]
        key = next((k for k in keys if k in masks), None)
        mask = masks[key] if key else 0
        mode = self.modes.get(mode_name)
        denied = bool(mask & DENY) and (access.tty or not mask & NO_TTY)
        told = denied
        if not denied and mode is not None:
            if key is None:
                denied, told = mode == "block", True
            elif mode_name == "network" and mode == "block":
                denied, told = bool(mask & NO_TTY) and access.tty, True
            elif mode_name == "dns":
                told = True
        if not told:
            return Outcome(False, section, key)
        asked = key[0] if key else paths[0 if mode_name == "dns" else -1]
        operation = "Capabilities" if section == "capabilities" else "Network"
        return Outcome(denied, section, key, Event(operation, hook, asked, source, access.uid, access.tty, denied))


def _protocol(socket_type: int, protocol: int) -> int:
    """Return the protocol number under which KubeArmor looks a socket up: 0 means what its type usually means."""
    if socket_type == STREAM and protocol in (TCP, 0):
        return TCP
    if socket_type == DGRAM and protocol in (UDP, 0):
        return UDP
    if socket_type in (STREAM, SEQPACKET) and protocol in (SCTP, 0):
        return SCTP
    return protocol
