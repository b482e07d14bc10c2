"""Names as programs give them, made canonical in the workload's own file system.

A name that failed, or that a system call unlinked or renamed, reaches us as the program wrote it, with the directory
that it is relative to. Symbolic links and ``..`` in it are resolved here, against the root of the workload's mount
namespace and never outside it. That is after the fact, which the row says (*joined*, *asked*).
"""

from __future__ import annotations

import os
import time

__all__ = ["Root", "loader_of"]

_LINKS = 40  # as the kernel's MAXSYMLINKS
_FRESH = 1.0  # seconds for which a resolved directory is believed
_PT_INTERP = 3


class Root:
    """A file system root seen through ``/proc/PID/root`` (the host's: ``/``; None: gone, names are as written)."""

    def __init__(self, prefix: str | None = "/") -> None:
        self.gone = prefix is None
        self._prefix = b"/proc/self/fdinfo/gone" if prefix is None else prefix.rstrip("/").encode()
        self._links: dict[bytes, tuple[float, bytes | None]] = {}

    def real(self, path: bytes) -> bytes:
        """Where `path` (absolute, in this root) lies on the host."""
        return self._prefix + path

    def _link(self, path: bytes) -> bytes | None:
        now = time.monotonic()
        known = self._links.get(path)
        if known and now - known[0] < _FRESH:
            return known[1]
        try:
            target: bytes | None = os.readlink(self.real(path))  # noqa: PTH115 - bytes, which Path is not for
        except OSError:
            target = None
        if len(self._links) > 1 << 16:
            self._links.clear()
        self._links[path] = now, target
        return target

    def canonical(self, path: bytes, *, follow_last: bool, top: bytes = b"/") -> bytes:
        """`path` without ``.``, ``..`` and symbolic links; the last name is followed only if asked for.

        `top` is the root that the program saw (a chroot's): absolute links begin there and ``..`` ends there.

        What does not exist is taken as written, so this never fails. ``/proc/self`` stays as it is: it would be ours.
        """
        pending = [part for part in path.split(b"/") if part not in (b"", b".")][::-1]
        above = [part for part in top.split(b"/") if part]
        done: list[bytes] = []
        budget = _LINKS
        while pending:
            part = pending.pop()
            if part == b"..":
                if len(done) > len(above) or done[: len(above)] != above:
                    done = done[:-1]
                continue
            here = b"/" + b"/".join([*done, part])
            last = not any(p != b".." for p in pending) and not pending
            target = None
            if (not last or follow_last) and budget and not here.startswith((b"/proc/self", b"/proc/thread-self")):
                target = self._link(here)
            if target is None:
                done.append(part)
                continue
            budget -= 1
            if target.startswith(b"/"):
                done = list(above)
            pending += [p for p in target.split(b"/") if p not in (b"", b".")][::-1]
        return b"/" + b"/".join(done)

    def script_interpreter(self, path: bytes) -> bytes | None:
        """What the ``#!`` line of a script names, or None if it is no script."""
        try:
            with open(self.real(path), "rb", opener=_carefully) as file:
                head = file.read(256)
        except OSError:
            return None
        if not head.startswith(b"#!"):
            return None
        words = head[2:].split(b"\n", 1)[0].split()
        return words[0] if words else None

    def loader(self, path: bytes) -> tuple[bool, bytes | None]:
        """(readable, the ELF interpreter that the executable asks for, canonical; None if it has none)."""
        try:
            with open(self.real(path), "rb", opener=_carefully) as file:
                name = loader_of(file.read(4096))
        except OSError:
            return False, None
        return True, self.canonical(name, follow_last=True) if name else None


def _carefully(path: str, flags: int) -> int:
    """Opens without waiting for a pipe's other end and without following a last link out of the root."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def loader_of(head: bytes) -> bytes | None:
    """The PT_INTERP string in the first bytes of an ELF file (32 or 64 bits, little-endian), or None."""
    if head[:4] != b"\x7fELF" or len(head) < 64 or head[5] != 1:
        return None
    wide = head[4] == 2
    offset = int.from_bytes(head[32:40] if wide else head[28:32], "little")
    size = int.from_bytes(head[54:56] if wide else head[42:44], "little")
    count = int.from_bytes(head[56:58] if wide else head[44:46], "little")
    for i in range(min(count, 64)):
        entry = head[offset + i * size : offset + (i + 1) * size]
        if len(entry) < size or int.from_bytes(entry[:4], "little") != _PT_INTERP:
            continue
        at, length = (entry[8:16], entry[32:40]) if wide else (entry[4:8], entry[16:20])
        start = int.from_bytes(at, "little")
        name = head[start : start + int.from_bytes(length, "little")].rstrip(b"\0")
        return name or None
    return None
