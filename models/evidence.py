"""From rows of a dataset to what a policy is asked: distinct accesses, each with the evidence for it.

A row says what a workload did; an `Access` is the question that a policy answers. `accesses` translates, and is the
only place that does: the learner, the simulator, the checks and the benchmarks all judge what it yields. Rows of
attempts that failed before any security hook was asked are left out (`judged`): they need no rule, and denying them
would change nothing.

`gather` groups a dataset by workload into `Evidence`, the learner's whole input, in an order that does not depend on
the order of the rows.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import INVENTORY, Class, Phase
from models.dataset import Dataset
from models.policy.access import Access, Op
from models.policy.names import capability_name

__all__ = ["Evidence", "Seen", "Workload", "accesses", "gather", "judged", "of_units"]

_BEFORE_THE_HOOK = (
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

_WORKLOAD = ("cluster", "namespace", "workload_kind", "workload", "container")
_KEY = (
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


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """Whose behaviour it is."""

    name: str
    kind: str = ""
    namespace: str = ""
    container: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        kind = f"{self.kind.lower()}/" if self.kind else ""
        return f"{where}{kind}{self.name}" + (f" ({self.container})" if self.container else "")


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


@dataclass(frozen=True)
class Evidence:
    """Everything known about one workload: the learner's input."""

    workload: Workload
    units: tuple[str, ...]
    """The units that were recorded, in order of their names, those without behaviour included."""
    behaviours: pa.Table = field(repr=False)
    """Its rows, with the columns of `models.behaviour.BEHAVIOURS`."""
    inventory: pa.Table = field(default_factory=INVENTORY.empty_table, repr=False)
    watched: Mapping[str, str] = field(default_factory=dict)
    """For each class ``watched`` or ``unwatched``; a class that is missing is unwatched."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Events lost, by cause."""
    images: tuple[tuple[str, str], ...] = ()
    """(image, digest) of its units."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that all its units share."""
    recordings: tuple[str, ...] = ()
    """Ids of the recordings it came from."""

    def phases(self) -> frozenset[str]:
        """The phases in which anything was recorded."""
        return frozenset(_text(self.behaviours["phase"]).unique().to_pylist())

    @property
    def is_host(self) -> bool:
        """Whether the host itself was recorded: its policy is a KubeArmorHostPolicy."""
        return self.workload.kind == "Host"


def judged(behaviours: pa.Table) -> pa.Table:
    """The rows that a security module was asked about: successes, and failures that come after its hook.

    A capability that the task does not hold is refused before (EPERM); a connection that nobody took (ECONNREFUSED), an
    accept without a client (EAGAIN) and a directory that was not empty (ENOTEMPTY) were judged like a success.
    """
    failed = pc.not_equal(behaviours["errno"], 0)
    socketed = pc.equal(_text(behaviours["class"]), str(Class.SOCKET))
    early = pc.is_in(behaviours["errno"], pa.array(_BEFORE_THE_HOOK, pa.uint16()))
    capability = pc.equal(_text(behaviours["class"]), str(Class.CAPABILITY))
    out = pc.and_(failed, pc.or_(capability, pc.and_(early, pc.invert(socketed))))
    # a socket call is judged first and fails later, but for a socket that never came to be
    denied = pc.is_in(behaviours["errno"], pa.array([errno.EACCES, errno.EPERM, errno.EBADF], pa.uint16()))
    out = pc.or_(out, pc.and_(failed, pc.and_(socketed, denied)))
    return behaviours.filter(pc.invert(out))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def of_units(behaviours: pa.Table, units: Iterable[str]) -> pa.Table:
    """The rows of some units."""
    return behaviours.filter(pc.is_in(_text(behaviours["unit"]), pa.array(sorted(units), pa.string())))


