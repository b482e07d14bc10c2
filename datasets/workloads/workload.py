"""What a workload is to the script that records it: its files, its command, its loads and what may befall it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import processes

__all__ = ["DRILLS", "Drill", "Kind", "Run", "Workload", "WorkloadError", "own", "signal_drill", "tree"]

DRILLS = ("reload", "rotate", "stop", "crash")
"""The drills, in the order in which one unit goes through them: the last two end it."""


class WorkloadError(Exception):
    """A workload did not do what its description promises: it never became ready, a load failed, it would not stop."""


@dataclass(frozen=True)
class Run:
    """One running unit, as a load or a drill sees it.

    - `rng`: the unit's own random numbers; all that differs between two units of one plan comes from here.
    - `pid`: the workload's main process.
    - `seconds`: for how long a load that has no natural end should go on.
    - `scratch`: a folder outside the workload for what a client keeps.
    """

    rng: random.Random
    pid: int
    seconds: float
    scratch: Path


@dataclass(frozen=True)
class Kind:
    """A kind of load: what it does to a running unit, and in which share of the units it comes up."""

    drive: Callable[[Run], None]
    share: float = 0.5


def _nothing(_: Run) -> None:
    """Nothing to do."""


@dataclass(frozen=True)
class Drill:
    """How a drill is done: by the recorder, which marks it, or by hand where it has no way.

    `recorder` is what its ``--drill`` takes, None where the software has no signal for it, or where the recorder may
    not ask for the core limit of another user's process (which takes CAP_SYS_RESOURCE). `before` makes the drill worth
    it, as a changed configuration does before a reload. `by_hand` does all of it, and is what a run without the
    recorder uses.
    """

    by_hand: Callable[[Run], None]
    recorder: str | None = None
    before: Callable[[Run], None] = _nothing


@dataclass(frozen=True)
class Workload:
    """One piece of software as its owner runs it.

    - `mounts`: host folder → owner. Each is covered, for this unit alone, by an own folder that `prepare` fills, so the
      software has the paths of its package and the machine's own copy is never touched.
    - `prepare(fresh, rng)`: writes configuration and content below the covered folders. With `fresh` false what an
      earlier unit left there stays, as when a container restarts on its volume.
    - `command`: what is recorded; it stays in the foreground.
    - `executable`: the main process's executable, by which it is told from wrappers that started it.
    - `ready(pid)`: whether it serves. It must look from outside: an idle unit sees no connection.
    - `drills`: drill → how it is done to a running unit. `stop` must end it within 10 s.
    - `touch()`: one small request, for the time in which the recorder drills.
    """

    name: str
    command: Sequence[str]
    executable: str
    mounts: Mapping[str, str]
    prepare: Callable[[bool, random.Random], None]
    ready: Callable[[int], bool]
    kinds: Mapping[str, Kind]
    drills: Mapping[str, Drill]
    touch: Callable[[], object]
    version: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def marks(self, drills: Sequence[str]) -> list[str]:
        """What the recorder's ``--drill`` takes to do all of `drills`; empty if it cannot do each of them."""
        found = [self.drills[drill].recorder or "" for drill in drills]
        return found if all(found) else []

    def wait_ready(self, pid: int, timeout: float = 60.0) -> float:
        """Waits until the unit serves and tells how long that took, in seconds; raises `WorkloadError`."""
        began = time.monotonic()
        while time.monotonic() - began < timeout:
            if not processes.alive(pid):
                raise WorkloadError(f"{self.name}: process {pid} ended before it was ready")
            if self.ready(pid):
                return time.monotonic() - began
            time.sleep(0.05)
        raise WorkloadError(f"{self.name}: not ready after {timeout:g} s")


def signal_drill(number: signal.Signals, settle: float = 0.7) -> Callable[[Run], None]:
    """A drill that is one signal to the main process, and `settle` seconds for what it starts."""

    def drill(run: Run) -> None:
        os.kill(run.pid, number)
        time.sleep(settle)

    return drill


def own(path: Path, user: str) -> Path:
    """Creates the folder `path` and gives it, with all that is in it, to `user` and its group of the same name."""
    path.mkdir(parents=True, exist_ok=True)
    for found in (path, *path.rglob("*")):
        shutil.chown(found, user, user)
    return path


def tree(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Writes `files`, a mapping from relative path to content, below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
