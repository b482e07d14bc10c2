"""From rows of a dataset to what a policy is asked: distinct accesses, each with the evidence for it.

A row says what a workload did; an `Access` is the question that a policy answers. `accesses` translates, and is the
only place that does: the learner, the simulator, the checks and the benchmarks all judge what it yields. Rows of
attempts that failed before any security hook was asked are left out: they need no rule, and denying them would change
nothing. Between the two stand the distinct rows, one a behaviour and phase, whatever the unit (`models.distinct`).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from models.behaviour import Class, Phase
from models.distinct import KEY, Distinct, distinct
from models.policy.access import Access, Op
from models.policy.names import capability_name

__all__ = ["OUT_OF_QUESTION", "Seen", "accesses", "moment", "seen_in"]

_FAMILIES = {
    "unix": socket.AF_UNIX,
    "inet": socket.AF_INET,
    "inet6": socket.AF_INET6,
    "netlink": getattr(socket, "AF_NETLINK", 16),
    "packet": getattr(socket, "AF_PACKET", 17),
    "vsock": getattr(socket, "AF_VSOCK", 40),
    "alg": getattr(socket, "AF_ALG", 38),
}
_TYPES = {"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5, "dccp": 6, "packet": 10}
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132, "udplite": 136, "raw": 255, "mptcp": 262}

OUT_OF_QUESTION = (str(Phase.EXEC_SESSION),)
"""Phases that are no evidence unless somebody says so: what a person did through ``exec`` into the container."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One distinct access and the evidence for it."""

    access: Access
    count: int
    """How often, over all units."""
    units: frozenset[str]
    phases: frozenset[str]
    first: datetime
    last: datetime
    object: str = ""
    """`models.behaviour.Object`, where it is known."""
    fs: str = ""
    script: str = ""
    """Of an exec through ``#!``: what was asked for."""


def accesses(behaviours: pa.Table, *, leave_out: Sequence[str] = OUT_OF_QUESTION) -> list[Seen]:
    """The distinct accesses in rows of one workload, in a fixed order, but for those of the phases in `leave_out`."""
    return seen_in(distinct([behaviours]).without(leave_out))


def seen_in(rows: Distinct) -> list[Seen]:
    """The accesses in distinct rows, in a fixed order."""
    gathered: dict[tuple[Any, ...], list[Any]] = {}
    keys = zip(*(rows.columns[name].column() for name in KEY), strict=True)
    tallies = (
        rows.columns["phase"].column(),
        rows.names(),
        rows.count.tolist(),
        rows.first.tolist(),
        rows.last.tolist(),
    )
    for key, phase, units, count, first, last in zip(keys, *tallies, strict=True):
        known = gathered.get(key)
        if known is None:
            gathered[key] = [{phase}, units, count, first, last]
            continue
        known[0].add(phase)
        known[1] |= units
        known[2] += count
        known[3] = min(known[3], first)
        known[4] = max(known[4], last)
    merged: dict[tuple[Any, ...], Seen] = {}
    for key in sorted(gathered, key=_order):
        phases, by, count, first, last = gathered[key]
        named = dict(zip(KEY, key, strict=True))
        access = _access(named)
        seen = Seen(
            access,
            int(count),
            by,
            frozenset(phases),
            moment(first),
            moment(last),
            named["object"] or "",
            named["fs"] or "",
            named["script"] or "",
        )
        same = (access, seen.object, seen.script)
        merged[same] = _merged(merged[same], seen) if same in merged else seen
    return list(merged.values())


def _order(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple("" if v is None else v if isinstance(v, str) else repr(v) for v in key)


def moment(microseconds: int) -> datetime:
    """A time in microseconds since 1970, as a recording has it."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)


def _merged(one: Seen, other: Seen) -> Seen:
    return Seen(
        one.access,
        one.count + other.count,
        one.units | other.units,
        one.phases | other.phases,
        min(one.first, other.first),
        max(one.last, other.last),
        one.object,
        min(one.fs, other.fs),
        one.script,
    )


def _access(row: Mapping[str, Any]) -> Access:
    op = Op(row["op"])
    raw = row["path_raw"]
    path = raw.decode("utf-8", "surrogateescape") if raw is not None else row["path"] or ""
    if row["class"] == Class.SOCKET:
        return Access(
            op=op,
            path="",
            source=row["exe"],
            family=_FAMILIES.get(row["family"], _number(row["family"])),
            type=_TYPES.get(row["type"], _number(row["type"])),
            protocol=_PROTOCOLS.get(row["protocol"], _number(row["protocol"])) if row["family"] != "netlink" else 0,
        )
    if row["class"] == Class.CAPABILITY:
        return Access(op=op, source=row["exe"], capability=capability_name(row["capability"] or ""))
    if row["class"] == Class.EXEC:
        return Access(op=op, path=path, source=row["exe"], parent=row["parent_exe"] or "")
    parts = set((row["access"] or "").split("+"))
    # a path that joins what the kernel resolved to a last name does not say who owns what it leads to
    return Access(
        op=op,
        path=path,
        source=row["exe"],
        read="read" in parts,
        write=bool(parts & {"write", "append"}),
        create="create" in parts,
        truncate="truncate" in parts,
        directory="directory" in parts or row["object"] == "directory",
        owner_match=row["owner_match"],
        parent_owner_match=row["owner_match"] if op is Op.OPEN and "create" in parts else None,
        overlay=row["fs"] == "overlay",
    )


def _number(name: str | None) -> int:
    """A family, type or protocol that the recorder knew by number alone."""
    digits = "".join(c for c in name or "" if c.isdigit())
    return int(digits) if digits else 0
