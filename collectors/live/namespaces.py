"""The mount namespaces that watched tasks come into, held so that names can be resolved in them when they have ended.

A name that a program gave is resolved after the fact, and a brief container ends before its records are read. The
kernel tells of a task that comes into another mount namespace through a small ring of its own, which wakes a thread
here to hold the namespace. One that no watched process is in any more is let go of, after its records were read.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable
from threading import Lock, Thread

from bpf.ring import Ring
from collectors.live.paths import Root
from collectors.mount_namespaces import HeldNamespaces

__all__ = ["Namespaces", "namespace_of"]

_MOST = 1024  # that are held at once: each keeps a container's mounts


def namespace_of(pid: int | str) -> int | None:
    """The inode number of a process's mount namespace; None: it has gone, or is not ours to ask."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino  # noqa: PTH116 - follows the magic link
    except OSError:
        return None


class Namespaces:
    """The mount namespaces that tasks under watch are or were in.

    `start` begins to take in what `ring` (struct namespace_record, map descriptor `ring_fd`) tells; `close` ends it.
    `own` is the recorder's, which needs no holding.
    """

    def __init__(self, ring: Ring, ring_fd: int) -> None:
        self._ring, self._ring_fd = ring, ring_fd
        self.own = namespace_of("self")
        self._held = HeldNamespaces(_MOST)
        self._lock = Lock()  # of `_held`: the thread holds, all else is the caller's
        self._roots: dict[int, tuple[tuple[int, int], int, Root]] = {}
        self._fresh: set[int] = set()
        self._empty: set[int] = set()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = Thread(target=self._listen, name="namespaces", daemon=True)

    def start(self) -> None:
        """Begin to hold what the kernel tells of."""
        self._thread.start()

    def _listen(self) -> None:
        with select.epoll() as waiting:
            waiting.register(self._ring_fd, select.EPOLLIN)
            waiting.register(self._end, select.EPOLLIN)
            while not any(fd == self._end for fd, _ in waiting.poll()):
                records, slots = self._ring.view()
                for tid in records["tid"].tolist():
                    self.hold(tid)
                self._ring.advance(slots)

    def hold(self, pid: int) -> None:
        """Hold the namespace that a task is in now, if it is still there and it is another than ours."""
        if namespace_of(pid) not in (self.own, None):
            with self._lock:
                self._held.hold(pid)

    def turn(self) -> None:
        """From now on roots are looked at anew: a pivot_root may have given a namespace another."""
        self._fresh.clear()

    def root(self, number: int) -> Root | None:
        """The root of a namespace that is held; None for any other."""
        if number not in self._fresh:
            try:
                with self._lock:
                    fd = self._held.root(number)
            except (KeyError, OSError):
                return None
            self._take(number, fd)
        return self._roots[number][2]

    def _take(self, number: int, fd: int) -> None:
        status = os.fstat(fd)
        identity = status.st_dev, status.st_ino
        self._fresh.add(number)
        if number in self._roots and self._roots[number][0] == identity:
            os.close(fd)
            return
        self._forget(number)
        self._roots[number] = identity, fd, Root(f"/proc/self/fd/{fd}")

    def _forget(self, number: int) -> None:
        if known := self._roots.pop(number, None):
            os.close(known[1])

    def release(self, pids: Iterable[int]) -> None:
        """Let go of what none of `pids`, which are all processes under watch, is in, nor was the last time."""
        alive = {namespace_of(pid) for pid in pids}
        with self._lock:
            empty = {number for number in self._held if number not in alive}
            for number in empty & self._empty:
                self._held.let_go(number)
                self._forget(number)
                self._fresh.discard(number)
        self._empty = empty

    def close(self) -> None:
        """Let go of everything."""
        os.eventfd_write(self._end, 1)
        if self._thread.is_alive():
            self._thread.join()
        for number in list(self._roots):
            self._forget(number)
        with contextlib.suppress(OSError):
            self._held.close()
        os.close(self._end)
