"""Domains: a set of policies, and whom it covers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from enforcer.bpf_lsm.programs import Programs, grace
from enforcer.bpf_lsm.slots import SLOTS, put, withdraw
from enforcer.compile import Tables
from enforcer.errors import EnforceError

__all__ = ["ALL", "CLASSES", "Domains", "Totals"]

CLASSES = ("process", "file", "network", "capabilities")
"""In the kernel's order."""
ALL = frozenset(CLASSES)
_ENTERING, _JUDGED = 0, 1
_SLOT = 0xFFFFFFFF
"""The lower half of a domain's policy; 0: none. The upper half is the generation."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a domain has counted, by class. `untold`: of both, what raised no alert of its own."""

    denied: dict[str, int]
    audited: dict[str, int]
    untold: dict[str, int]


class Domains:
    """The domains of one kernel. Numbers begin at 1."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs

    @property
    def in_use(self) -> list[int]:
        """Domains that have a policy."""
        return [n for n, d in enumerate(self.programs.domains) if n and int(d["policy"]) & _SLOT]

    def add(self, tables: Tables, *, block: Iterable[str] = (), own_mounts: bool = False) -> int:
        """A new domain that covers nobody yet. `block`: the classes in which it denies; in the others it only tells."""
        domains = self.programs.domains
        number = next((n for n in range(1, len(domains)) if not int(domains[n]["policy"]) & _SLOT), 0)
        if not number:
            raise EnforceError(f"{len(domains) - 1} policy sets are enforced already", "discover enforce stop NAME")
        generation = int(domains["policy"][number]) & ~_SLOT  # goes on: it tells alerts of an earlier policy apart
        domains[number] = 0
        domains["policy"][number] = generation
        domains[number]["own_mounts"] = own_mounts
        self.block(number, block)
        self.swap(number, tables)
        return number

    def swap(self, number: int, tables: Tables) -> int:
        """Replace a domain's policy by another, whole: no access is judged by neither or by parts. The generation."""
        domains = self.programs.domains
        used = {int(d["policy"]) & _SLOT for d in domains}
        slot = next((s for s in range(1, SLOTS) if s not in used), 0)
        if not slot:
            raise EnforceError("no slot for another policy is free", "discover enforce status")
        put(self.programs.maps["policies"], slot, tables)
        old = int(domains[number]["policy"])
        generation = (old >> 32) + 1
        domains["policy"][number] = slot | generation << 32
        if old & _SLOT:
            grace()
            withdraw(self.programs.maps["policies"], old & _SLOT)
        return generation

    def generation(self, number: int) -> int:
        """Which of the policies that ever had this number is in force."""
        return int(self.programs.domains["policy"][number]) >> 32

    def block(self, number: int, classes: Iterable[str], *, confirm_within: float | None = None) -> None:
        """Deny in these classes from now on; with `confirm_within` seconds, only until they are over."""
        bits = sum(1 << CLASSES.index(name) for name in set(classes))
        deadline = (
            0 if confirm_within is None else int((time.clock_gettime(time.CLOCK_BOOTTIME) + confirm_within) * 1e9)
        )
        self.programs.domains["deadline"][number] = deadline
        self.programs.domains["block"][number] = bits

    def confirm(self, number: int) -> None:
        """Block for good."""
        self.programs.domains["deadline"][number] = 0

    def cover_cgroup(self, number: int, cgroup: int) -> None:
        """Cover a cgroup, by its id, and those below it: who comes into it is judged once it executes something."""
        self.programs.maps["roots"].set(cgroup, number)

    def cover_process(self, number: int, pid: int, *, judged: bool) -> None:
        """Cover a process that runs; `judged` at once, or from its next executable on."""
        namespace = 0
        if judged:
            namespace = Path(f"/proc/{pid}/ns/mnt").stat().st_ino
        entry = (number, _JUDGED if judged else _ENTERING, 0, namespace, 0)
        self.programs.maps["covered"].set(pid, entry)

    def remove(self, number: int) -> None:
        """Cover nobody any more, and forget the policy."""
        for name, field in (("roots", None), ("covered", "domain")):
            keys, values = self.programs.maps[name].items()
            for key, value in zip(keys, values, strict=True):
                if (int(value) if field is None else int(value[field])) == number:
                    self.programs.maps[name].drop(key)
        policy = int(self.programs.domains["policy"][number])
        self.programs.domains["policy"][number] = policy & ~_SLOT
        grace()
        withdraw(self.programs.maps["policies"], policy & _SLOT)

    def totals(self, number: int) -> Totals:
        """What the domain has counted so far."""
        domain = self.programs.domains[number]
        by_class = [dict(zip(CLASSES, map(int, domain[f]), strict=True)) for f in ("denied", "audited", "untold")]
        return Totals(*by_class)
