"""Everything that doctor finds out, gathered once and then only read."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from bpf.errors import BpfError
from collectors.probe.attempts import HELPERS, MAPS, PROGRAMS, Attempt, try_all, untried
from collectors.probe.choice import Choice, choose
from collectors.probe.kernel import Kernel, read_kernel
from collectors.probe.security import Security, read_security
from collectors.probe.tools import Tools, read_tools
from collectors.runtimes import RUNTIMES, list_containers

__all__ = ["Facts", "Runtime", "gather"]

_NO_ROOT = "not tried without root"


@dataclass(frozen=True)
class Runtime:
    """A container runtime. `containers` counts the running ones; `trouble` says why some may be missing."""

    runtime: str
    found: bool
    containers: int
    trouble: str


@dataclass(frozen=True)
class Facts:
    """What was found. `root`: whether anything could be tried. `helpers` and `maps` are empty unless `full`."""

    root: bool
    full: bool
    kernel: Kernel
    security: Security
    programs: list[Attempt]
    helpers: list[Attempt]
    maps: list[Attempt]
    choice: Choice
    tools: Tools
    runtimes: list[Runtime]
    seconds: float

    def program(self, name: str) -> Attempt:
        """The trial of one of `PROGRAMS`."""
        return next(a for a in self.programs if a.name == name)

    @property
    def can_record(self) -> bool:
        """Whether `discover record` will find a back end here."""
        return self.choice.backend is not None


def gather(*, full: bool = False) -> Facts:
    """Find out; `full` tries helpers and maps too, loads every back end whole and asks for more versions."""
    began = time.monotonic()
    root = os.geteuid() == 0
    asking = _Asking(5.0 if full else 1.2)
    programs, helpers, maps = _trials(root, full)
    tried = None if full else {attempt.name: attempt for attempt in programs}
    choice = choose(tried, trying=root)
    return Facts(
        root=root,
        full=full,
        kernel=read_kernel(config=full),
        security=read_security(),
        programs=programs,
        helpers=helpers,
        maps=maps,
        choice=choice,
        tools=read_tools(clang=full),
        runtimes=asking.answers(),
        seconds=round(time.monotonic() - began, 3),
    )


def _trials(root: bool, full: bool) -> tuple[list[Attempt], list[Attempt], list[Attempt]]:
    helpers, maps = (HELPERS, MAPS) if full else ((), ())
    if not root:
        return untried(PROGRAMS, _NO_ROOT), untried(helpers, _NO_ROOT), untried(maps, _NO_ROOT)
    try:
        return (
            try_all("programs", PROGRAMS),
            try_all("helpers", helpers),
            [attempt for name in maps for attempt in try_all(f"map_{name}", [None])],
        )
    except BpfError as error:  # without libbpf nothing can be tried
        return untried(PROGRAMS, error), untried(helpers, error), untried(maps, error)


class _Asking:
    """Runtimes asked beside the rest, each with the same limit: a daemon that hangs must not hang doctor."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._found: dict[str, Runtime] = {}
        self._threads = {name: threading.Thread(target=self._ask, args=(name,), daemon=True) for name in RUNTIMES}
        for thread in self._threads.values():
            thread.start()

    def _ask(self, name: str) -> None:
        try:
            for listing in list_containers("unified", only=name):
                containers = sum(not c.sandbox for c in listing.containers)
                self._found[name] = Runtime(name, listing.found, containers, listing.trouble)
        except Exception as error:  # whatever a runtime does, the rest is told
            self._found[name] = Runtime(name, True, 0, f"{type(error).__name__}: {error}")

    def answers(self) -> list[Runtime]:
        for thread in self._threads.values():
            thread.join(max(0.0, self._until - time.monotonic()))
        late = f"did not answer within {self._seconds:g} s"
        return [self._found.get(name) or Runtime(name, True, 0, late) for name in RUNTIMES]
