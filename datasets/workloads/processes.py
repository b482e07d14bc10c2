"""Processes and listening sockets as /proc shows them: nothing here touches the workload."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["alive", "children", "descendants", "find", "listening", "wait_gone"]

PROC = Path("/proc")
LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


def alive(pid: int) -> bool:
    """Whether `pid` runs (a zombie does not)."""
    return _state(pid) not in ("", "Z", "X")


def children(pid: int) -> list[int]:
    """The child processes of all threads of `pid`."""
    found: list[int] = []
    for task in (PROC / str(pid) / "task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def descendants(pid: int) -> Iterator[int]:
    """`pid`'s descendants, nearest first."""
    level = children(pid)
    while level:
        yield from level
        level = [grandchild for child in level for grandchild in children(child)]


def find(ancestor: int, executable: str, timeout: float = 60.0, without: str = "") -> int | None:
    """The nearest descendant of `ancestor` (or itself) that runs `executable`; waits for it up to `timeout` seconds.

    Processes with the word `without` in their command line are passed over: a recorder may run the same interpreter as
    what it records, and its child has its command line until it executes.
    """
    wanted = Path(executable).resolve()
    until = time.monotonic() + timeout
    while time.monotonic() < until and alive(ancestor):
        for pid in (ancestor, *descendants(ancestor)):
            if _executable(pid) == wanted and not (without and without in _words(pid)):
                return pid
        time.sleep(0.05)
    return None


def listening(port: int) -> bool:
    """Whether something in this network namespace listens on the TCP port."""
    suffix = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        for line in (PROC / "self" / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(suffix) and fields[3] == LISTEN:
                return True
    return False


def wait_gone(pid: int, timeout: float) -> bool:
    """Waits up to `timeout` seconds for `pid` to end; whether it did."""
    until = time.monotonic() + timeout
    while alive(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _state(pid: int) -> str:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _words(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _executable(pid: int) -> Path | None:
    try:
        return (PROC / str(pid) / "exe").readlink()
    except OSError:
        return None
