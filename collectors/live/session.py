"""One live recording: programs attached, tasks watched, rings drained into segments until it ends.

Order matters in two places. A row is on disk before its record's room in the ring is given back: `drain`. And programs
are attached before existing tasks are listed, so that none is born unseen between: `start`.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bpf.errors import KernelRefused
from bpf.ring import Ring
from collectors import procs
from collectors.cgroups import CgroupRef, Hierarchy, detect
from collectors.live.abi import Abi
from collectors.live.backend import Loaded
from collectors.live.decode import Actor, Decoder, Tables, derived_key
from collectors.live.namespaces import Namespaces, namespace_of
from collectors.live.paths import Root
from collectors.live.restarts import Restarts
from collectors.target import Target
from collectors.units import UnitInfo, UnitNamer
from collectors.writer import RecordingWriter
from models.behaviour import LOSSES, SEGMENT_COUNTS, Loss, Phase

__all__ = ["Counters", "Session"]

_HZ = (100, 250, 300, 1000)  # what CONFIG_HZ can be
_ENOUGH = 20  # jiffies between two moments, to tell these apart


@dataclass
class Counters:
    """Where a recording stands. `events` is all that was counted, `behaviours` what was distinct."""

    behaviours: int = 0
    events: int = 0
    lost: int = 0
    raw: int = 0


class Session:
    """A loaded back end recording a target into a writer.

    Call `start`, then `drain` at least as often as the ring may fill, `checkpoint` now and then, `stop` at the end.
    """

    def __init__(
        self,
        target: Target,
        loaded: Loaded,
        writer: RecordingWriter,
        *,
        run: str,
        redact: Callable[[list[str]], list[str]],
        raw: bool = False,
    ) -> None:
        self.target, self.loaded, self.writer = target, loaded, writer
        self.namer = UnitNamer(target, run)
        self.counters = Counters()
        self.ready: set[str] = set()
        self.on_ready: Callable[[UnitInfo], None] = lambda _: None
        self.on_rows: Callable[[pa.Table], None] = lambda _: None
        self.tree: Hierarchy = detect().hierarchies[target.hierarchy]
        self._clock = time.time_ns() - time.monotonic_ns()
        self._host_root = Root()
        self._gone: dict[str, int] = {}
        self._told: tuple[object, ...] = ()
        self.abi = Abi.of(loaded.object.btf)
        self._short = Ring(*self._ring("events"), self.abi.record)
        self._long = Ring(*self._ring("long_events"), self.abi.long_record)
        self._raw = Ring(*self._ring("raw_events"), self.abi.raw_record) if raw else None
        told = self._ring("namespaces")
        self.namespaces = Namespaces(Ring(*told, self.abi.namespace_record), told[0])
        self.namespaces.start()
        self._anew: deque[tuple[CgroupRef, list[int]]] = deque()
        roots = target.cgroups if target.kind != "host" else []
        self.restarts = Restarts(self.tree, roots, self._expect, self._restarted)
        self._maps = {name: loaded.map(name) for name in ("behaviours", "cgroups", "tasks", "targets", "places")}
        self._state = loaded.variable("state")
        self._state["recorder"] = os.getpid()
        self.decoder = Decoder(
            self.abi,
            _from_json(writer.notes()),
            unit_of=self._unit_of,
            root_of=self._root_of,
            redact=redact,
            clock=self._clock,
            sees_exec=loaded.backend.sees_exec,
            on_control=self._control,
            on_gone=self._process_gone,
        )

    def _ring(self, name: str) -> tuple[int, int]:
        ring = self.loaded.map(name)
        return ring.fd, ring.max_entries

    # Who is watched

    def start(self, pins: Path | None = None) -> None:
        """Attach the programs, then watch the target's cgroups and the processes that exist already.

        With `pins`, a folder on a bpffs, the recording goes on in the kernel if this process is killed.
        """
        for ref in self.target.cgroups:
            self._maps["targets"].set(ref.id, 1)
        self.loaded.attach(pins)
        for pid in self._existing():
            self.watch(pid)
        self.restarts.start()

    def _expect(self, parent: int, name: bytes) -> None:
        """A target's cgroup would be made anew there: its next start. Called on the other thread, like `_restarted`."""
        place = np.zeros((), self._maps["places"].key)
        if len(name) < place["name"].dtype.itemsize:
            place["parent"], place["name"] = parent, name
            self._maps["places"].set(place, 1)

    def _restarted(self, ref: CgroupRef, before: int) -> None:
        """The target's cgroup was made anew; mostly the programs know already."""
        if self._maps["targets"].get(ref.id) is None:
            self._maps["targets"].set(ref.id, 1)
            self._anew.append((ref, self.tree.processes(ref.path)))
        self._maps["targets"].drop(before)

    def _take_restarts(self) -> None:
        while self._anew:
            ref, early = self._anew.popleft()
            early = [pid for pid in early if self._maps["tasks"].get(pid) is None]
            for pid in early:
                self.watch(pid, "RUNTIME_INIT")
            if early:
                self._know_cgroup(ref.id, os.fsencode(ref.path), early[0], time.monotonic_ns())
                self._unit_info(ref.id).note(
                    "processes were in its cgroup before the recorder knew of it: the first moments are missing"
                )

    def _existing(self) -> list[int]:
        pids = set(self.target.pids)
        for ref in self.target.cgroups:
            pids |= set(self.tree.processes(ref.path))
        for pid in self.target.pids if not self.target.cgroups else ():
            pids |= {p.pid for p in procs.descendants(pid)}
        return sorted(pids)

    def watch(self, pid: int, mode: str = "WORKLOAD") -> None:
        """Watch a process that exists, unless it is watched already. One that is gone is left out."""
        process = procs.read(pid)
        if process is None or process.kernel_thread:
            return
        self.namespaces.hold(pid)
        path = process.cgroups.get(self.target.hierarchy, "/")
        cgroup = self.tree.id_of(path)
        if self._maps["cgroups"].get(cgroup) is None:
            state = np.zeros((), self._maps["cgroups"].value)
            state["phase"] = self._phase(Phase.STEADY if mode == "WORKLOAD" else Phase.START_UP)
            state["main"] = pid if mode == "WORKLOAD" else 0
            self._maps["cgroups"].set(cgroup, state)
            self._know_cgroup(cgroup, path.encode(errors="surrogateescape"), pid, time.monotonic_ns())
        task = np.zeros((), self._maps["tasks"].value)
        task["cgroup"], task["mode"], task["tty"] = cgroup, self.abi.modes[mode], process.tty != 0
        try:
            self._maps["tasks"].set(pid, task, flags=1)
        except KernelRefused as error:
            if error.errno != errno.EEXIST:  # a program was faster
                raise

    def _know_cgroup(self, cgroup: int, path: bytes, pid: int, when: int) -> None:
        entry = path, pid, when
        self.decoder.tables.cgroups[cgroup] = self.decoder.fresh.cgroups[cgroup] = entry
        self._unit_of(cgroup)

    def _phase(self, phase: Phase) -> int:
        return int(next(number for number, name in self.abi.phases.items() if name is phase))

    def set_phase(self, unit: str, phase: Phase, *, only_from: Phase | None = None) -> None:
        """From now on this unit's behaviours belong to `phase`; with `only_from`, unless it is in another by now."""
        for cgroup in list(self.decoder.tables.cgroups):
            if self._unit_of(cgroup) != unit or (state := self._maps["cgroups"].get(cgroup)) is None:
                continue
            if only_from is not None and self.abi.phases[int(state["phase"])] is not only_from:
                continue
            state["phase"] = self._phase(phase)
            self._maps["cgroups"].set(cgroup, state, flags=2)
        self._state["generation"] += 1

    # Draining

    def drain(self) -> int:
        """Move what the rings hold to disk; the number of new rows. Raises the writer's errors, losing nothing."""
        self.namespaces.turn()
        self._take_restarts()
        long, long_slots = self._long.view(1 << 10)
        short, short_slots = self._short.view(1 << 15)
        if not short_slots and not long_slots:
            return 0
        self.decoder.feed(short)
        self.decoder.feed(long)
        rows = self.decoder.take()
        fresh, self.decoder.fresh = self.decoder.fresh, Tables()
        if any(vars(fresh).values()):
            self.writer.note(_as_json(fresh))
        if rows.num_rows:
            self.writer.append(rows)
        self._short.advance(short_slots)
        self._long.advance(long_slots)
        self.on_rows(rows)
        new: int = rows.num_rows
        self.counters.behaviours += new
        return new

    def drain_raw(self) -> int:
        """Move the raw stream to disk; the number of events."""
        if self._raw is None:
            return 0
        records, slots = self._raw.view()
        if slots:
            when = pa.array((records["when"] + self._clock).view("i8") // 1000).cast(pa.timestamp("us", tz="UTC"))
            self.writer.stream(pa.table({"key": pa.array(records["id"]), "when": when}))
            self._raw.advance(slots)
            self.counters.raw += slots
        return slots

    @property
    def fill(self) -> float:
        """How full the fullest ring is, 0 to 1."""
        return max(r.fill for r in (self._short, self._long, self._raw) if r is not None)

    def counted(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The keys and counts of the kernel's set as it is now."""
        _, values = self._maps["behaviours"].items()
        return values["id"], values["count"]

    def checkpoint(self) -> bool:
        """Write counts, losses and units as they stand; whether there was anything to write."""
        _, values = self._maps["behaviours"].items()
        losses = self.losses()
        self.namespaces.release(self.processes())
        self.namer.refresh()
        self.counters.events = int(values["count"].sum())
        self.counters.lost = sum(losses["count"].to_pylist())
        told = (self.counters.events, len(values), losses.to_pylist(), repr(self.namer.units()))
        if told == self._told:
            return False  # an idle workload costs its recorder no disk
        self.writer.counts(self._counts(values))
        self.writer.losses(losses)
        self.writer.units(self.namer.table())
        self._told = told
        return True

    def _counts(self, values: np.ndarray[Any, Any]) -> pa.Table:
        """SEGMENT_COUNTS of the kernel's set, with the rows derived from an exec counted like it."""
        ids, count = values["id"], values["count"]
        last = self._moments(values["last"])
        derived = self.decoder.tables.derived
        at = np.flatnonzero(np.isin(ids, np.fromiter(derived, "u8", len(derived))))
        more = [(derived_key(int(ids[i]), n), i) for i in at for n in range(derived[int(ids[i])])]
        keys = np.concatenate([ids, np.array([key for key, _ in more], "u8")])
        place = np.concatenate([np.arange(len(ids)), np.array([i for _, i in more], "i8")])
        seen = pa.array(last[place], pa.timestamp("us", tz="UTC"))
        return pa.table([pa.array(keys), pa.array(count[place]), seen], schema=SEGMENT_COUNTS)

    def _moments(self, jiffies: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Unix time in microseconds of the kernel's jiffies, exact to one of them."""
        clock = self._state[0]
        apart = int(clock["jiffies"]) - int(clock["first_jiffies"])
        span = int(clock["nanoseconds"]) - int(clock["first_nanoseconds"])
        measured = apart / (span / 1e9) if apart > _ENOUGH else 250.0
        hz = min(_HZ, key=lambda rate: abs(rate - measured))
        behind = (int(clock["jiffies"]) - jiffies.astype("i8")) * (10**9 // hz)
        return (int(clock["nanoseconds"]) - behind + self._clock) // 1000

    def losses(self) -> pa.Table:
        """What was lost so far, by unit and cause (schema LOSSES)."""
        found: dict[tuple[str, str], int] = {}
        keys, values = self._maps["cgroups"].items()
        for cgroup, state in zip(keys.tolist(), values, strict=True):
            for number, count in enumerate(state["lost"].tolist()):
                if count:
                    place = self._unit_of(cgroup), str(self.abi.losses[number])
                    found[place] = found.get(place, 0) + count
        for number, count in enumerate(self._state[0]["lost_anywhere"].tolist()):
            if count:
                found["", str(self.abi.losses[number])] = count
        if missed := self.loaded.missed():
            found["", str(Loss.MISSED)] = missed
        for unit, count in self._gone.items():
            place = unit, str(Loss.PROCESS_GONE)
            found[place] = found.get(place, 0) + count
        rows = [{"unit": u, "cause": c, "count": n} for (u, c), n in sorted(found.items())]
        return pa.Table.from_pylist(rows, schema=LOSSES)

    def stop(self) -> None:
        """Detach, then take what is left. Whatever happened before the call is in the recording."""
        self.loaded.detach()
        while self.drain():
            pass
        while self.drain_raw():
            pass
        self.checkpoint()
        self.namespaces.close()
        self.restarts.close()

    # What the decoder asks

    def _unit_info(self, cgroup: int) -> UnitInfo:
        path, pid, when = self.decoder.tables.cgroups.get(cgroup, (b"/", 0, 0))
        started = datetime.fromtimestamp((when + self._clock) / 1e9, UTC)
        return self.namer.unit_for(cgroup, path.decode(errors="surrogateescape"), pid, started)

    def _unit_of(self, cgroup: int) -> str:
        return self._unit_info(cgroup).unit

    def _root_of(self, tgid: int, namespace: int) -> Root:
        """The root of a mount namespace that is held, or that a watched process is still in; else one that is gone."""
        if namespace in (0, self.namespaces.own):
            return self._host_root
        if root := self.namespaces.root(namespace):
            return root
        for pid in (tgid, self.target.root_pid, *self.processes()):
            if pid and namespace_of(pid) == namespace:
                self.namespaces.hold(pid)
                return self.namespaces.root(namespace) or Root(None)
        return Root(None)

    def processes(self) -> list[int]:
        """Processes that are watched now; some may have ended since."""
        keys, _ = self._maps["tasks"].items()
        return [int(pid) for pid in keys]

    def _process_gone(self, cgroup: int) -> None:
        unit = self._unit_of(cgroup)
        self._gone[unit] = self._gone.get(unit, 0) + 1

    def _control(self, kind: str, head: Any) -> None:
        cgroup = int(head["cgroup"])
        if kind == "CGROUP":
            self._unit_of(cgroup)
            return
        info = self._unit_info(cgroup)
        when = datetime.fromtimestamp((int(head["when"]) + self._clock) / 1e9, UTC)
        if kind == "READY" and info.ready is None:
            info.ready = when
            self.on_ready(info)
        elif kind == "MAIN_EXIT":
            info.ended = when


def _as_json(tables: Tables) -> dict[str, Any]:
    def text(value: bytes) -> str:
        return value.decode(errors="surrogateescape")

    return {
        "actors": {str(n): list(vars(a).values()) for n, a in tables.actors.items()},
        "executables": {str(n): text(path) for n, path in tables.executables.items()},
        "cgroups": {str(n): [text(path), *rest] for n, (path, *rest) in tables.cgroups.items()},
        "scripts": {str(n): text(path) for n, path in tables.scripts.items()},
        "derived": {str(n): count for n, count in tables.derived.items()},
    }


def _from_json(notes: list[dict[str, Any]]) -> Tables:
    tables = Tables()
    for note in notes:
        tables.actors |= {int(n): Actor(*values) for n, values in note["actors"].items()}
        tables.executables |= {int(n): _bytes(path) for n, path in note["executables"].items()}
        tables.cgroups |= {int(n): (_bytes(path), pid, when) for n, (path, pid, when) in note["cgroups"].items()}
        tables.scripts |= {int(n): _bytes(path) for n, path in note["scripts"].items()}
        tables.derived |= {int(n): count for n, count in note["derived"].items()}
    return tables


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
