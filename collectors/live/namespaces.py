"""Mount namespaces of the workload, held so that names can be resolved in them after its processes have gone.

A name that a program gave is resolved after the fact, and a brief container ends before its records are read. The
kernel tells of a task that comes into another mount namespace through a small ring of its own, which wakes a thread
here: it opens the task's ``/proc/TID/ns/mnt``, and as long as that is open the namespace stays, with all its mounts.
One that no watched process is in any more is let go of, after its records were read.
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock, Thread

from bpf.ring import Ring
from collectors.live.paths import Root

__all__ = ["Namespaces", "namespace_of"]

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MOST = 1024  # that are held at once: each keeps a container's mounts


@dataclass
class _Held:
    """One namespace: its descriptor; its root as of the current turn; whether no process was in it the last time."""

    fd: int
    roots: list[tuple[tuple[int, int], int, Root]] = field(default_factory=list)
    fresh: bool = False
    empty: bool = False

    def close(self) -> None:
        os.close(self.fd)
        for _, fd, _ in self.roots:
            os.close(fd)


def namespace_of(pid: int | str) -> int | None:
    """The inode number of a process's mount namespace; None: it has gone, or is not ours to ask."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino  # noqa: PTH116 - follows the magic link
    except OSError:
        return None


class Namespaces:
    """The mount namespaces that tasks under watch are or were in, other than the recorder's own.

    `start` begins to take in what `ring` (struct namespace_record, map descriptor `ring_fd`) tells; `close` ends it.
    """

    def __init__(self, ring: Ring, ring_fd: int) -> None:
        self._ring, self._ring_fd = ring, ring_fd
        self._own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.own: int = os.fstat(self._own).st_ino
        self._held: dict[int, _Held] = {}
        self._lock = Lock()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = Thread(target=self._listen, name="namespaces", daemon=True)
        # setns() takes a thread that shares its root with no other.
        self._visitor = ThreadPoolExecutor(1, "visitor", initializer=_unshare_root)

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
        try:
            fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        number = os.fstat(fd).st_ino
        with self._lock:
            if number == self.own or number in self._held or len(self._held) >= _MOST:
                os.close(fd)
                return
            self._held[number] = _Held(fd)

    def turn(self) -> None:
        """From now on roots are looked at anew: a pivot_root may have given a namespace another."""
        with self._lock:
            for held in self._held.values():
                held.fresh = False

    def root(self, number: int) -> Root | None:
        """The root of a namespace that is held; None for any other."""
        with self._lock:
            held = self._held.get(number)
        if held is None:
            return None
        if not held.fresh:
            try:
                self._visitor.submit(self._look, held).result()
            except OSError:
                return None
            held.fresh = True
        return held.roots[-1][2]

    def _look(self, held: _Held) -> None:
        """Enter the namespace and open its root; the visitor's thread alone runs this."""
        _enter(held.fd)
        try:
            fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            _enter(self._own)
        status = os.fstat(fd)
        identity = status.st_dev, status.st_ino
        if held.roots and held.roots[-1][0] == identity:
            os.close(fd)
            return
        for _, old, _ in held.roots:
            os.close(old)
        held.roots = [(identity, fd, Root(f"/proc/self/fd/{fd}"))]

    def release(self, pids: Iterable[int]) -> None:
        """Let go of what none of `pids`, which are all processes under watch, is in, nor was the last time."""
        alive = {namespace_of(pid) for pid in pids}
        with self._lock:
            for number, held in list(self._held.items()):
                if number in alive:
                    held.empty = False
                elif held.empty:
                    del self._held[number]
                    held.close()
                else:
                    held.empty = True

    def close(self) -> None:
        """Let go of everything."""
        os.eventfd_write(self._end, 1)
        if self._thread.is_alive():
            self._thread.join()
        self._visitor.shutdown()
        for held in self._held.values():
            held.close()
        self._held.clear()
        os.close(self._own)
        os.close(self._end)


_libc = ctypes.CDLL(None, use_errno=True)


def _enter(fd: int) -> None:
    """setns(2) into a mount namespace (os.setns is younger than Python 3.11); OSError when the kernel refuses."""
    if _libc.setns(fd, _CLONE_NEWNS):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _unshare_root() -> None:
    if _libc.unshare(_CLONE_FS):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
