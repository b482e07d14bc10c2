r"""What one row of a behaviour dataset means: the vocabulary and the Arrow schemas.

One row is one distinct behaviour of one actor in one unit and phase, with a count; never one row a raw event. The
schemas here are the contract between whoever records and whoever learns; `SCHEMA_VERSION` travels in the metadata
of every Parquet file and changes whenever a column changes its meaning.

Paths are byte strings in the kernel. `path` is their text: bytes that are no UTF-8 appear as ``\xNN``, and only then
`path_raw` holds the bytes themselves, so nothing is lost and two different files never share both columns.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

__all__ = [
    "BEHAVIOURS",
    "INVENTORY",
    "LOSSES",
    "SCHEMA_VERSION",
    "SEGMENT",
    "SEGMENT_COUNTS",
    "UNITS",
    "Access",
    "Class",
    "Loss",
    "Object",
    "Operation",
    "Phase",
    "Resolution",
    "text_of",
]

SCHEMA_VERSION = 1


class Class(StrEnum):
    """The classes of behaviour, each with a coverage figure of its own."""

    EXEC = "exec"
    FILE = "file"
    SOCKET = "socket"
    CAPABILITY = "capability"


class Operation(StrEnum):
    """What was done. A rename or link is two rows, one for each name: an enforcer judges both."""

    EXEC = "exec"
    OPEN = "open"
    MMAP_EXEC = "mmap-exec"
    MPROTECT_EXEC = "mprotect-exec"
    TRUNCATE = "truncate"
    UNLINK = "unlink"
    RENAME_FROM = "rename-from"
    RENAME_TO = "rename-to"
    LINK_FROM = "link-from"
    LINK_TO = "link-to"
    SYMLINK = "symlink"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    MKNOD = "mknod"
    CHMOD = "chmod"
    CHOWN = "chown"
    SETXATTR = "setxattr"
    SOCKET = "socket"
    CONNECT = "connect"
    BIND = "bind"
    LISTEN = "listen"
    ACCEPT = "accept"
    SEND = "send"
    CAPABLE = "capable"


class Access(StrEnum):
    """Parts of the `access` column of an open, joined with ``+`` in this order: ``read+write+create``."""

    READ = "read"
    WRITE = "write"
    APPEND = "append"
    CREATE = "create"
    TRUNCATE = "truncate"
    DIRECTORY = "directory"


class Phase(StrEnum):
    """When in a unit's life it happened."""

    RUNTIME_INIT = "runtime-init"
    """The container runtime inside the container, before it executes a file of the container's own mounts."""
    START_UP = "start-up"
    STEADY = "steady"
    SHUTDOWN = "shutdown"
    DRILL = "drill"
    EXEC_SESSION = "exec-session"
    """Descends from a person's ``exec`` into the container (it has a terminal)."""
    PROBE = "probe"
    """Descends from an ``exec`` into the container without a terminal: a health probe and its kin."""


class Resolution(StrEnum):
    """How the path of a row came to be known, from the surest to the least sure."""

    KERNEL = "kernel"
    """Walked from the object that the kernel itself resolved."""
    JOINED = "joined"
    """The directory was resolved in the kernel, the last name is as the program gave it."""
    DERIVED = "derived"
    """Follows from another row: an exec's loader, script and mappings where the back end does not see them."""
    ASKED = "asked"
    """A failed attempt: the name as the program gave it, joined to the directory it was relative to."""
    UNRESOLVED = "unresolved"


