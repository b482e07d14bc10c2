"""What exists in a workload's file system: a walk that no tree can lead astray.

The root is another's: each directory is opened relative to the one above and never through a symlink, pseudo file
systems are not entered, and entries, depth and time are bounded. What was not read is counted, in the table's metadata
under ``discover.inventory``.

A container's file system is its image, and listed whole. Of a machine's own file system that is listed which matters
to a price, a rule being a folder or pattern above something observed: the system's folders (``/usr``, ``/etc``,
``/var``, ``/run``, …) whole if anything in them was observed; in folders that people, runtimes and caches fill
(``/home/USER``, ``/var/lib``, ``/tmp``, ``/srv`` and all others at the top) what was observed with all that lies in
the same subfolder, and folders that are called like places of secrets. Of the rest the name alone is listed.
A directory that was not read has no `size`: what lies below it is unknown, not nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from collectors.packages import owners
from models.behaviour import INVENTORY, Object, text_of

__all__ = ["Tally", "folders_near", "inventory_of"]

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
_WHOLE = frozenset(
    {b"/bin", b"/boot", b"/etc", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/run", b"/sbin", b"/usr", b"/var"}
)
_PILES = frozenset({b"/var/cache", b"/var/lib", b"/var/spool", b"/var/tmp"})
"""What the system owns, and where in it things lie that have nothing to do with each other: hier(7)."""
_SECRET = frozenset(
    {b".ssh", b".gnupg", b".aws", b".azure", b".kube", b".docker", b".config", b".password-store"}
    | {b"secrets", b"private"}
)
_NAMED_MAX = 100
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
    left_out: int = 0
    """Directories known but not read, because nothing was observed near them."""
    folders_left_out: list[str] = field(default_factory=list)
    """The first hundred of those, as text."""
    whole: bool = True
    """Whether all was to be listed, and not only what is near to something observed."""
    seconds: float = 0.0


@dataclass
class _Walk:
    max_entries: int
    deadline: float
    progress: Callable[[int], None] | None
    near: frozenset[bytes] | None = None
    """The folders above what was observed, ``b""`` for the root; None: everything counts."""
    tally: Tally = field(default_factory=Tally)
    unread: set[bytes] = field(default_factory=set)

    def wanted(self, path: bytes) -> bool:
        """Whether to read the directory at `path`, whose parent was read."""
        if self.near is None or path in self.near:
            return True
        above, _, name = path.rpartition(b"/")
        if not above:
            return False
        pile = _pile(above)
        return not pile or name in _SECRET or any(f in self.near or _is_secret(f) for f in _above(above, pile))

    def skip(self, path: bytes, reason: str) -> None:
        """Count a directory that was not read."""
        self.unread.add(path)
        setattr(self.tally, reason, getattr(self.tally, reason) + 1)
        if reason == "left_out" and len(self.tally.folders_left_out) < _NAMED_MAX:
            self.tally.folders_left_out.append(text_of(path)[0])

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
                        self.skip(path, "cut_short")
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
            self.skip(path, "unreadable")
        for name in sorted(below):
            yield from self._enter(fd, name, path, device, depth)

    def _enter(
        self, above: int, name: str, folder: bytes, device: int, depth: int
    ) -> Iterator[tuple[bytes, os.stat_result, str | None]]:
        path = folder + b"/" + os.fsencode(name)
        if self.over():
            return self.skip(path, "cut_short")
        if depth >= _DEPTH:
            return self.skip(path, "too_deep")
        if depth == 0 and name in _NEVER:
            return self.skip(path, "pseudo")
        if not self.wanted(path):
            return self.skip(path, "left_out")
        try:
            fd = os.open(name, _OPEN, dir_fd=above)
        except OSError:
            return self.skip(path, "unreadable")
        try:
            own = os.fstat(fd).st_dev
            if own != device and _file_system(fd) in _PSEUDO:
                return self.skip(path, "pseudo")
            yield from self.directory(fd, path, own, depth + 1)
        finally:
            os.close(fd)


def _above(path: bytes, end: bytes) -> Iterator[bytes]:
    """`path` and the folders above it, without `end` and what is above that."""
    while len(path) > len(end):
        yield path
        path = path.rpartition(b"/")[0]


def _pile(path: bytes) -> bytes:
    """The folder at or above `path` whose subfolders have nothing to do with each other; nothing if there is none."""
    parts = path.split(b"/")
    top, second = b"/".join(parts[:2]), b"/".join(parts[:3])
    if top in _WHOLE:
        return second if second in _PILES else b""
    return second if top == b"/home" else top


def _is_secret(folder: bytes) -> bool:
    return folder.rpartition(b"/")[2] in _SECRET


def folders_near(observed: Iterable[bytes]) -> frozenset[bytes]:
    """The folders above the paths, each without a slash at its end, the root as ``b""``."""
    found: set[bytes] = {b""}
    for path in observed:
        folder = path.rpartition(b"/")[0]
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition(b"/")[0]
    return frozenset(found)


def _file_system(fd: int) -> int:
    """statfs(2)'s f_type; its first word on every Linux."""
    buffer = (ctypes.c_long * 32)()
    if ctypes.CDLL(None, use_errno=True).fstatfs(fd, buffer):
        return 0
    return int(buffer[0]) & 0xFFFFFFFF


def inventory_of(
    root: Path | int,
    *,
    workload: str,
    image_digest: str | None = None,
    observed: Iterable[bytes] | None = None,
    max_entries: int = 1_000_000,
    max_seconds: float = 60.0,
    progress: Callable[[int], None] | None = None,
) -> pa.Table:
    """The INVENTORY table of the file system at `root`; its metadata ``discover.inventory`` is a `Tally` as JSON.

    `root` is a directory or an open descriptor of one; rows are ordered by path. With `observed`, absolute paths seen
    from it, only what is near to one of them is listed: see the module's text.

    `progress` is called with the number of entries, every 10,000. Raises OSError if `root` itself cannot be opened.
    """
    began = time.monotonic()
    walk = _Walk(max_entries, began + max_seconds, progress, None if observed is None else folders_near(observed))
    walk.tally.whole = observed is None
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = os.open(".", flags, dir_fd=root) if isinstance(root, int) else os.open(root, flags)
    columns: dict[str, list[object]] = {
        name: [] for name in ("path", "path_raw", "object", "size", "mode", "uid", "gid")
    }
    names: list[bytes] = []
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
            names.append(name)
            links.append(None if target is None else text_of(os.fsencode(target))[0])
            packages.append(owner.get(name))
    finally:
        os.close(fd)
    for n in range(len(links)):
        if columns["object"][n] == Object.DIRECTORY and names[n] in walk.unread:
            columns["size"][n] = None
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
    return pa.table(arrays, schema=INVENTORY.with_metadata(metadata)).sort_by([("path", "ascending")])


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(values, kind)
