"""Domains: a set of policies, and whom it covers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from enforcer.bpf_lsm.programs import Programs, grace
from enforcer.bpf_lsm.slots import SLOTS, put, withdraw
from enforcer.compile import Tables
from enforcer.errors import EnforceError
from enforcer.store import STARTING

__all__ = ["ALL", "CLASSES", "FAILURES", "Domains", "Failure", "Readiness", "Totals"]

CLASSES = ("process", "file", "network", "capabilities")
"""In the kernel's order."""
ALL = frozenset(CLASSES)
FAILURES = ("", "denials", "crash", "probe")
"""Why Block ended before its deadline, in the kernel's order."""
_ENTERING, _JUDGED = 0, 1
_NAME = 128
_SLOT = 0xFFFFFFFF
"""The lower half of a domain's policy; 0: none. The upper half is the generation."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a domain has counted, by class. `untold`: of both, what raised no alert of its own."""

    denied: dict[str, int]
    audited: dict[str, int]
    untold: dict[str, int]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a domain's Block ended before it was confirmed."""

    why: str
    """One of `FAILURES`."""
    pid: int
    comm: str
    code: int
    """As wait() tells it."""
    denials: int
    """Since Block began."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """When an instance of a workload counts as ready; never, if nothing is said."""

    on_listen: bool = True
    after: float | None = None
    """Seconds from its first executable on."""


class Domains:
    """The domains of one kernel. Numbers begin at 1."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self._fresh: set[int] = set()

    @property
    def in_use(self) -> list[int]:
        """Domains that have a policy."""
        return [n for n, d in enumerate(self.programs.domains) if n and int(d["policy"]) & _SLOT]

    def add(
        self,
        tables: Tables,
        *,
        starting: Tables | None = None,
        ready: Readiness | None = None,
        block: Iterable[str] = (),
        own_mounts: bool = False,
    ) -> int:
        """A new domain that covers nobody yet. `block`: the classes in which it denies; in the others it only tells.

        `starting` is in the place of `tables` until an instance of the workload is `ready`.
        """
        domains = self.programs.domains
        number = next((n for n in range(1, len(domains)) if not int(domains[n]["policy"]) & _SLOT), 0)
        if not number:
            raise EnforceError(f"{len(domains) - 1} policy sets are enforced already", "discover enforce stop NAME")
        generation = int(domains["policy"][number]) & ~_SLOT  # goes on: it tells alerts of an earlier policy apart
        domains[number] = np.zeros((), domains.dtype)
        domains["policy"][number] = generation
        domains[number]["own_mounts"] = own_mounts
        self.block(number, block)
        self.swap(number, tables, starting=starting, ready=ready)
        return number

    def swap(
        self, number: int, tables: Tables, *, starting: Tables | None = None, ready: Readiness | None = None
    ) -> int:
        """Replace a domain's policy by another, whole: no access is judged by neither or by parts. The generation."""
        domains, policies = self.programs.domains, self.programs.maps["policies"]
        ready = ready or Readiness()
        old = [int(domains[field][number]) for field in ("policy", "starting")]
        generation = (old[0] >> 32) + 1
        word = self._put(tables) | generation << 32
        early = self._put(starting) | (generation | STARTING) << 32 if starting else 0
        domains["ready_on_listen"][number] = ready.on_listen
        domains["ready_after"][number] = int((ready.after or 0) * 1e9)
        domains["starting"][number] = early
        domains["policy"][number] = word
        if any(one & _SLOT for one in old):
            grace()
            for one in old:
                if one & _SLOT:
                    withdraw(policies, one & _SLOT)
        return generation

    def _put(self, tables: Tables) -> int:
        """Load a policy into a slot that is free."""
        used = {int(d[field]) & _SLOT for d in self.programs.domains for field in ("policy", "starting")} | self._fresh
        slot = next((s for s in range(1, SLOTS) if s not in used), 0)
        if not slot:
            raise EnforceError("no slot for another policy is free", "discover enforce status")
        put(self.programs.maps["policies"], slot, tables)
        self._fresh = {slot}
        return slot

    def is_in_force(self, number: int) -> bool:
        """Whether it has a policy: not once it was removed."""
        return bool(int(self.programs.domains["policy"][number]) & _SLOT)

    def generation(self, number: int) -> int:
        """Which of the policies that ever had this number is in force."""
        return int(self.programs.domains["policy"][number]) >> 32

    def block(
        self,
        number: int,
        classes: Iterable[str],
        *,
        confirm_within: float | None = None,
        most_denials: int = 0,
    ) -> None:
        """Deny in these classes from now on; with `confirm_within` seconds, only until they are over.

        Until it is confirmed, a crash of the workload or that many denials end it as well.
        """
        bits = sum(1 << CLASSES.index(name) for name in set(classes))
        deadline = (
            0 if confirm_within is None else int((time.clock_gettime(time.CLOCK_BOOTTIME) + confirm_within) * 1e9)
        )
        domains = self.programs.domains
        domains["block"][number] = 0  # a failure of before must not be taken for one of now
        for field, value in (("failed", 0), ("denials", 0), ("most_denials", most_denials), ("deadline", deadline)):
            domains[field][number] = value
        domains["block"][number] = bits

    def confirm(self, number: int) -> None:
        """Block for good."""
        self.programs.domains["deadline"][number] = 0

    def is_provisional(self, number: int) -> bool:
        """Whether it denies, and has to be confirmed."""
        domain = self.programs.domains[number]
        return bool(domain["block"]) and bool(domain["deadline"]) and not domain["failed"] and not self.is_over(number)

    def is_over(self, number: int) -> bool:
        """Whether nobody confirmed it in time."""
        deadline = int(self.programs.domains[number]["deadline"])
        return bool(deadline) and time.clock_gettime(time.CLOCK_BOOTTIME) * 1e9 >= deadline

    def fail(self, number: int) -> None:
        """Back to Audit, because a probe says that the workload does not serve."""
        self.programs.domains["failed"][number] = FAILURES.index("probe")

    def failure(self, number: int) -> Failure | None:
        """Why Block ended before its deadline; None if it did not."""
        domain = self.programs.domains[number]
        if not (why := int(domain["failed"])):
            return None
        comm = bytes(domain["failed_comm"]).partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return Failure(
            FAILURES[why], int(domain["failed_pid"]), comm, int(domain["failed_code"]), int(domain["denials"])
        )

    def cover_cgroup(self, number: int, cgroup: int, *, holds: bool = False) -> None:
        """Cover a cgroup, by its id, and those below it: who comes into it is judged once it executes something.

        `holds`: each cgroup right below it is an instance of the workload, with a start of its own.
        """
        self.programs.maps["roots"].set(cgroup, (number, int(holds)))

    def await_cgroup(self, number: int, name: str) -> None:
        """Cover every cgroup of this name from the moment it is made, as a container's that is started again."""
        key = os.fsencode(name)
        if len(key) < _NAME:
            self.programs.maps["awaited"].set((key,), number)

    def running(self, number: int, home: int, leader: int) -> None:
        """An instance that is there already: it has started. `home`: its cgroup, 0 for processes alone."""
        now = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e9)
        self.programs.maps["instances"].set((home, number, 0), (now, leader, 1))

    def ready(self, number: int) -> int:
        """Say that all instances of a domain are ready: what is for their start alone falls away. How many."""
        instances = self.programs.maps["instances"]
        keys, values = instances.items()
        mine = [(k, v) for k, v in zip(keys, values, strict=True) if int(k["domain"]) == number]
        for key, value in mine:
            instances.set(key, (int(value["since"]), int(value["leader"]), 1))
        return len(mine)

    def cover_process(self, number: int, pid: int, *, judged: bool, home: int = 0) -> None:
        """Cover a process that runs; `judged` at once, or from its next executable on. `home`: its instance's."""
        namespace = 0
        if judged:
            namespace = Path(f"/proc/{pid}/ns/mnt").stat().st_ino
        entry = (number, _JUDGED if judged else _ENTERING, 0, namespace, 0, home)
        self.programs.maps["covered"].set(pid, entry)

    def remove(self, number: int) -> None:
        """Cover nobody any more, and forget the policy."""
        for name in ("roots", "awaited", "instances", "covered"):
            keys, values = self.programs.maps[name].items()
            for key, value in zip(keys, values, strict=True):
                if self._whose(name, key, value) == number:
                    self.programs.maps[name].drop(key)
        old = [int(self.programs.domains[field][number]) for field in ("policy", "starting")]
        self.programs.domains["starting"][number] = 0
        self.programs.domains["policy"][number] = old[0] & ~_SLOT
        grace()
        for one in old:
            if one & _SLOT:
                withdraw(self.programs.maps["policies"], one & _SLOT)

    @staticmethod
    def _whose(name: str, key: Any, value: Any) -> int:
        if name == "awaited":
            return int(value)
        return int(key["domain"] if name == "instances" else value["domain"])

    def totals(self, number: int) -> Totals:
        """What the domain has counted so far."""
        domain = self.programs.domains[number]
        by_class = [dict(zip(CLASSES, map(int, domain[f]), strict=True)) for f in ("denied", "audited", "untold")]
        return Totals(*by_class)
