"""Starts of what is already watched: the cgroup that a container or service gets anew when it is restarted.

A restarted container keeps its cgroup's path (runc, crun and systemd make it from the id or the unit's name) but not
its kernfs id, by which the kernel's programs know it. crun puts the first process there within microseconds, so a
program takes the new cgroup for a target as it is made (``on_cgroup_made``); it is told the places where that can be,
each the id of a parent and a name. A parent can be made anew, too: a slice goes with the last that was in it. A thread
here waits for that (inotify works on kernfs: ``vfs_mkdir`` tells), and looks whether a cgroup was faster.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Callable
from pathlib import PurePosixPath
from threading import Thread

from collectors.cgroups import CgroupError, CgroupRef, Hierarchy

__all__ = ["Restarts"]

# include/uapi/linux/inotify.h
_IN_CREATE, _IN_ONLYDIR, _IN_CLOEXEC, _IN_NONBLOCK = 0x100, 0x0100_0000, 0o2000000, 0o4000
_HEAD = struct.Struct("iIII")  # wd, mask, cookie, bytes of name


class Restarts:
    """Waits for the cgroups `roots` of `tree` to be made anew, on a thread of its own.

    `expect` is called with the id of a parent and the name that is awaited in it, whenever the parent is another than
    before; `took` with the path as it is in `roots` and the ids of the new cgroup and of the one before. Where inotify
    cannot be had (limits ``fs.inotify.max_user_instances`` and ``max_user_watches``), `refused` says why.
    """

    def __init__(
        self,
        tree: Hierarchy,
        roots: list[CgroupRef],
        expect: Callable[[int, bytes], None],
        took: Callable[[CgroupRef, int], None],
    ) -> None:
        self._tree, self._expect, self._took = tree, expect, took
        self._parents: dict[str, int] = {}
        self._ids = {ref.path: ref.id for ref in roots if ref.path != "/"}
        self._names = {os.fsencode(part) for path in self._ids for part in PurePosixPath(path).parts}
        self.refused = ""
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
        if self._fd < 0:
            self._refuse("inotify_init1")
        self._thread = Thread(target=self._listen, name="restarts", daemon=True)

    def _refuse(self, what: str) -> None:
        self.refused = f"{what}: {os.strerror(ctypes.get_errno())}"

    def start(self) -> None:
        """Begin to wait. What was made anew since `roots` were looked up is taken at once."""
        self._look()
        self._thread.start()

    def _listen(self) -> None:
        with select.epoll() as waiting:
            waiting.register(self._end, select.EPOLLIN)
            if self._fd >= 0:
                waiting.register(self._fd, select.EPOLLIN)
            while not any(fd == self._end for fd, _ in waiting.poll()):
                if _concern(os.read(self._fd, 1 << 16), self._names):
                    self._look()

    def _look(self) -> None:
        for path, known in self._ids.items():
            parents = [str(parent) for parent in reversed(PurePosixPath(path).parents)]
            for parent in parents:
                self._wait_in(parent)
            if (above := self._id_of(parents[-1])) not in (None, self._parents.get(path)):
                self._parents[path] = above
                self._expect(above, os.fsencode(PurePosixPath(path).name))
            if (number := self._id_of(path)) not in (None, known):
                self._ids[path] = number
                self._took(CgroupRef(path, number), known)

    def _id_of(self, path: str) -> int | None:
        try:
            return self._tree.id_of(path)
        except (CgroupError, OSError):
            return None

    def _wait_in(self, path: str) -> None:
        try:
            directory = self._tree.directory(path)
        except CgroupError:  # above what is mounted here, where nothing can be made anew
            return
        added = self._libc.inotify_add_watch(self._fd, os.fsencode(directory), _IN_CREATE | _IN_ONLYDIR)
        if added < 0 and self._fd >= 0 and ctypes.get_errno() not in (errno.ENOENT, errno.ENODEV):
            self._refuse(str(directory))

    def close(self) -> None:
        """Stop waiting."""
        os.eventfd_write(self._end, 1)
        if self._thread.is_alive():
            self._thread.join()
        for fd in (self._fd, self._end):
            if fd >= 0:
                os.close(fd)


def _concern(events: bytes, names: set[bytes]) -> bool:
    """Whether one of `names` was made, by a run of ``struct inotify_event``; or the queue ran over and nobody knows."""
    at = 0
    while at < len(events):
        watch, _, _, length = _HEAD.unpack_from(events, at)
        at += _HEAD.size
        if watch == -1 or events[at : at + length].rstrip(b"\0") in names:
            return True
        at += length
    return False