def accesses(behaviours: pa.Table, *, leave_out: Sequence[str] = (Phase.EXEC_SESSION,)) -> list[Seen]:
    """The distinct accesses in rows of one workload, in a fixed order.

    `leave_out` are phases that are no evidence; what a person did through ``exec`` into the container, unless told.
    """
    rows = judged(behaviours)
    if leave_out:
        rows = rows.filter(pc.invert(pc.is_in(_text(rows["phase"]), pa.array(list(map(str, leave_out)), pa.string()))))
    if not rows.num_rows:
        return []
    table = pa.table({name: _text(rows[name]) for name in (*_KEY, "unit", "phase", "count", "first_seen", "last_seen")})
    # the parent decides about an exec alone: elsewhere it would only multiply what is the same access
    is_exec = pc.equal(table["class"], str(Class.EXEC))
    table = table.set_column(
        table.schema.get_field_index("parent_exe"),
        "parent_exe",
        pc.if_else(is_exec, table["parent_exe"], pa.scalar(None, pa.string())),
    )
    grouped = table.group_by(list(_KEY)).aggregate(
        [
            ("count", "sum"),
            ("first_seen", "min"),
            ("last_seen", "max"),
            ("unit", "distinct"),
            ("phase", "distinct"),
        ]
    )
    merged: dict[tuple[Any, ...], Seen] = {}
    for row in grouped.to_pylist():
        access = _access(row)
        seen = Seen(
            access,
            int(row["count_sum"]),
            frozenset(row["unit_distinct"]),
            frozenset(row["phase_distinct"]),
            row["first_seen_min"],
            row["last_seen_max"],
            row["object"] or "",
            row["fs"] or "",
            row["script"] or "",
        )
        key = (access, seen.object, seen.script)
        merged[key] = _merged(merged[key], seen) if key in merged else seen
    return [merged[key] for key in sorted(merged, key=lambda k: (_order(k[0]), k[1], k[2]))]


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


def _order(access: Access) -> tuple[Any, ...]:
    return (
        access.op,
        access.path,
        access.source,
        access.parent,
        access.read,
        access.write,
        access.create,
        access.truncate,
        access.directory,
        str(access.owner_match),
        access.family,
        access.type,
        access.protocol,
        access.capability,
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


def gather(dataset: Dataset, *, containers: bool = True) -> list[Evidence]:
    """The evidence of each workload in a dataset, ordered by workload; `containers` keeps those of a pod apart."""
    names = _WORKLOAD if containers else _WORKLOAD[:-1]
    behaviours, units = dataset.behaviours(), dataset.units()
    inventory = dataset.inventory()
    losses = dataset.losses().to_pylist()
    watched = {name: w["state"] for name, w in dataset.watched.items()}
    answer = []
    whose = {
        tuple(r[n] or "" for n in names)
        for r in behaviours.select(names).group_by(list(names)).aggregate([]).to_pylist()
    }
    told = units.to_pylist()
    whose |= {tuple(r[n] or "" for n in names) for r in told}
    for key in sorted(whose):
        mine = [r for r in told if tuple(r[n] or "" for n in names) == key]
        rows = behaviours
        for name, value in zip(names, key, strict=True):
            column = pc.fill_null(_text(rows[name]), "")
            rows = rows.filter(pc.equal(column, value))
        parts = dict(zip(names, key, strict=True))
        unit_names = sorted({r["unit"] for r in mine} | set(_text(rows["unit"]).unique().to_pylist()))
        lost: dict[str, int] = {}
        for loss in losses:
            if loss["unit"] in unit_names:
                lost[loss["cause"]] = lost.get(loss["cause"], 0) + int(loss["count"])
        digests = sorted({(r["image"] or "", r["image_digest"] or "") for r in mine if r["image"] or r["image_digest"]})
        stock = inventory.filter(pc.equal(_text(inventory["workload"]), parts["workload"]))
        answer.append(
            Evidence(
                workload=Workload(
                    name=parts["workload"],
                    kind=parts["workload_kind"],
                    namespace=parts["namespace"],
                    container=parts.get("container", ""),
                    cluster=parts["cluster"],
                ),
                units=tuple(unit_names),
                behaviours=rows,
                inventory=stock,
                watched=watched,
                lost=lost,
                images=tuple(digests),
                labels=_shared_labels(mine),
                recordings=tuple(sorted(r.id for r in dataset.recordings)),
            )
        )
    return answer


def _shared_labels(units: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    sets = [dict(u["labels"]) for u in units if u["labels"]]
    if not sets or len(sets) < len(units):
        return dict(sets[0]) if len(sets) == 1 == len(units) else {}
    return {k: v for k, v in sorted(sets[0].items()) if all(s.get(k) == v for s in sets)}
