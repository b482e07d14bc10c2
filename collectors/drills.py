"""Drills: the paths of a workload that only trouble shows, walked on purpose and marked in the recording.

    reload   SIGHUP to the process that handles it
    rotate   its open log files renamed, as logrotate(8) does, then SIGUSR1 (nginx) or SIGHUP; else ``rotate=USR2``
    stop     SIGTERM to the main process, and a bounded wait
    crash    SIGSEGV to the main process, with its core limit as it is

A signal goes to a process through a pidfd, after it was checked that this very process belongs to the target, and never
to one that would die of a reload: a drill whose signal nobody handles is not done, and says so.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import resource
import signal
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from collectors import procs, systemd
from collectors.cgroups import CgroupError, Hierarchy
from collectors.target import Target
from models.behaviour import Phase

__all__ = [
    "DRILLS",
    "Drill",
    "DrillError",
    "DrillResult",
    "Subject",
    "not_drilled",
    "parse",
    "raise_core_limit",
    "run",
    "subject_of",
]

DRILLS = ("reload", "rotate", "stop", "crash")
_LOG = re.compile(r"(?:^|[._-])(?:log|logs|access|error|err|out|audit)(?:[._-]|$)|\.(?:log|err|out)$", re.IGNORECASE)
_LOG_FOLDER = re.compile(r"/(?:log|logs)/")
_POLL = 0.05


class DrillError(Exception):
    """A drill that does not exist or was asked for wrongly; `hint` says what does."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Drill:
    """One of `DRILLS`; `signal` replaces the one that a rotation ends with."""

    name: str
    signal: signal.Signals | None = None


@dataclass(frozen=True)
class DrillResult:
    """What came of a drill; when it was not `done`, `outcome` says why, and nothing was signalled or renamed."""

    name: str
    done: bool
    started: datetime
    ended: datetime
    outcome: str


@dataclass(frozen=True)
class Subject:
    """A workload to drill: its `unit`, its main process now (None: none runs), and all its processes now.

    Both are asked again for every drill, since a workload may have been restarted by the one before.
    """

    unit: str
    main: Callable[[], procs.Process | None]
    members: Callable[[], list[procs.Process]]


def parse(text: str) -> list[Drill]:
    """The drills in ``reload,rotate=USR1,stop``, in the order given but with those that end the workload last.

    Raises `DrillError` for a name or signal that does not exist.
    """
    drills: dict[str, Drill] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = item.partition("=")
        if name not in DRILLS:
            near = difflib.get_close_matches(name, DRILLS, n=1)
            raise DrillError(
                f"there is no drill {name}", f"did you mean {near[0]}?" if near else f"drills: {', '.join(DRILLS)}"
            )
        if equals and name != "rotate":
            raise DrillError(f"the drill {name} takes no signal", "only rotate does, as in rotate=USR1")
        drills[name] = Drill(name, _signal(number) if equals else None)
    if not drills:
        raise DrillError("no drill was named", f"drills: {', '.join(DRILLS)}")
    return sorted(drills.values(), key=lambda drill: drill.name in {"stop", "crash"})


def _signal(text: str) -> signal.Signals:
    name = text.upper().removeprefix("SIG")
    try:
        return signal.Signals(int(name)) if name.isdigit() else signal.Signals[f"SIG{name}"]
    except (KeyError, ValueError):
        raise DrillError(f"there is no signal {text}", "for example rotate=USR1 or rotate=HUP") from None


