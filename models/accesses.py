"""From rows of a dataset to what a policy is asked: distinct accesses, each with the evidence for it.

A row says what a workload did; an `Access` is the question that a policy answers. `accesses` translates, and is the
only place that does: the learner, the simulator, the checks and the benchmarks all judge what it yields. Rows of
attempts that failed before any security hook was asked are left out (`judged`): they need no rule, and denying them
would change nothing.

Between the two stands a table of *distinct* rows (`distinct`): one a behaviour and phase, whatever the unit. It is what
DuckDB makes of many workloads at once (`models.evidence_stream`), and all that the learner needs.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import Class, Phase
from models.policy.access import Access, Op
from models.policy.names import capability_name

__all__ = [
    "BEFORE_THE_HOOK",
    "KEY",
    "NEVER_A_SOCKET",
    "OUT_OF_QUESTION",
    "Seen",
    "accesses",
    "distinct",
    "judged",
    "seen_in",
    "without_phases",
]

BEFORE_THE_HOOK = (
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EXDEV,
    errno.EROFS,
    errno.ETXTBSY,
    errno.EBADF,
    errno.EFAULT,
    errno.EINVAL,
    errno.EACCES,
    errno.EPERM,
    errno.ENXIO,
    errno.ENOEXEC,
)
"""Errors of file operations and execs that the kernel finds before it asks a security module (fs/namei.c, fs/open.c:
look-up, ``may_open``, ``mnt_want_write``), or that deny by themselves (EACCES, EPERM): a rule would change nothing."""
NEVER_A_SOCKET = (errno.EACCES, errno.EPERM, errno.EBADF)
"""Errors of socket calls that need no rule: refused anyway, or no socket at all. Every other call was judged first."""
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

KEY = (
    "class",
    "op",
    "access",
    "path",
    "path_raw",
    "exe",
    "parent_exe",
    "owner_match",
    "object",
    "fs",
    "script",
    "family",
    "type",
    "protocol",
    "capability",
)


"""What makes two rows the same access; the parent counts for an exec alone."""
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


def judged(behaviours: pa.Table) -> pa.Table:
    """The rows that a security module was asked about: successes, and failures that come after its hook.

    A capability that the task does not hold is refused before (EPERM); a connection that nobody took (ECONNREFUSED), an
    accept without a client (EAGAIN) and a directory that was not empty (ENOTEMPTY) were judged like a success.
    """
    failed = pc.not_equal(behaviours["errno"], 0)
    socketed = pc.equal(_text(behaviours["class"]), str(Class.SOCKET))
    early = pc.is_in(behaviours["errno"], pa.array(BEFORE_THE_HOOK, pa.uint16()))
    capability = pc.equal(_text(behaviours["class"]), str(Class.CAPABILITY))
    out = pc.and_(failed, pc.or_(capability, pc.and_(early, pc.invert(socketed))))
    # a socket call is judged first and fails later, but for a socket that never came to be
    denied = pc.is_in(behaviours["errno"], pa.array(NEVER_A_SOCKET, pa.uint16()))
    out = pc.or_(out, pc.and_(failed, pc.and_(socketed, denied)))
    return behaviours.filter(pc.invert(out))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def distinct(behaviours: pa.Table) -> pa.Table:
    """The distinct judged rows of one workload, whatever the unit.

    Columns: those of `KEY` as text, ``phase``, ``units`` (names, which may repeat), ``count``, ``first`` and ``last``
    (microseconds since 1970).
    """
    rows = judged(behaviours)
    columns = {name: _text(rows[name]) for name in (*KEY, "phase", "unit", "count")}
    # the parent decides about an exec alone: elsewhere it would only multiply what is the same access
    is_exec = pc.equal(columns["class"], str(Class.EXEC))
    columns["parent_exe"] = pc.if_else(is_exec, columns["parent_exe"], pa.scalar(None, pa.string()))
    for name, column in (("first", "first_seen"), ("last", "last_seen")):
        columns[name] = rows[column].cast(pa.int64())
    grouped = (
        pa.table(columns)
        .group_by([*KEY, "phase"])
        .aggregate([("unit", "distinct"), ("count", "sum"), ("first", "min"), ("last", "max")])
    )
    return grouped.rename_columns(
        {"unit_distinct": "units", "count_sum": "count", "first_min": "first", "last_max": "last"}
    )


def without_phases(rows: pa.Table, leave_out: Sequence[str]) -> pa.Table:
    """The rows, of either kind of table, that are not of some phases."""
    if not leave_out or not rows.num_rows:
        return rows
    return rows.filter(pc.invert(pc.is_in(_text(rows["phase"]), pa.array(list(map(str, leave_out)), pa.string()))))


def accesses(behaviours: pa.Table, *, leave_out: Sequence[str] = OUT_OF_QUESTION) -> list[Seen]:
    """The distinct accesses in rows of one workload, in a fixed order, but for those of the phases in `leave_out`."""
    return seen_in(distinct(without_phases(behaviours, leave_out)))


def seen_in(rows: pa.Table) -> list[Seen]:
    """The accesses in distinct rows, in a fixed order."""
    gathered: dict[tuple[Any, ...], list[Any]] = {}
    columns = [rows[name].to_pylist() for name in (*KEY, "phase", "units", "count", "first", "last")]
    width = len(KEY)
    for row in zip(*columns, strict=True):
        phase, units, count, first, last = row[width:]
        key = row[:width]
        known = gathered.get(key)
        if known is None:
            gathered[key] = [{phase}, set(units), count, first, last]
            continue
        known[0].add(phase)
        known[1].update(units)
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
            frozenset(by),
            frozenset(phases),
            _when(first),
            _when(last),
            named["object"] or "",
            named["fs"] or "",
            named["script"] or "",
        )
        same = (access, seen.object, seen.script)
        merged[same] = _merged(merged[same], seen) if same in merged else seen
    return list(merged.values())


def _order(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple("" if v is None else v if isinstance(v, str) else repr(v) for v in key)


def _when(microseconds: int) -> datetime:
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