class Object(StrEnum):
    """What kind of object the path leads to."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    DEVICE = "device"
    FIFO = "fifo"
    SOCKET = "socket"
    DELETED = "deleted"
    """A file that had lost its name when it was used."""
    TMPFILE = "tmpfile"
    """A file that never had a name (``O_TMPFILE``)."""
    ANONYMOUS = "anonymous"
    """No path in any mount namespace: a memfd, a pipe, an anonymous inode."""
    UNKNOWN = "unknown"


class Loss(StrEnum):
    """Every way in which something that happened can be missing from the dataset, counted per unit."""

    RING_FULL = "ring-full"
    MAP_FULL = "map-full"
    PATH_TRUNCATED = "path-truncated"
    STRING_UNREADABLE = "string-unreadable"
    PROCESS_GONE = "process-gone"
    UNRESOLVED = "unresolved"
    MISSED = "missed"
    """The kernel skipped the program (its recursion guard): known in number, not in kind."""


_name = pa.dictionary(pa.int32(), pa.string())
_when = pa.timestamp("us", tz="UTC")

_ACTOR = [
    pa.field("unit", _name, nullable=False),
    pa.field("phase", _name, nullable=False),
    pa.field("exe", _name, nullable=False),
    pa.field("parent_exe", _name),
    pa.field("uid", pa.uint32(), nullable=False),
    pa.field("tty", pa.bool_(), nullable=False),
]
_OPERATION = [
    pa.field("class", _name, nullable=False),
    pa.field("op", _name, nullable=False),
    pa.field("access", _name),
    pa.field("path", pa.string()),
    pa.field("path_raw", pa.binary()),
    pa.field("resolved", _name),
    pa.field("object", _name),
    pa.field("fs", _name),
    pa.field("owner_match", pa.bool_()),
    pa.field("interpreter", pa.string()),
    pa.field("script", pa.string()),
    pa.field("argv", pa.list_(pa.string())),
    pa.field("family", _name),
    pa.field("type", _name),
    pa.field("protocol", _name),
    pa.field("address", pa.string()),
    pa.field("port", pa.uint16()),
    pa.field("capability", _name),
    pa.field("errno", pa.uint16(), nullable=False),
]
_TALLY = [
    pa.field("count", pa.uint64(), nullable=False),
    pa.field("first_seen", _when, nullable=False),
    pa.field("last_seen", _when, nullable=False),
]
_IDENTITY = [
    pa.field("cluster", _name),
    pa.field("node", _name),
    pa.field("namespace", _name),
    pa.field("workload_kind", _name),
    pa.field("workload", _name, nullable=False),
    pa.field("container", _name),
    pa.field("image", _name),
    pa.field("image_digest", _name),
]

BEHAVIOURS = pa.schema(_IDENTITY + _ACTOR + _OPERATION + _TALLY)
"""The rows of ``behaviours/``, after a recording was finished.

- `exe`, `parent_exe`: executables as the kernel resolved them, seen from the workload's root; `parent_exe` is the
  executable of the process that started this one, as it was at that moment.
- `path`: file operations and exec: the object, seen from the root of the actor's mount namespace. Sockets: the unix
  path (an abstract one begins with ``@``). `path_raw`: see the module's text.
- `interpreter`, `script`: an exec through ``#!``: `path` is the interpreter that runs, `script` what was asked for.
- `argv`: one bounded, redacted sample; never part of what makes a behaviour distinct.
- `address`, `port`: the peer of connect and send, the own address of bind and listen; of accept the own port, and as
  `address` one sample of the peers.
- `owner_match`: whether the file belonged to the actor's file-system uid.
- `fs`: the file system type, as ``/proc/filesystems`` names it.
- `errno`: 0 for success (EINPROGRESS counts as success).
"""

SEGMENT = pa.schema([pa.field("key", pa.uint64(), nullable=False), *_ACTOR, *_OPERATION, *_TALLY])
"""What the recorder appends while it runs: behaviours with the kernel's key, before counts are merged in."""

SEGMENT_COUNTS = pa.schema([pa.field("key", pa.uint64(), nullable=False), _TALLY[0], _TALLY[2]])
"""Counts and last-seen times by key, read from the kernel's set; the newest replaces all earlier ones."""

UNITS = pa.schema(
    [
        pa.field("unit", pa.string(), nullable=False),
        *_IDENTITY,
        pa.field("labels", pa.map_(pa.string(), pa.string())),
        pa.field("container_id", pa.string()),
        pa.field("pod_uid", pa.string()),
        pa.field("cgroup", pa.string()),
        pa.field("started", _when),
        pa.field("ready", _when),
        pa.field("ended", _when),
        pa.field("drills", pa.list_(pa.string())),
        pa.field("notes", pa.list_(pa.string())),
    ]
)
"""One row a unit (replica-run): who it is, when it started, became ready and ended, which drills it went through."""

LOSSES = pa.schema(
    [
        pa.field("unit", pa.string(), nullable=False),
        pa.field("cause", pa.string(), nullable=False),
        pa.field("count", pa.uint64(), nullable=False),
    ]
)
"""What was lost, by unit and cause (see `Loss`); no row means nothing."""

INVENTORY = pa.schema(
    [
        pa.field("workload", _name, nullable=False),
        pa.field("image_digest", _name),
        pa.field("path", pa.string(), nullable=False),
        pa.field("path_raw", pa.binary()),
        pa.field("object", _name, nullable=False),
        pa.field("size", pa.uint64()),
        pa.field("mode", pa.uint16()),
        pa.field("uid", pa.uint32()),
        pa.field("gid", pa.uint32()),
        pa.field("link_target", pa.string()),
        pa.field("package", _name),
    ]
)
"""What exists in the workload's file system: it prices a generalisation."""


def text_of(name: bytes) -> tuple[str, bytes | None]:
    """The `path` and `path_raw` columns for a name as the kernel has it."""
    try:
        return name.decode(), None
    except UnicodeDecodeError:
        return name.decode(errors="backslashreplace"), name
