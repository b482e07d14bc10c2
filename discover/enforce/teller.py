"""Alerts out of the kernel, into the files of whose they are, and onto a terminal: by one process at a time."""

from __future__ import annotations

import fcntl
import json
import platform
import sys
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Self

from enforcer import store
from enforcer.bpf_lsm.alerts import Alerts, Told
from enforcer.bpf_lsm.programs import DOMAINS, Programs
from enforcer.store import FOLDER, STARTING, Enforced
from enforcer.telling import as_alert

__all__ = ["Teller"]

_REMEMBERED = 2 * DOMAINS
"""Policy sets, each as it was in one generation: what was put off may be of one that was replaced or stopped."""


class Teller:
    """Tells one policy set's alerts. Of several, the first takes the alerts of all, and the others follow it.

    Without a `name` it takes and tells nothing.
    """

    def __init__(self, programs: Programs, name: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self._programs, self._name, self._tell = programs, name, tell
        self._alerts: Alerts | None = None
        self._sets: dict[tuple[int, int], Enforced] = {}
        FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock: IO[str] = (FOLDER / "alerts.lock").open("w")
        self._file = FOLDER / f"{name}.alerts.jsonl"  # of no name: never there
        self._read = self._file.stat().st_size if self._file.exists() else 0

    def step(self, *, paced: bool = True) -> None:
        """Take what has come, and tell what is new of this policy set.

        A kind that goes on is told at once, then after pauses that grow; `paced` false tells what was put off.
        """
        if self._alerts is not None:
            self._keep(self._alerts.take(paced=paced))
        elif self._is_first():
            self._alerts = Alerts(self._programs)
            self._keep(self._alerts.take_over())
        self._follow()

    def _is_first(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _keep(self, news: list[Told]) -> None:
        if not news:
            return
        for one in store.read_all():
            self._sets.pop((one.domain, one.generation), None)
            self._sets[one.domain, one.generation] = one
        while len(self._sets) > _REMEMBERED:
            del self._sets[next(iter(self._sets))]
        whose: dict[tuple[int, int], list[Told]] = {}
        for told in news:
            if (key := self._owner(told)) is not None:
                whose.setdefault(key, []).append(told)
        for key, some in whose.items():
            _append(self._sets[key], some)

    def _owner(self, told: Told) -> tuple[int, int] | None:
        """The policy set that decided, as it was then if that is still known; it may be stopped or changed by now."""
        generation = told.generation & ~STARTING
        if (told.domain, generation) in self._sets:
            return told.domain, generation
        able = [k for k, one in self._sets.items() if k[0] == told.domain and one.first <= generation]
        return max(able, key=lambda k: self._sets[k].first, default=None)

    def _follow(self) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._tell(json.loads(line))
        sys.stdout.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alerts is not None:
            self._keep(self._alerts.leave())
            self._follow()
        self._lock.close()


def _append(whose: Enforced, news: list[Told]) -> None:
    known = {generation: whose.rules(generation) for generation in {told.generation for told in news}}
    with whose.alerts.open("a") as file:
        for told in news:
            alert = as_alert(told, known[told.generation], whose.workload, platform.node())
            if told.rule and not known[told.generation]:
                alert["PolicyName"] = "(replaced)"
            file.write(json.dumps(alert) + "\n")
