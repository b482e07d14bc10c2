"""Who watches while something is measured: nobody, the recorder, and the tools that people use instead.

Each can start a command under its eyes and, as its user would on a running service, attach to a process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets.workloads import processes

__all__ = ["Bare", "Bpftrace", "Discover", "Observer", "ObserverError", "Strace", "available"]

START = 60.0
"""Seconds that an observer may take until it watches."""

STOP = 60.0
"""Seconds that it may take to end: the recorder writes its dataset then."""


class ObserverError(Exception):
    """An observer did not start, did not end, or failed."""


class Observer:
    """Nobody, unless a subclass says otherwise."""

    name = "bare"

    def missing(self) -> str | None:
        """Why this observer cannot be used here, None if it can."""
        return None

    def run(self, command: Sequence[str], output: Path, timeout: float = 120.0) -> None:
        """Runs a command to its end under observation; what the observer writes goes to `output`."""
        _to_the_end(self.name, list(command), output, timeout)

    @contextmanager
    def attached(self, pid: int, output: Path) -> Iterator[None]:
        """Watches a running process and its descendants for as long as the block runs."""
        del pid, output
        yield


class Bare(Observer):
    """Nobody."""


class Discover(Observer):
    """``discover record``, as the README says to use it."""

    name = "discover"

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = tuple(options)
        beside = Path(sys.executable).parent / "discover"
        self.program = str(beside) if beside.exists() else "discover"

    def missing(self) -> str | None:
        """See `Observer.missing`."""
        try:
            done = subprocess.run((self.program, "record", "--help"), capture_output=True, check=False)
        except OSError as error:
            return str(error)
        return None if done.returncode == 0 else "`discover record --help` fails"

    def command(self, output: Path, *target: str) -> list[str]:
        """The command line that records `target` into `output`."""
        return [self.program, "record", "--no-inventory", *self.options, "-o", str(output), *target]

    def run(self, command: Sequence[str], output: Path, timeout: float = 120.0) -> None:
        """See `Observer.run`."""
        _to_the_end(self.name, self.command(output, "--", *command), output, timeout)

    @contextmanager
    def attached(self, pid: int, output: Path) -> Iterator[None]:
        """See `Observer.attached`."""
        with background(self.command(output, "--pid", str(pid)), output, self.watching(output)):
            yield

    @staticmethod
    def watching(output: Path) -> tuple[Path, bytes]:
        """The file that tells that the recorder watches, and the word of its first line of progress."""
        return output.with_suffix(".log"), b"behaviours"


class Bpftrace(Observer):
    """bpftrace printing every open on the machine, the usual one-liner."""

    name = "bpftrace"

    def missing(self) -> str | None:
        """See `Observer.missing`."""
        if not shutil.which("bpftrace"):
            return "bpftrace is not installed"
        tracing = ("/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events")
        return None if any(Path(path).exists() for path in tracing) else "tracefs is not mounted"

    def run(self, command: Sequence[str], output: Path, timeout: float = 120.0) -> None:
        """See `Observer.run`."""
        with self._printing(output):
            _to_the_end("the program", list(command), output, timeout)

    @contextmanager
    def attached(self, pid: int, output: Path) -> Iterator[None]:
        """See `Observer.attached`."""
        del pid
        with self._printing(output):
            yield

    @contextmanager
    def _printing(self, output: Path) -> Iterator[None]:
        script = (
            'tracepoint:syscalls:sys_enter_openat { printf("%d %s %s\\n", pid, comm, str(args->filename)); } '
            'BEGIN { printf("watching\\n"); }'
        )
        output.mkdir(parents=True, exist_ok=True)
        printed = output / "printed"
        with background(["bpftrace", "-B", "line", "-o", str(printed), "-e", script], output, (printed, b"watching")):
            yield


class Strace(Observer):
    """``strace -f`` of opens, execs and sockets into a file."""

    name = "strace"
    options = ("-f", "-qq", "-e", "trace=open,openat,execve,socket,connect,bind,accept4")

    def missing(self) -> str | None:
        """See `Observer.missing`."""
        return None if shutil.which("strace") else "strace is not installed"

    def run(self, command: Sequence[str], output: Path, timeout: float = 120.0) -> None:
        """See `Observer.run`."""
        output.mkdir(parents=True, exist_ok=True)
        words = ["strace", *self.options, "-o", str(output / "trace"), "--", *command]
        _to_the_end(self.name, words, output, timeout)

    @contextmanager
    def attached(self, pid: int, output: Path) -> Iterator[None]:
        """See `Observer.attached`."""
        output.mkdir(parents=True, exist_ok=True)
        who = [word for process in (pid, *processes.descendants(pid)) for word in ("-p", str(process))]
        trace = output / "trace"
        with background(["strace", *self.options, "-o", str(trace), *who], output, (trace, b"")):
            yield


def available(observers: Sequence[Observer]) -> tuple[list[Observer], list[str]]:
    """Those of `observers` that work here, and a line for each that does not."""
    reasons = {observer: observer.missing() for observer in observers}
    usable = [observer for observer, reason in reasons.items() if reason is None]
    return usable, [f"{observer.name}: {reason}" for observer, reason in reasons.items() if reason]


@contextmanager
def background(command: Sequence[str], output: Path, sign: tuple[Path, bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs an observer beside the block, which begins when the file of `sign` has its word; after it comes SIGINT."""
    output.parent.mkdir(parents=True, exist_ok=True)
    log = output.with_suffix(".log")
    with log.open("wb") as sink:
        started = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        try:
            until = time.monotonic() + START
            while not sign[0].exists() or sign[1] not in sign[0].read_bytes():
                if started.poll() is not None or time.monotonic() > until:
                    raise ObserverError(f"{' '.join(command[:2])} did not start: {_tail(log)}")
                time.sleep(0.02)
            time.sleep(0.5)
            yield started
            if (status := started.poll()) and status > 0:
                raise ObserverError(f"{' '.join(command[:2])} ended with {status} in the middle: {_tail(log)}")
        finally:
            if started.poll() is None:
                started.send_signal(signal.SIGINT)
            try:
                started.wait(STOP)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
                raise ObserverError(f"{' '.join(command[:2])} did not end within {STOP:g} s") from None


def _to_the_end(name: str, command: list[str], output: Path, timeout: float) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    log = output.with_suffix(".log")
    with log.open("wb") as sink:
        started = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        try:
            status = started.wait(timeout)
        except subprocess.TimeoutExpired:
            for pid in (*processes.descendants(started.pid), started.pid):
                os.kill(pid, signal.SIGKILL)
            started.wait()
            raise ObserverError(f"{name}: not done after {timeout:g} s: {_tail(log)}") from None
    if status:
        raise ObserverError(f"{name}: exit code {status}: {_tail(log)}")


def _tail(log: Path) -> str:
    return repr(log.read_bytes()[-500:].decode(errors="backslashreplace"))
