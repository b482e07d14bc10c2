"""From the rings' records to SEGMENT rows.

The kernel tells of each cgroup, executable and actor once, before the first behaviour that refers to it; the decoder
keeps those tables. A back end that does not see what the kernel itself does at an exec (it opens the executable, its
loader and its script, and maps them) has those rows *derived* here.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from collectors.live.abi import FAMILIES, TYPES, Abi, class_of, object_of, protocol_name
from collectors.live.bulk import combinations, paths
from collectors.live.paths import Root
from models.behaviour import SEGMENT, Access, Object, Operation, Resolution, text_of

__all__ = ["Actor", "Decoder", "Tables", "derived_key"]

_NESTED = 5  # interpreters that the kernel follows (BINPRM_MAX_RECURSION in fs/exec.c)
_NO_PATH = 0xFFFF
_FOLLOWED = {Operation.TRUNCATE, Operation.CHMOD, Operation.CHOWN, Operation.SETXATTR, Operation.EXEC, Operation.OPEN}
_PLAIN = {
    *(Operation.OPEN, Operation.MMAP_EXEC, Operation.MPROTECT_EXEC, Operation.TRUNCATE),
    *(Operation.CHMOD, Operation.CHOWN, Operation.SETXATTR),
}
"""What acts on a file that the kernel has resolved: such a row is plain unless its flags say otherwise."""
_MANY = 256
_NAMED_BY_KERNEL = {Operation.CONNECT, Operation.BIND, Operation.SEND, Operation.LISTEN, Operation.ACCEPT}
_CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]


@dataclass(frozen=True)
class Actor:
    """Who acts, as the kernel's numbers."""

    cgroup: int
    exe: int
    parent_exe: int
    uid: int
    phase: int
    tty: bool


@dataclass
class Tables:
    """What the kernel tells once. Paths are bytes, an executable's without path (memfd) its bare name."""

    actors: dict[int, Actor] = field(default_factory=dict)
    executables: dict[int, bytes] = field(default_factory=dict)
    cgroups: dict[int, tuple[bytes, int, int]] = field(default_factory=dict)  # id: path, first tgid, when
    scripts: dict[int, bytes] = field(default_factory=dict)
    derived: dict[int, int] = field(default_factory=dict)  # key: how many rows were derived from it


