"""A workload's mount namespaces, held so that its files can be looked at after its last process has ended.

A file system root reached through ``/proc/PID/root`` goes with the process, and may be a chroot's. An open descriptor
of the namespace itself keeps all its mounts, and leads to the root that recorded paths are seen from.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

__all__ = ["HeldNamespaces"]

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000  # linux/sched.h


class HeldNamespaces:
    """Mount namespaces by number (the inode of ``/proc/PID/ns/mnt``), kept alive until `close`.

    At most `most` are held; which of them most processes were in, over all looks, is the workload's own.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._held: dict[int, int] = {}
        self._seen: dict[int, int] = {}

    def look(self, pids: Iterable[int]) -> None:
        """Take note of where these processes are now. Those that are gone are left out."""
        for pid in pids:
            number = self.hold(pid)
            if number is not None:
                self._seen[number] = self._seen.get(number, 0) + 1

    def hold(self, pid: int) -> int | None:
        """Hold the mount namespace of one process, and say which it is; None where there is no such process."""
        path = f"/proc/{pid}/ns/mnt"
        try:
            number = os.stat(path).st_ino  # noqa: PTH116 - follows the magic link
            if number not in self._held:
                if len(self._held) >= self._most:
                    return None
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                number = os.fstat(fd).st_ino  # what was opened, should the process have moved
                if number in self._held:
                    os.close(fd)
                self._held.setdefault(number, fd)
        except OSError:
            return None
        return number

    def usual(self) -> int | None:
        """The namespace in which most processes were at most looks; the one seen first where two are equal."""
        return max(self._seen, key=lambda number: self._seen[number], default=None)

    def root(self, number: int) -> int:
        """A descriptor of the root directory of a held namespace, the caller's to close.

        Raises KeyError for one that is not held, OSError where the kernel refuses to enter it.
        """
        answer: list[int | OSError] = []

        def enter() -> None:
            # A thread of its own: where it looks from now on is its own business, and ends with it.
            libc = ctypes.CDLL(None, use_errno=True)
            try:
                for done in (libc.unshare(_CLONE_FS), libc.setns(fd, _CLONE_NEWNS)):
                    if done:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                answer.append(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            except OSError as error:
                answer.append(error)

        fd = self._held[number]
        thread = threading.Thread(target=enter, name="mount namespace")
        thread.start()
        thread.join()
        if isinstance(answer[0], OSError):
            raise answer[0]
        return answer[0]

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._held))

    def let_go(self, number: int) -> None:
        """Hold one no longer."""
        os.close(self._held.pop(number))

    def close(self) -> None:
        """Let go of all of them."""
        for fd in self._held.values():
            with contextlib.suppress(OSError):
                os.close(fd)
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
