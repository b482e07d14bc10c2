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
from enforcer.bpf_lsm.programs import Programs
from enforcer.store import FOLDER, STARTING, Enforced
from enforcer.telling import as_alert

__all__ = ["Teller"]


class Teller:
    """Tells one policy set's alerts. Of several, the first takes the alerts of all, and the others follow it.

    Without a `name` it takes and tells nothing.
    """

    def __init__(self, programs: Programs, name: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self._programs, self._name, self._tell = programs, name, tell
        self._alerts: Alerts | None = None
        FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock: IO[str] = (FOLDER / "alerts.lock").open("w")
        self._file = FOLDER / f"{name}.alerts.jsonl"  # of no name: never there
        self._read = self._file.stat().st_size if self._file.exists() else 0

    def step(self) -> None:
        """Take what has come, and tell what is new of this policy set."""
        if self._alerts is not None:
            self._keep(self._alerts.take())
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
        taken: dict[int, list[Told]] = {}
        for told in news:
            taken.setdefault(told.domain, []).append(told)
        everybody = {one.domain: one for one in store.read_all()} if taken else {}
        for domain, some in taken.items():
            if (whose := everybody.get(domain)) is not None:
                _append(whose, [told for told in some if told.generation & ~STARTING >= whose.first])

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