def raise_core_limit() -> None:
    """Raises the soft core limit of the calling process to its hard one: for a command, between fork and exec."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def subject_of(target: Target, tree: Hierarchy, unit: str, pid: int | None = None) -> Subject:
    """The subject that a target is; `pid` is the process of a command that was started.

    Raises `DrillError` for the whole host, which nobody should drill.
    """
    if target.kind == "host":
        raise DrillError("the whole host cannot be drilled", "drill one container, unit or process at a time")
    first = target.root_pid if pid is None else pid
    start = 0 if first is None else procs.start_of(first) or 0

    def members() -> list[procs.Process]:
        if not target.cgroups:
            found = procs.descendants(first) if first is not None and procs.runs(first, start) else []
        else:
            pids: set[int] = set()
            for ref in target.cgroups:
                with contextlib.suppress(CgroupError, OSError):
                    pids |= set(tree.processes(ref.path))
            found = sorted(filter(None, map(procs.read, pids)), key=lambda p: (p.start, p.pid))
        # A cgroup may hold the recorder and the shell that it was started from.
        own = procs.ancestors(os.getpid())
        return [p for p in found if p.state not in {"Z", "X"} and p.pid not in own]

    def main() -> procs.Process | None:
        all_members = members()
        wanted = first if first is not None and procs.runs(first, start) else None
        if target.kind == "systemd" and (told := systemd.show(target.identity.workload)) is not None:
            wanted = told.main_pid or wanted
        return next((p for p in all_members if p.pid == wanted), all_members[0] if all_members else None)

    return Subject(unit, main, members)


def run(
    subject: Subject,
    drills: Sequence[Drill],
    set_phase: Callable[[str, Phase], None],
    *,
    settle: float = 2.0,
    stop_wait: float = 30.0,
    restart_wait: float = 5.0,
) -> Iterator[DrillResult]:
    """Does the drills one after another and yields what came of each.

    The unit is in phase ``drill`` during each one and `settle` seconds after. `stop_wait` bounds the wait for the end
    of a stop or crash, `restart_wait` the wait for somebody to start the workload again before the next drill.
    """
    for drill in drills:
        began = datetime.now(UTC)
        main = _awaited(subject.main, restart_wait)
        if main is None:
            yield DrillResult(drill.name, False, began, datetime.now(UTC), "the workload does not run")
            continue
        with _phase(subject, set_phase, main):
            match drill.name:
                case "reload":
                    done, outcome = _reload(subject, settle)
                case "rotate":
                    done, outcome = _rotate(subject, drill.signal, settle)
                case "stop":
                    done, outcome = _end(subject, main, signal.SIGTERM, stop_wait)
                case _:
                    done, outcome = _crash(subject, main, stop_wait)
        yield DrillResult(drill.name, done, began, datetime.now(UTC), outcome)


def not_drilled(results: Sequence[DrillResult]) -> dict[str, str]:
    """The drills that were not done, with the reason."""
    reasons = {result.name: result.outcome for result in results if not result.done}
    done = {result.name for result in results if result.done}
    return {name: reasons.get(name, "not asked for") for name in DRILLS if name not in done}


@contextlib.contextmanager
def _phase(subject: Subject, set_phase: Callable[[str, Phase], None], main: procs.Process) -> Iterator[None]:
    set_phase(subject.unit, Phase.DRILL)
    try:
        yield
    finally:
        # What follows the end of the main process still belongs to the drill that ended it.
        if procs.runs(main.pid, main.start):
            set_phase(subject.unit, Phase.STEADY)


def _awaited(find: Callable[[], procs.Process | None], seconds: float) -> procs.Process | None:
    deadline = time.monotonic() + seconds
    while (found := find()) is None and time.monotonic() < deadline:
        time.sleep(_POLL)
    return found


def _send(subject: Subject, process: procs.Process, number: signal.Signals) -> bool:
    """Signals the process if it is still itself and still a member; whether it was signalled."""
    try:
        with procs.Handle(process.pid, process.start) as handle:
            # Asked while the pidfd is held: nobody else can be in the process's place now.
            if all(member.pid != process.pid for member in subject.members()):
                return False
            handle.send(number)
    except OSError:
        return False
    return True


def _handler(subject: Subject, number: signal.Signals) -> procs.Process | None:
    """The first of the workload's processes, parents before children, that handles the signal."""
    return next((p for p in subject.members() if p.pid != os.getpid() and _catches(p.pid, number)), None)


def _catches(pid: int, number: signal.Signals) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    masks = {key: int(value, 16) for key, value in re.findall(r"^(Sig(?:Cgt|Blk)):\s*([0-9a-f]+)$", status, re.M)}
    # Blocked without a handler means sigwait(3) or a signalfd: handled too.
    return bool((masks.get("SigCgt", 0) | masks.get("SigBlk", 0)) >> (number - 1) & 1)


def _who(process: procs.Process) -> str:
    return f"process {process.pid} ({process.comm})"


def _reload(subject: Subject, settle: float) -> tuple[bool, str]:
    process = _handler(subject, signal.SIGHUP)
    if process is None:
        return False, "no process of it handles SIGHUP, which would end it"
    if not _send(subject, process, signal.SIGHUP):
        return False, f"{_who(process)} ended before it could be signalled"
    time.sleep(settle)
    alive = procs.runs(process.pid, process.start)
    return True, f"SIGHUP to {_who(process)}, which {'runs on' if alive else 'ended'}"


def _rotate(subject: Subject, chosen: signal.Signals | None, settle: float) -> tuple[bool, str]:
    nginx = any(Path(p.exe or "").name == "nginx" for p in subject.members())
    number = chosen or (signal.SIGUSR1 if nginx else signal.SIGHUP)
    process = _handler(subject, number)
    if process is None:
        return False, f"no process of it handles {number.name}; choose another signal with rotate=NAME"
    ours = _output_of_this_process()
    logs = [log for member in subject.members() for log in _open_logs(member) if log.key not in ours]
    moved = {log.key: log for log in logs if log.key and _rename(log)} if logs else {}
    if not moved:
        return False, "none of its open files is a log that could be renamed"
    if not _send(subject, process, number):
        return True, f"{len(moved)} log file(s) renamed, but {_who(process)} ended before it could be signalled"
    deadline, began = time.monotonic() + max(settle, _POLL), time.monotonic()
    fresh: set[tuple[int, int]] = set()
    while time.monotonic() < deadline and len(fresh) < len(moved):
        time.sleep(_POLL)
        fresh = {key for key, log in moved.items() if _identity(log) not in {None, key}}
    took = time.monotonic() - began
    time.sleep(max(0.0, settle - took))
    names = ", ".join(sorted(log.path for log in moved.values()))
    result = f"reopened after {took:.1f} s" if len(fresh) == len(moved) else f"{len(moved) - len(fresh)} not reopened"
    return True, f"renamed {names} to …{next(iter(moved.values())).suffix}, {number.name} to {_who(process)}: {result}"


