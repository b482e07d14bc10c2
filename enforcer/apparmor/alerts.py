"""Records of AppArmor's log as alerts. It does not say which rule decided: the decision function is asked again."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from enforcer.apparmor.log import Entry
from enforcer.apparmor.profile import Profiles
from enforcer.bpf_lsm.alerts import Told
from models.policy import CAPABILITIES, Access, Op, PolicyClass, Rule, Ruleset, Verdict
from models.policy.names import SOCKET_TYPES

__all__ = ["access_of", "told"]

_OPS = {
    "mknod": Op.MKNOD,
    "mkdir": Op.MKDIR,
    "rmdir": Op.RMDIR,
    "unlink": Op.UNLINK,
    "symlink": Op.SYMLINK,
    "link": Op.LINK_TO,
    "rename_src": Op.RENAME_FROM,
    "rename_dest": Op.RENAME_TO,
    "chmod": Op.CHMOD,
    "chown": Op.CHOWN,
    "truncate": Op.TRUNCATE,
    "exec": Op.EXEC,
    "capable": Op.CAPABLE,
    "create": Op.SOCKET,
    "bind": Op.BIND,
    "connect": Op.CONNECT,
    "listen": Op.LISTEN,
    "accept": Op.ACCEPT,
    "sendmsg": Op.SEND,
}
"""The rest are opens of one kind or another."""
_CHANGES = frozenset("wacdl")
_AUDIT, _BLOCK = 2, 3


def access_of(entry: Entry, source: str) -> Access:
    """The access that a record is about. `source` is the executable that acted."""
    op = _OPS.get(entry["operation"], Op.OPEN)
    if op is Op.CAPABLE:
        return Access(op=op, source=source, capability=entry["capname"].lower())
    if entry["family"]:
        return Access(
            op=Op.CONNECT if op is Op.SEND else op,
            source=source,
            family=getattr(socket, f"AF_{entry['family'].upper()}", 0),
            type=SOCKET_TYPES.get(entry["sock_type"], 0),
            protocol=int(entry["protocol"] or 0),
        )
    asked = set(entry["requested_mask"])
    path = entry["name"] if entry["name"] == "/" else entry["name"].rstrip("/")
    return Access(
        op=op,
        path=path,
        source=source,
        parent=source,
        read="r" in asked,
        write=bool(asked & _CHANGES),
        uid=int(entry["fsuid"] or 0),
        owner_match=entry["fsuid"] == entry["ouid"],
        argv=(),
    )


def told(entries: Iterable[Entry], made: Profiles, ruleset: Ruleset) -> list[tuple[Told, Rule | None]]:
    """Records about these profiles, equal ones once with their count, each with the rule that the policies name."""
    sources = {p.name: p.source for p in made.found}
    counts: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        if entry["profile"] not in sources:
            continue
        names = ("operation", "name", "pid", "requested_mask", "family", "sock_type", "protocol", "capname")
        key = (entry.verdict, entry["profile"], *(entry[n] for n in names))
        counts[key] += 1
        first.setdefault(key, entry)
    return [_told(first[key], sources[first[key]["profile"]], ruleset, count) for key, count in counts.items()]


def _told(entry: Entry, source: str, ruleset: Ruleset, count: int) -> tuple[Told, Rule | None]:
    pid = int(entry["pid"] or 0)
    source = source or _executable(pid)
    access = access_of(entry, source)
    decision = ruleset.decide(access)
    denied = entry.verdict == "DENIED"
    blocked = denied or decision.verdict is Verdict.BLOCK
    parent = _parent(pid)
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - entry.when)
    policy_class = access.policy_class or PolicyClass.FILE
    return (
        Told(
            domain=0,
            generation=0,
            kind=_BLOCK if blocked else _AUDIT,
            rule=1 if decision.rule else 0,
            op=str(access.op) if entry["operation"] != "mount" else "mount",
            policy_class=str(policy_class),
            denied=denied,
            reason="",
            path=access.path,
            source=source or entry["comm"],
            # An exec's record is of the process that executes; that is whom `as_alert` calls the parent.
            parent_source=(source or entry["comm"]) if access.op is Op.EXEC else _executable(parent),
            comm=entry["comm"],
            pid=pid,
            parent_pid=parent,
            uid=access.uid,
            family=access.family,
            type=access.type,
            protocol=access.protocol,
            capability=CAPABILITIES.index(access.capability) if access.capability in CAPABILITIES else 0,
            cgroup=0,
            when=int(since_boot * 1e9),
            count=count,
        ),
        decision.rule,
    )


def _executable(pid: int) -> str:
    """Its executable if it is still there: the record does not say."""
    try:
        return str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)") if pid else ""
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
