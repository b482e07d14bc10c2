"""Processes as /proc shows them, read so that a reused pid is never taken for the process that had it before.

A pid alone names nothing for long. Here a process is its pid *and* its start time (field 22 of ``/proc/PID/stat``, in
clock ticks since boot): `read` takes the start time before and after everything else and gives up when they differ, and
`Handle` keeps a pidfd, which the kernel never points at another process (pidfd_open(2), kernel 5.3).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.cgroups import parse_membership

__all__ = [
    "Handle",
    "Process",
    "ancestors",
    "boot_id",
    "called",
    "descendants",
    "read",
    "runs",
    "snapshot",
    "start_of",
    "started_at",
]

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of stat


@dataclass(frozen=True)
class Process:
    """One process at one moment.

    `exe` is None for kernel threads and where it may not be read; it ends in `` (deleted)`` when the file has lost its
    name. `start` counts clock ticks since boot. `ns_pids` are its pids from this namespace to its own. `mount_ns` is
    the inode of its mount namespace (0 when unreadable), `tty` the device number of its terminal (0: none).
    """

    pid: int
    ppid: int
    start: int
    comm: str
    state: str
    tty: int
    exe: str | None
    uid: int
    ns_pids: tuple[int, ...]
    cgroups: dict[str, str]
    mount_ns: int
    root: str | None
    kernel_thread: bool

    @property
    def started(self) -> datetime:
        """When it started, to the clock tick (10 ms)."""
        return started_at(self.start)


def started_at(ticks: int) -> datetime:
    """The wall-clock time of a start time given in clock ticks since boot."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=booted + ticks / _TICK)


def boot_id() -> str:
    """The random id that the kernel gave to this boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_of(pid: int) -> int | None:
    """The start time of a pid in clock ticks since boot; None when there is no such process."""
    stat = _stat(pid)
    return None if stat is None else stat.start


def runs(pid: int, start: int) -> bool:
    """Whether the process that had this pid and start time still runs; one that nobody has waited for does not."""
    stat = _stat(pid)
    return stat is not None and stat.start == start and stat.state not in {"Z", "X"}


def read(pid: int) -> Process | None:
    """The process with this pid, or None when there is none or it ended while it was being read."""
    before = _stat(pid)
    status = _bytes(pid, "status")
    if before is None or status is None:
        return None
    lines = dict(line.split(b":", 1) for line in status.split(b"\n") if b":" in line)
    ids = lines.get(b"Uid", b"").split()
    process = Process(
        pid=pid,
        ppid=before.ppid,
        start=before.start,
        comm=before.comm,
        state=before.state,
        tty=before.tty,
        exe=_link(pid, "exe"),
        uid=int(ids[1]) if len(ids) > 1 else 0,
        ns_pids=tuple(int(n) for n in lines.get(b"NSpid", str(pid).encode()).split()),
        cgroups=parse_membership(_bytes(pid, "cgroup") or b""),
        mount_ns=_inode(pid, "ns/mnt"),
        root=_link(pid, "root"),
        kernel_thread=bool(before.flags & _KERNEL_THREAD),
    )
    return process if start_of(pid) == before.start else None


def snapshot() -> dict[int, Process]:
    """All processes that this pid namespace shows, by pid. One pass: what comes and goes meanwhile may be absent."""
    return {process.pid: process for pid in _pids() if (process := read(pid))}


def called(comm: str) -> Iterator[Process]:
    """The processes of that name (at most 15 bytes); cheaper than a `snapshot`, since only those are read whole."""
    for pid in _pids():
        if _bytes(pid, "comm") == os.fsencode(comm) + b"\n" and (process := read(pid)):
            yield process


def descendants(pid: int, processes: Iterable[Process] | None = None) -> list[Process]:
    """The process `pid` and everything that it and its children started, parents first; empty when it is gone.

    What was given to another parent (its own parent ended first) cannot be found this way.
    """
    table = snapshot() if processes is None else {p.pid: p for p in processes}
    children: dict[int, list[Process]] = defaultdict(list)
    for process in table.values():
        children[process.ppid].append(process)
    tree = [table[pid]] if pid in table else []
    for process in tree:
        # A parent is at least as old as its children; a younger one has the reused pid of somebody else's parent.
        tree += [c for c in children[process.pid] if c.start >= process.start and c.pid != process.pid]
    return tree


def ancestors(pid: int) -> set[int]:
    """The pid itself and those of the processes above it."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        stat = _stat(pid)
        pid = 0 if stat is None else stat.ppid
    return found


class Handle:
    """A hold on one process that outlives its pid.

    Raises `ProcessLookupError` when there is no such process, or when `start` (clock ticks since boot) says that the
    pid now belongs to another one. Use as a context manager, or `close` it.
    """

    def __init__(self, pid: int, start: int | None = None) -> None:
        self._fd = os.pidfd_open(pid)
        self.pid = pid
        current = start_of(pid)
        # The pidfd was opened first: if the start time read afterwards is right, both are the same process.
        if current is None or (start is not None and current != start):
            self.close()
            raise ProcessLookupError(f"process {pid} is gone")
        self.start = current

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; `ProcessLookupError` when it has ended."""
        signal.pidfd_send_signal(self._fd, number)

    def wait(self, seconds: float) -> bool:
        """Wait until the process has ended, at most `seconds`; whether it has."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    @property
    def alive(self) -> bool:
        """Whether the process still runs (a zombie does not)."""
        return not self.wait(0)

    def close(self) -> None:
        """Let go of the process."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Stat:
    comm: str
    state: str
    ppid: int
    tty: int
    flags: int
    start: int


def _stat(pid: int) -> _Stat | None:
    raw = _bytes(pid, "stat")
    if not raw:
        return None
    # The name stands in brackets and may hold brackets, blanks and newlines itself: cut at the last one.
    head, _, tail = raw.rpartition(b")")
    fields = tail.split()
    return _Stat(
        comm=os.fsdecode(head.partition(b"(")[2]),
        state=fields[0].decode(),
        ppid=int(fields[1]),
        tty=int(fields[4]),
        flags=int(fields[6]),
        start=int(fields[19]),
    )


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdigit())


def _bytes(pid: int, name: str) -> bytes | None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return (_PROC / str(pid) / name).read_bytes()
    return None


def _link(pid: int, name: str) -> str | None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return str((_PROC / str(pid) / name).readlink())
    return None


def _inode(pid: int, name: str) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return (_PROC / str(pid) / name).stat().st_ino
    return 0
