"""One recording under way: drained, told of, drilled, ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from collectors import drills as drilling
from collectors.live.backend import Loaded
from collectors.live.launch import Launched
from collectors.live.session import Counters, Session
from collectors.mount_namespaces import HeldNamespaces
from collectors.target import Target
from collectors.units import UnitInfo
from collectors.writer import RecordingWriter
from discover.record.coverage import SLOT, Coverage, Standing
from discover.record.memory import give_back
from discover.record.options import RecordOptions
from models.behaviour import Phase

__all__ = ["NOT_ASKED", "Outcome", "Progress", "Run", "Stop"]

NOT_ASKED = "not asked for"
_CHECKPOINT = 10.0  # seconds between counts on disk
_QUIET = 100.0  # events a second, below which memory matters more than the next call's page faults
_RESTART = 10.0  # seconds without a process, after which a target without --for has ended
_GRACE = 10.0  # seconds a command has to stop after SIGTERM


@dataclass
class Progress:
    """What a panel shows while recording."""

    target: str
    backend: str
    counters: Counters
    elapsed: float = 0.0
    fresh: int = 0
    """New behaviours in the last minute."""
    rate: float = 0.0
    """Events a second, over the last interval."""
    coverage: str = ""
    """How far the unit is that is covered least, with ``--until-covered``."""
    doing: str = ""
    """What goes on: starting up, steady, drills, the list of files."""


@dataclass
class Outcome:
    """How a recording ended."""

    path: Path
    backend: str
    watched: dict[str, dict[str, str]]
    counters: Counters
    losses: list[dict[str, Any]]
    ended_by: str
    exit_status: int | None = None
    drilled: list[str] = field(default_factory=list)
    not_drilled: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    """Whether the recorder told the command to stop."""
    files: dict[str, int] = field(default_factory=dict)
    """Of the inventory: `listed`, and the directories that were `not_read`."""
    coverage: list[Standing] = field(default_factory=list)
    """With ``--until-covered``: how far each unit was, the least covered first."""
    refusals: list[str] = field(default_factory=list)


class Stop:
    """Whether to stop, and why. The first Ctrl-C ends the recording in order; a second one hurries the command."""

    def __init__(self) -> None:
        self.reason = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or ("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)


class Run:
    """One recording under way."""

    def __init__(
        self,
        options: RecordOptions,
        target: Target,
        session: Session,
        loaded: Loaded,
        writer: RecordingWriter,
        stop: Stop,
        tell: Callable[[Progress], None],
        child: Launched | None,
    ) -> None:
        self.options, self.target, self.session, self.loaded = options, target, session, loaded
        self.writer, self.stop, self.tell, self.child = writer, stop, tell, child
        self.began = time.monotonic()
        self.progress = Progress(target.describe(), loaded.backend.name, session.counters)
        self._recent: list[tuple[float, int]] = []
        self._results: list[drilling.DrillResult] = []
        self._stopped = False
        self._files: dict[str, int] = {}
        self._standings: list[Standing] = []
        self._drill: threading.Thread | None = None
        self._steady_at: dict[str, float] = {}
        self._next = {"checkpoint": 2.0, "tell": 0.0, "look": 0.0, "alive": 0.0, "slot": SLOT}
        self.namespaces = HeldNamespaces()
        self._seen = (0.0, 0)
        self._gone_at: float | None = None
        session.on_ready = self._ready
        self.coverage: Coverage | None = None
        if options.until_covered is not None:
            self.coverage = Coverage(options.until_covered, self._present)
            session.on_rows = lambda rows: self.coverage.rows(rows.to_pylist()) if self.coverage else None

    def to_the_end(self) -> Outcome:
        """Record until something ends it, then finish the dataset."""
        reason = self._loop()
        self._standings = self.coverage.standings() if self.coverage else []
        self._end_command()
        self.session.stop()
        with self.namespaces:
            self._inventory()
        losses = self.session.losses().to_pylist()
        self.writer.finish("complete")
        asked = {drill.name for drill in self.options.drills}
        missing = drilling.not_drilled(self._results)
        return Outcome(
            path=self.options.output,
            backend=self.loaded.backend.name,
            watched=self.writer.manifest["watched"],
            counters=self.session.counters,
            losses=losses,
            ended_by=reason,
            exit_status=self.child.status if self.child else None,
            drilled=[r.name for r in self._results if r.done],
            not_drilled={n: why if n in asked else NOT_ASKED for n, why in missing.items()},
            stopped=self._stopped,
            files=self._files,
            coverage=self._standings,
            refusals=[f"{r.backend}: {r.reason.splitlines()[0]}" for r in self.loaded.refusals],
        )

    def _loop(self) -> str:
        while True:
            now = time.monotonic() - self.began
            rows = self.session.drain()
            self.session.drain_raw()
            self._account(now, rows)
            self._phases(now)
            if reason := self._over(now):
                return reason
            if self.coverage and now >= self._next["slot"]:
                self._next["slot"] = now + SLOT
                self.coverage.look(*self.session.counted())
                self.progress.coverage = next((s.why for s in self.coverage.standings()), "nothing runs")
            if now >= self._next["look"] and self.options.inventory:
                self.namespaces.look(self.session.processes())
                self._next["look"] = min(2 * now + 0.1, now + 5)
            if now >= self._next["checkpoint"]:
                wrote = self.session.checkpoint()
                self._rate(now)
                if wrote and self.progress.rate < _QUIET:
                    give_back()
                self._next["checkpoint"] = now + (_CHECKPOINT if now > _CHECKPOINT else 2.0)
            if now >= self._next["tell"]:
                self.progress.doing = self._doing()
                self.tell(self.progress)
                self._next["tell"] = now + 0.25
            busy = rows > 256 or self.session.fill > 0.05
            time.sleep(0.005 if busy else 0.05)

    def _over(self, now: float) -> str:
        if self.stop.reason:
            return self.stop.reason
        if self.child and self.child.poll() is not None:
            return "the command ended"
        if self._drill and self._drill.is_alive():
            return ""
        if reason := self._enough(now):
            if self.options.drills and not self._drill:
                self._start_drills()
                return ""
            return reason
        if self.target.kind in ("pid", "container", "systemd") and now >= self._next["alive"]:
            self._next["alive"] = now + 0.5
            if self._alive():
                self._gone_at = None
            elif self._gone_at is None:
                self._gone_at = now
            if self._gone_at is not None and not self._awaited(now - self._gone_at):
                return "the target ended"
        return ""

    def _awaited(self, gone: float) -> bool:
        """Whether a target that has had no process for `gone` seconds may still be started again."""
        return self.target.kind != "pid" and (self.options.limit is not None or gone < _RESTART)

    def _doing(self) -> str:
        if self._drill and self._drill.is_alive():
            return "drills: " + ", ".join(drill.name for drill in self.options.drills)
        units = [unit.unit for unit in self.session.namer.units() if unit.ended is None]
        if not units:
            return "stopped, waiting for its next start" if self.session.namer.units() else "waiting for its first act"
        starting = len(set(units) - self.session.ready)
        return (
            ("starting up" if len(units) == 1 else f"{starting} of {len(units)} units start up")
            if starting
            else "steady"
        )

    def _enough(self, now: float) -> str:
        if self.options.limit is not None and now >= self.options.limit:
            return "the time was over"
        if self.coverage and self.coverage.enough():
            return "the coverage estimate said enough"
        return ""

    def _present(self) -> list[str]:
        return [unit.unit for unit in self.session.namer.units() if unit.ended is None]

    def _alive(self) -> bool:
        tree = self.session.tree
        if self.target.cgroups:
            return any(tree.processes(ref.path) for ref in self.target.cgroups)
        return any(Path(f"/proc/{pid}").exists() for pid in self.target.pids)

    # Phases

    def _ready(self, unit: UnitInfo) -> None:
        at = time.monotonic() - self.began + self.options.settle
        self._steady_at[unit.unit] = min(at, self._steady_at.get(unit.unit, at))

    def _phases(self, now: float) -> None:
        for unit in self.session.namer.units():
            at = self._steady_at.setdefault(unit.unit, now + self.options.ready_after)
            if now >= at and unit.unit not in self.session.ready:
                self.session.ready.add(unit.unit)
                self.session.set_phase(unit.unit, Phase.STEADY, only_from=Phase.START_UP)

    def _start_drills(self) -> None:
        unit = self.session.namer.units()[0].unit
        subject = drilling.subject_of(self.target, self.session.tree, unit, self.child.pid if self.child else None)

        def work() -> None:
            for result in drilling.run(subject, self.options.drills, self.session.set_phase):
                self._results.append(result)
                self.session.namer.units()[0].drills.append(result.name) if result.done else None

        self._drill = threading.Thread(target=work, name="drills", daemon=True)
        self._drill.start()

    # The end

    def _end_command(self) -> None:
        if not self.child or self.child.poll() is not None:
            return
        for unit in self.session.namer.units():
            self.session.set_phase(unit.unit, Phase.SHUTDOWN)
        self.progress.doing = "waiting for the command to stop"
        self.tell(self.progress)
        self._stopped = True
        self.child.send(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while self.child.poll() is None:
            self.session.drain()
            self.session.drain_raw()
            if time.monotonic() > deadline:
                self.child.send(signal.SIGKILL)
            time.sleep(0.01)

    def _inventory(self) -> None:
        if not self.options.inventory:
            return
        from discover.record.inventory import directories_not_read, inventories  # noqa: PLC0415 - only at the end

        if self.child and self.namespaces.usual() is None:  # over before it was looked at
            self.namespaces.look([os.getpid()])
        who = [unit.identity for unit in self.session.namer.units()]
        for table in inventories(self.target, who, self.namespaces, self.options.output, self._listing):
            self.writer.inventory(table)
            found = {"listed": table.num_rows, "not_read": directories_not_read(table)}
            self._files = {name: self._files.get(name, 0) + count for name, count in found.items()}

    def _listing(self, entries: int) -> None:
        self.progress.doing = f"listing files: {entries:,}"
        self.progress.elapsed = time.monotonic() - self.began
        self.tell(self.progress)

    # Figures

    def _account(self, now: float, rows: int) -> None:
        if rows:
            self._recent.append((now, rows))
        while self._recent and self._recent[0][0] < now - 60:
            self._recent.pop(0)
        self.progress.elapsed = now
        self.progress.fresh = sum(n for _, n in self._recent)

    def _rate(self, now: float) -> None:
        before, events = self._seen
        total = self.session.counters.events
        if now > before:
            self.progress.rate = (total - events) / (now - before)
        self._seen = now, total
