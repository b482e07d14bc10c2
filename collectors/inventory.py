"""What exists in a workload's file system: a walk that no tree can lead astray.

The root is another's (``/proc/PID/root``): each directory is opened relative to the one above and never through a
symlink, pseudo file systems are not entered, and entries, depth and time are bounded. What was not read is counted, in
the table's metadata under ``discover.inventory``.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from collectors.packages import owners
from models.behaviour import INVENTORY, Object, text_of

__all__ = ["Tally", "inventory_of"]

_PSEUDO = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x1CD1,  # devpts
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x19800202,  # mqueue
        0xCAFE4A11,  # bpf
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x62656570,  # configfs
        0x65735543,  # fusectl
        0x958458F6,  # hugetlbfs
        0x42494E4D,  # binfmt_misc
        0xDE5E81E4,  # efivarfs
        0x6165676C,  # pstore
        0xF97CFF8C,  # selinuxfs
        0x187,  # autofs: looking would mount
        0x6E736673,  # nsfs
    }
)
"""f_type of file systems that hold the kernel's state, not files: linux/magic.h."""
_NEVER = frozenset({"proc", "sys", "dev"})
_DEPTH = 200
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KINDS = {
    stat.S_IFREG: Object.FILE,
    stat.S_IFDIR: Object.DIRECTORY,
    stat.S_IFLNK: Object.SYMLINK,
    stat.S_IFCHR: Object.DEVICE,
    stat.S_IFBLK: Object.DEVICE,
    stat.S_IFIFO: Object.FIFO,
    stat.S_IFSOCK: Object.SOCKET,
}


@dataclass
class Tally:
    """How the walk went: what was listed, and how many directories were not, by reason."""

    entries: int = 0
    unreadable: int = 0
    too_deep: int = 0
    pseudo: int = 0
    cut_short: int = 0
    """Directories known but not read, because entries or time ran out."""
    seconds: float = 0.0


@dataclass
class _Walk:
    max_entries: int
    deadline: float
    progress: Callable[[int], None] | None
    tally: Tally = field(default_factory=Tally)

    def over(self) -> bool:
        return self.tally.entries >= self.max_entries or time.monotonic() > self.deadline

    def directory(
        self, fd: int, path: bytes, device: int, depth: int
    ) -> Iterator[tuple[bytes, os.stat_result, str | None]]:
        """The entries of an open directory and of all below it."""
        below: list[str] = []
        try:
            with os.scandir(fd) as listing:
                for entry in listing:
                    if self.over():
                        self.tally.cut_short += 1
                        break
                    try:
                        status = entry.stat(follow_symlinks=False)
                        target = os.readlink(entry.name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else None
                    except OSError:
                        self.tally.unreadable += 1
                        continue
                    self.tally.entries += 1
                    if self.progress and self.tally.entries % 10_000 == 0:
                        self.progress(self.tally.entries)
                    yield path + b"/" + os.fsencode(entry.name), status, target
                    if stat.S_ISDIR(status.st_mode):
                        below.append(entry.name)
        except OSError:
            self.tally.unreadable += 1
        for name in sorted(below):
            if self.over():
                self.tally.cut_short += 1
                continue
            if depth >= _DEPTH:
                self.tally.too_deep += 1
                continue
            yield from self._enter(fd, name, path, device, depth)

    def _enter(
        self, above: int, name: str, path: bytes, device: int, depth: int
    ) -> Iterator[tuple[bytes, os.stat_result, str | None]]:
        if depth == 0 and name in _NEVER:
            self.tally.pseudo += 1
            return
        try:
            fd = os.open(name, _OPEN, dir_fd=above)
        except OSError:
            self.tally.unreadable += 1
            return
        try:
            own = os.fstat(fd).st_dev
            if own != device and _file_system(fd) in _PSEUDO:
                self.tally.pseudo += 1
                return
            yield from self.directory(fd, path + b"/" + os.fsencode(name), own, depth + 1)
        finally:
            os.close(fd)


def _file_system(fd: int) -> int:
    """statfs(2)'s f_type; its first word on every Linux."""
    buffer = (ctypes.c_long * 32)()
    if ctypes.CDLL(None, use_errno=True).fstatfs(fd, buffer):
        return 0
    return int(buffer[0]) & 0xFFFFFFFF


def inventory_of(
    root: Path,
    *,
    workload: str,
    image_digest: str | None = None,
    max_entries: int = 1_000_000,
    max_seconds: float = 60.0,
    progress: Callable[[int], None] | None = None,
) -> pa.Table:
    """The INVENTORY table of the file system at `root`; its metadata ``discover.inventory`` is a `Tally` as JSON.

    `progress` is called with the number of entries, every 10,000. Raises OSError if `root` itself cannot be opened.
    """
    began = time.monotonic()
    walk = _Walk(max_entries, began + max_seconds, progress)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    columns: dict[str, list[object]] = {
        name: [] for name in ("path", "path_raw", "object", "size", "mode", "uid", "gid")
    }
    links: list[str | None] = []
    packages: list[str | None] = []
    try:
        owner = owners(fd)
        for name, status, target in walk.directory(fd, b"", os.fstat(fd).st_dev, 0):
            text, raw = text_of(name)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), Object.UNKNOWN)
            row = (text, raw, str(kind), status.st_size, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            links.append(None if target is None else text_of(os.fsencode(target))[0])
            packages.append(owner.get(name))
    finally:
        os.close(fd)
    walk.tally.seconds = round(time.monotonic() - began, 3)
    count = len(links)
    named: dict[str, Sequence[object]] = {
        **columns,
        "link_target": links,
        "package": packages,
        "workload": [workload] * count,
        "image_digest": [image_digest] * count,
    }
    metadata = {b"discover.inventory": json.dumps(asdict(walk.tally)).encode()}
    arrays = [_array(named[f.name], f.type) for f in INVENTORY]
    return pa.table(arrays, schema=INVENTORY.with_metadata(metadata))


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(values, kind)
