"""Which package a file came from, as far as a distribution's database says so in plain text: dpkg and apk.

rpm keeps its database in SQLite or Berkeley DB: parsing a file that the workload can write, in a privileged process, is
not worth the answer, so its files have no package.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["owners"]

_FILE_MAX = 64 << 20
_FILES_MAX = 20_000
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _open(root: int, parts: tuple[str, ...], flags: int = 0) -> int | None:
    """Open a path below `root`, no part of it through a symlink."""
    above = os.dup(root)
    try:
        for n, part in enumerate(parts):
            final = n == len(parts) - 1
            fd = os.open(part, _FLAGS | (flags if final else os.O_DIRECTORY), dir_fd=above)
            os.close(above)
            above = fd
    except OSError:
        os.close(above)
        return None
    return above


def _content(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read(_FILE_MAX)


def owners(root: int) -> dict[bytes, str]:
    """Package by path, for the file system whose root directory is open as `root`. Empty where nothing is known.

    Paths are as files lie: a directory at the root that is a symlink (``/bin`` → ``usr/bin``) becomes its target.
    """
    merged = {}
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        try:
            merged[b"/" + name.encode()] = b"/" + os.fsencode(os.readlink(name, dir_fd=root)).strip(b"/")
        except OSError:
            continue
    found: dict[bytes, str] = {}
    for path, package in (*_dpkg(root), *_apk(root)):
        top, slash, rest = path[1:].partition(b"/")
        moved = merged.get(b"/" + top) if slash else None
        found.setdefault(moved + b"/" + rest if moved else path, package)
    return found


def _dpkg(root: int) -> Iterator[tuple[bytes, str]]:
    folder = _open(root, ("var", "lib", "dpkg", "info"), os.O_DIRECTORY)
    if folder is None:
        return
    try:
        lists = sorted(n for n in os.listdir(folder) if n.endswith(".list"))  # noqa: PTH208 - by descriptor
        for name in lists[:_FILES_MAX]:
            fd = _open(folder, (name,))
            if fd is None:
                continue
            package = name.removesuffix(".list").partition(":")[0]
            lines = _content(fd).split(b"\n")
            above = {line.rpartition(b"/")[0] for line in lines}  # directories belong to no one package
            yield from ((line, package) for line in lines if line.startswith(b"/") and line not in above)
    finally:
        os.close(folder)


def _apk(root: int) -> Iterator[tuple[bytes, str]]:
    fd = _open(root, ("lib", "apk", "db", "installed"))
    if fd is None:  # where /lib is a symlink into /usr
        fd = _open(root, ("usr", "lib", "apk", "db", "installed"))
    if fd is None:
        return
    package, folder = "", b""
    for line in _content(fd).split(b"\n"):
        kind, value = line[:2], line[2:]
        if kind == b"P:":
            package = value.decode(errors="backslashreplace")
        elif kind == b"F:":
            folder = b"/" + value if value else b""
        elif kind == b"R:" and package:
            yield folder + b"/" + value, package
