"""Starts the command of a recording so that nothing of it goes unseen: it waits until it is watched."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["Launched", "launch"]

_libc = ctypes.CDLL(None)


class Launched:
    """A child process that will execute `command` once `release` is called."""

    def __init__(self, pid: int, gate: int, report: int, command: Sequence[str]) -> None:
        self.pid, self.command = pid, tuple(command)
        self._gate, self._report = gate, report
        self.status: int | None = None

    def release(self) -> None:
        """Let it execute. Raises OSError with the kernel's reason if it cannot, when the child has been reaped."""
        os.write(self._gate, b".")
        os.close(self._gate)
        answer = os.read(self._report, 16)
        os.close(self._report)
        if answer:
            self.wait()
            raise OSError(int(answer), os.strerror(int(answer)), self.command[0])

    def poll(self) -> int | None:
        """The exit status once it has ended (negative: the signal that ended it), without waiting."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self) -> int:
        """The exit status, after it has ended."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def launch(command: Sequence[str]) -> Launched:
    """Fork a child that waits to execute `command`, looked up in PATH. Call it while this process has one thread."""
    go, gate = os.pipe()
    report, failed = os.pipe()  # close-on-exec: an exec that works closes it unwritten
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(gate)
        os.close(report)
        _become(command, go, failed)
    os.close(go)
    os.close(failed)
    return Launched(pid, gate, report, command)


def _become(command: Sequence[str], go: int, failed: int) -> NoReturn:
    try:
        if not os.read(go, 1):
            os._exit(125)  # the recorder is gone
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; the command would inherit that
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _libc.unshare(0)  # does nothing, but the programs see it: they know from it who executes the command
        os.execvp(command[0], list(command))  # noqa: S606 - the command that a person gave
    except OSError as error:
        os.write(failed, str(error.errno or 1).encode())
    finally:
        os._exit(127)