class Decoder:
    """Turns batches of records into rows.

    `unit_of`: cgroup id -> unit. `root_of`: tgid, mount namespace -> the
    file system root that the process saw. `redact`: argv as it may
    be stored. `clock`: what to add to CLOCK_MONOTONIC ns for Unix time in ns. `sees_exec`: the back end sees the
    kernel's own part of an exec. `on_control`: called for records that are no behaviour (cgroup, ready, exit).
    """

    def __init__(
        self,
        abi: Abi,
        tables: Tables,
        *,
        unit_of: Callable[[int], str],
        root_of: Callable[[int, int], Root],
        redact: Callable[[list[str]], list[str]],
        clock: int,
        sees_exec: bool,
        on_control: Callable[[str, np.void], None],
        on_gone: Callable[[int], None],
    ) -> None:
        self.abi, self.tables = abi, tables
        self._unit_of, self._root_of, self._redact = unit_of, root_of, redact
        self._clock, self._sees_exec = clock, sees_exec
        self._on_control, self._on_gone = on_control, on_gone
        self._kind = {number: name for name, number in abi.kinds.items()}
        self._loaders: dict[bytes, bytes | None] = {}
        self._rows: dict[str, list[Any]] = {name: [] for name in SEGMENT.names}
        self._tables: list[pa.Table] = []
        self._plain_operations = [n for n, op in abi.operations.items() if op in _PLAIN]
        self._plain_flags = sum(abi.flags[name] for name in ("OWNER", "OWNER_KNOWN"))
        self.fresh = Tables()
        """What was learned since it was last taken: to be stored with the rows, for a recording that is resumed."""

    def feed(self, records: np.ndarray[Any, Any]) -> None:
        """Decode one batch of short or long records, in order; those of many plain ones come last."""
        plain = self._plain(records)
        if plain.sum() < _MANY:
            self._feed(records)
            return
        self._feed(records[~plain])
        self._feed_plain(records[plain])

    def _plain(self, records: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which records follow from a few numbers and the path that the kernel walked."""
        head = records["head"]
        end = records.dtype["path"].itemsize
        kind, flags = head["kind"] == self.abi.kinds["BEHAVIOUR"], head["flags"] & ~np.uint32(self._plain_flags)
        found: np.ndarray[Any, Any] = (
            kind & (flags == 0) & np.isin(head["op"], self._plain_operations) & (head["path_at"] < end)
        )
        return found

    def _feed_plain(self, records: np.ndarray[Any, Any]) -> None:
        head = records["head"]
        texts = paths(records, head["path_at"])
        if texts is None:  # a name that is no UTF-8 among them
            self._feed(records)
            return
        examples, number = combinations(head)
        waiting, self._rows = self._rows, {name: [] for name in SEGMENT.names}
        self._feed(records[examples])
        table, self._rows = self._take().take(pa.array(number)), waiting
        when = pa.array((head["when"].astype("i8") + self._clock) // 1000, pa.timestamp("us", tz="UTC"))
        own = {"key": pa.array(head["id"]), "path": texts, "first_seen": when, "last_seen": when}
        for name, column in own.items():
            place = SEGMENT.get_field_index(name)
            table = table.set_column(place, SEGMENT.field(place), column.cast(SEGMENT.field(place).type))
        self._tables.append(table)

    def _feed(self, records: np.ndarray[Any, Any]) -> None:
        end = records.dtype["path"].itemsize
        head = records["head"]
        raw = records.tobytes()
        stride, path, given = records.dtype.itemsize, records.dtype.fields["path"][1], records.dtype.fields["given"][1]
        at, length = head["path_at"].tolist(), head["given_length"].tolist()
        for i, kind in enumerate(head["kind"].tolist()):
            base = None
            if at[i] != _NO_PATH:
                base = raw[i * stride + path + at[i] : i * stride + path + end] or b"/"
            text = raw[i * stride + given : i * stride + given + length[i]]
            if self._kind[kind] == "BEHAVIOUR":
                self._behaviour(head[i], base, text)
            else:
                self._control(self._kind[kind], head[i], base)

    def take(self) -> pa.Table:
        """The rows decoded since the last call."""
        tables, self._tables = [self._take(), *self._tables], []
        return pa.concat_tables(tables).unify_dictionaries() if len(tables) > 1 else tables[0]

    def _take(self) -> pa.Table:
        columns = [pa.array(self._rows[f.name], _plain(f.type)).cast(f.type) for f in SEGMENT]
        self._rows = {name: [] for name in SEGMENT.names}
        return pa.Table.from_arrays(columns, schema=SEGMENT)

    def _control(self, kind: str, head: np.void, base: bytes | None) -> None:
        number = int(head["id"])
        if kind == "ACTOR":
            cgroup, exe, parent, uid, phase = (int(head[n]) for n in ("cgroup", "exe", "parent_exe", "uid", "phase"))
            actor = Actor(cgroup, exe, parent, uid, phase, tty=bool(head["tty"]))
            self.tables.actors[number] = self.fresh.actors[number] = actor
        elif kind == "EXE":
            self.tables.executables[number] = self.fresh.executables[number] = base or b""
        else:
            if kind == "CGROUP":
                entry = base or b"/", int(head["tgid"]), int(head["when"])
                self.tables.cgroups[number] = self.fresh.cgroups[number] = entry
            self._on_control(kind, head)

    def _behaviour(self, head: np.void, base: bytes | None, given: bytes) -> None:
        op = self.abi.operations[int(head["op"])]
        actor = self.tables.actors[int(head["actor"])]
        row: dict[str, Any] = {
            "key": int(head["id"]),
            "class": class_of(op),
            "op": op,
            "access": self.abi.access(int(head["access"])),
            "errno": int(head["error"]),
            "count": 1,
            "first_seen": (int(head["when"]) + self._clock) // 1000,
        }
        row["last_seen"] = row["first_seen"]
        if op is Operation.CAPABLE:
            number = int(head["port"])
            name = _CAPABILITIES[number] if number < len(_CAPABILITIES) else str(number)
            row["capability"] = f"CAP_{name}"
        elif class_of(op) == "socket":
            self._socket(row, op, head, base, given)
        else:
            self._file(row, op, head, base, given)
        self._add(actor, row)
        if op is Operation.EXEC and not row["errno"]:
            self._after_exec(actor, row, head, base, given)

    def _add(self, actor: Actor, row: dict[str, Any], exe: bytes | None = None) -> None:
        executables = self.tables.executables
        row["unit"] = self._unit_of(actor.cgroup)
        row["phase"] = self.abi.phases[actor.phase]
        row["exe"] = text_of(exe if exe is not None else executables.get(actor.exe, b""))[0]
        row["parent_exe"] = text_of(executables[actor.parent_exe])[0] if actor.parent_exe in executables else None
        row["uid"], row["tty"] = actor.uid, actor.tty
        for name, values in self._rows.items():
            values.append(row.get(name))

    def _file(self, row: dict[str, Any], op: Operation, head: np.void, base: bytes | None, given: bytes) -> None:
        flags = self._flags(head)
        row["fs"] = bytes(head["fs"]).split(b"\0", 1)[0].decode(errors="replace") or None
        row["object"] = object_of(int(head["mode"])) if head["mode"] else Object.UNKNOWN
        if "OWNER_KNOWN" in flags:
            row["owner_match"] = "OWNER" in flags
        resolved, path = Resolution.KERNEL, base
        if "JOINED" in flags or "ASKED" in flags:
            follow = op in _FOLLOWED and "NOFOLLOW" not in flags and row["errno"] != errno.ELOOP
            root = self._root(head)
            path = self._joined(base, given, root, follow_last=follow)
            resolved = Resolution.ASKED if "ASKED" in flags else Resolution.JOINED
            if root.gone and resolved is Resolution.JOINED:  # a link in it would have led elsewhere
                resolved = Resolution.UNRESOLVED
                self._on_gone(int(head["cgroup"]))
        elif "ANONYMOUS" in flags:
            row["object"] = Object.ANONYMOUS
            path = base if base and base != b"/" else None
        elif "UNHASHED" in flags and path is not None:
            name = path.rsplit(b"/", 1)[-1]
            row["object"] = Object.TMPFILE if name.startswith(b"#") and name[1:].isdigit() else Object.DELETED
        if row["object"] is Object.DIRECTORY and op is Operation.OPEN:
            row["access"] = f"{row['access']}+{Access.DIRECTORY}"
        if path is None and row["object"] is not Object.ANONYMOUS:
            resolved = Resolution.UNRESOLVED
        if flags & {"PATH_CUT", "GIVEN_CUT", "DETACHED"}:
            resolved = Resolution.UNRESOLVED
        row["resolved"] = resolved
        if path is not None:
            row["path"], row["path_raw"] = text_of(path)

    def _flags(self, head: np.void) -> set[str]:
        bits = int(head["flags"])
        return {name for name, bit in self.abi.flags.items() if bits & bit}

    def _root(self, head: np.void) -> Root:
        return self._root_of(int(head["tgid"]), int(head["mount_namespace"]))

    def _joined(self, base: bytes | None, given: bytes, root: Root, *, follow_last: bool) -> bytes | None:
        if base is None:
            return None
        full = given if base == b"/" and given.startswith(b"/") else base.rstrip(b"/") + b"/" + given
        return root.canonical(full, follow_last=follow_last, top=base if given.startswith(b"/") else b"/")

    def _socket(self, row: dict[str, Any], op: Operation, head: np.void, base: bytes | None, given: bytes) -> None:
        family, kind = int(head["family"]), int(head["type"])
        row["family"] = FAMILIES.get(family, str(family))
        row["type"] = TYPES.get(kind, str(kind))
        row["protocol"] = protocol_name(family, kind, int(head["protocol"]))
        if op not in _NAMED_BY_KERNEL:
            return
        address = bytes(head["address"])
        if family == socket.AF_INET:
            row["address"], row["port"] = str(ipaddress.IPv4Address(address[:4])), int(head["port"])
        elif family == socket.AF_INET6:
            wide = ipaddress.IPv6Address(address)
            row["address"], row["port"] = str(wide.ipv4_mapped or wide), int(head["port"])
        elif family == socket.AF_UNIX and base is not None and "JOINED" not in self._flags(head):
            row["path"], row["path_raw"] = text_of(base)
            row["resolved"] = Resolution.KERNEL
        elif family == socket.AF_UNIX and len(given) > 2:
            name = given[2:]
            if name.startswith(b"\0"):
                row["path"], row["path_raw"] = text_of(b"@" + name[1:])
                return
            full = self._joined(base or b"/", name.split(b"\0", 1)[0], self._root(head), follow_last=True)
            row["path"], row["path_raw"] = text_of(full or b"/")
            row["resolved"] = Resolution.ASKED if row["errno"] else Resolution.JOINED

    # Exec

    def _after_exec(self, actor: Actor, row: dict[str, Any], head: np.void, base: bytes | None, given: bytes) -> None:
        """Fills in argv and script, and derives what the back end does not see."""
        root = self._root(head)
        if "JOINED" in self._flags(head) or row["key"] in self.tables.scripts:
            # The script's own row; that of its interpreter follows.
            self._script(actor, row, row["path_raw"] or row["path"].encode(), root)
            return
        if script := self.tables.scripts.get(int(head["exe"])):
            self._amend(script=text_of(script)[0])
        self._amend(
            argv=self._redact([text_of(word)[0] for word in given.rstrip(b"\0").split(b"\0")]) if given else None
        )
        if self._sees_exec or base is None or row["object"] is Object.ANONYMOUS:
            return
        self._derive_open(actor, row, base)
        self._derive(actor, row, base, Operation.MMAP_EXEC, None, exe=base)
        readable, loader = root.loader(base)
        if readable:
            self._loaders[base] = loader
        elif base in self._loaders:
            loader = self._loaders[base]
        else:
            self._on_gone(actor.cgroup)
        if loader:
            self._derive_open(actor, row, loader)
            self._derive(actor, row, loader, Operation.MMAP_EXEC, None, exe=base)

    def _script(self, actor: Actor, row: dict[str, Any], script: bytes, root: Root) -> None:
        """A script's row has its interpreter; where that is a script too, the kernel has executed and read it."""
        self.tables.scripts[row["key"]] = self.fresh.scripts[row["key"]] = script
        for depth in range(_NESTED):
            named = root.script_interpreter(script)
            interpreter = root.canonical(named, follow_last=True) if named else None
            self._amend(interpreter=text_of(interpreter)[0] if interpreter else None)
            if not self._sees_exec:
                self._derive_open(actor, row, script)
            if interpreter is None or depth == _NESTED - 1 or root.script_interpreter(interpreter) is None:
                return
            script = interpreter
            self._derive(actor, row, script, Operation.EXEC, None)

    def _amend(self, **values: Any) -> None:
        for name, value in values.items():
            self._rows[name][-1] = value

    def _derive_open(self, actor: Actor, row: dict[str, Any], path: bytes) -> None:
        self._derive(actor, row, path, Operation.OPEN, Access.READ)

    def _derive(
        self,
        actor: Actor,
        row: dict[str, Any],
        path: bytes,
        op: Operation,
        access: Access | None,
        exe: bytes | None = None,
    ) -> None:
        text, raw = text_of(path)
        key = row["key"]
        number = self.tables.derived.get(key, 0)
        self.tables.derived[key] = self.fresh.derived[key] = number + 1
        derived = {n: row[n] for n in ("count", "first_seen", "last_seen", "errno")}
        derived["key"] = derived_key(key, number)
        derived |= {"class": class_of(op), "op": op, "access": access, "path": text, "path_raw": raw}
        derived |= {"resolved": Resolution.DERIVED, "object": Object.FILE}
        self._add(actor, derived, exe)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def derived_key(key: int, number: int) -> int:
    """The key of the `number`-th row derived from the row with `key`."""
    return (key * 0x9E3779B97F4A7C15 + number + 1) & 0xFFFFFFFFFFFFFFFF