def _output_of_this_process() -> set[tuple[int, int]]:
    """Device and inode of the recorder's own output: a command that it starts inherits it, and it is no log."""
    ours = set()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            facts = os.fstat(descriptor)
            ours.add((facts.st_dev, facts.st_ino))
    return ours


@dataclass(frozen=True)
class _Log:
    """An open log: its path from the process's root, its device and inode, the suffix that it gets."""

    pid: int
    path: str
    key: tuple[int, int]
    suffix: str


def _open_logs(process: procs.Process) -> list[_Log]:
    suffix = datetime.now(UTC).strftime(".drill-%Y%m%dT%H%M%S")
    logs = []
    folder = Path(f"/proc/{process.pid}/fd")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError, ValueError):
                path = os.readlink(entry.path)  # noqa: PTH115 - Path would fold what the kernel wrote
                facts = os.stat(entry.path)  # noqa: PTH116
                flags = re.search(r"^flags:\s*([0-7]+)", (folder.parent / "fdinfo" / entry.name).read_text(), re.M)
                writes = flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
                named = _LOG.search(os.path.basename(path)) or _LOG_FOLDER.search(path)  # noqa: PTH119
                if writes and named and path.startswith("/") and stat.S_ISREG(facts.st_mode) and facts.st_nlink:
                    logs.append(_Log(process.pid, path, (facts.st_dev, facts.st_ino), suffix))
    return logs


@contextlib.contextmanager
def _folder_of(log: _Log) -> Iterator[int]:
    """The directory of a log, walked from the process's root without following any link that it might plant."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    current = os.open(f"/proc/{log.pid}/root", flags)
    try:
        for part in log.path.split("/")[1:-1]:
            below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _identity(log: _Log) -> tuple[int, int] | None:
    """Device and inode of what has the log's name now; None when nothing has."""
    with contextlib.suppress(OSError), _folder_of(log) as folder:
        facts = os.stat(log.path.rpartition("/")[2], dir_fd=folder, follow_symlinks=False)
        return facts.st_dev, facts.st_ino
    return None


def _rename(log: _Log) -> bool:
    name = log.path.rpartition("/")[2]
    with contextlib.suppress(OSError), _folder_of(log) as folder:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (facts.st_dev, facts.st_ino) != log.key:
            return False
        with contextlib.suppress(FileNotFoundError):
            os.stat(name + log.suffix, dir_fd=folder, follow_symlinks=False)
            return False
        os.rename(name, name + log.suffix, src_dir_fd=folder, dst_dir_fd=folder)
        return True
    return False


def _end(subject: Subject, process: procs.Process, number: signal.Signals, wait: float) -> tuple[bool, str]:
    if process.ns_pids[-1] == 1 and len(process.ns_pids) > 1 and not _catches(process.pid, number):
        return (
            False,
            f"{_who(process)} is pid 1 of its container without a handler for {number.name}: the kernel drops it",
        )
    began = time.monotonic()
    try:
        with procs.Handle(process.pid, process.start) as handle:
            if not _send(subject, process, number):
                return False, f"{_who(process)} ended before it could be signalled"
            if handle.wait(wait):
                return True, f"{number.name} to {_who(process)}, which ended after {time.monotonic() - began:.1f} s"
    except OSError:
        return False, f"{_who(process)} ended before it could be signalled"
    return True, f"{number.name} to {_who(process)}, which still runs after {wait:.0f} s"


def _crash(subject: Subject, main: procs.Process, wait: float) -> tuple[bool, str]:
    process = main
    if main.ns_pids[-1] == 1 and len(main.ns_pids) > 1:
        # The kernel drops signals without handler for pid 1 of a container: a child shows the same path.
        process = next((p for p in subject.members() if p.pid != main.pid and p.ns_pids[-1] != 1), main)
    try:
        soft, _ = resource.prlimit(process.pid, resource.RLIMIT_CORE)
        pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    except OSError:
        return False, f"{_who(process)} ended before it could be signalled"
    done, outcome = _end(subject, process, signal.SIGSEGV, wait)
    core = "core limit 0: no core" if soft == 0 and not pattern.startswith("|") else f"core to {pattern}"
    return done, f"{outcome}; {core}" if done else outcome
