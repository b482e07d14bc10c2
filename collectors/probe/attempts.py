"""Programs, helpers and maps tried on the running kernel, each loaded alone and closed at once.

Lists and versions are not asked: a hardened kernel lists ``bpf`` among its LSMs and refuses every trampoline, and a
distribution's kernel has features that its version does not tell. Programs that only watch are attached too, for the
moment, because loading is not all: arm64 before 6.4 loads trampolines and cannot attach them, and a kernel without
CONFIG_KPROBES loads kprobes. Programs that could change an answer (``lsm``, ``fmod_ret``) are only loaded.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bpf.errors import BpfError, KernelRefused, ObjectMissing
from bpf.object import BpfObject, object_path

__all__ = ["HELPERS", "MAPS", "PROGRAMS", "Attempt", "Outcome", "errno_name", "last_words", "try_all", "untried"]

PROGRAMS = {
    "lsm": "BPF-LSM: may refuse an access",
    "lsm_path": "BPF-LSM on paths (CONFIG_SECURITY_PATH)",
    "fentry": "on entry to a kernel function",
    "fexit": "on return from a kernel function",
    "fmod_ret": "in place of a kernel function's answer",
    "tp_btf": "tracepoint with typed arguments",
    "tp_btf_capable": "tracepoint of capabilities (6.14)",
    "raw_tp": "tracepoint with raw arguments",
    "tracepoint": "tracepoint by tracefs",
    "kprobe": "on any kernel instruction",
    "socket_filter": "on packets of one socket",
}
"""Every program of ``probe.programs``, with what it is for."""

_WATCHING = {"fentry", "fexit", "tp_btf", "tp_btf_capable", "raw_tp", "tracepoint", "kprobe"}

HELPERS = (
    "probe_read_kernel",
    "probe_read_user",
    "get_current_task_btf",
    "task_pt_regs",
    "find_vma",
    "loop",
    "get_current_cgroup_id",
)
"""Every program of ``probe.helpers``: each calls the helper ``bpf_`` + its name."""

MAPS = (
    "hash",
    "lru_hash",
    "array",
    "percpu_array",
    "ringbuf",
    "task_storage",
    "inode_storage",
    "array_of_maps",
    "hash_of_maps",
)
"""Kinds of map, each in an object ``probe.map_`` + its name."""

_ENOTSUPP = 524  # the kernel's own, not for user space but seen there (arm64's trampolines)


class Outcome(StrEnum):
    """How a trial ended. `LOADS`: loaded, but could not be attached."""

    WORKS = "works"
    LOADS = "loads"
    REFUSED = "refused"
    UNTRIED = "untried"


@dataclass(frozen=True)
class Attempt:
    """One trial. `errno` is the kernel's answer (0: none), `reason` the verifier's or libbpf's last words."""

    name: str
    section: str
    outcome: Outcome
    errno: int = 0
    reason: str = ""

    @property
    def works(self) -> bool:
        """Loaded, and attached where that was tried."""
        return self.outcome is Outcome.WORKS


def errno_name(number: int) -> str:
    """``EPERM`` for 1; the number where it has no name, and nothing for 0."""
    if number == _ENOTSUPP:
        return "ENOTSUPP"
    return errno.errorcode.get(number, str(number)) if number else ""


def last_words(log: str) -> str:
    """The line of a libbpf log that says most: the verifier's last before its statistics, else libbpf's first."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    verifier: list[str] = []
    inside = False
    for line in lines:
        if "-- BEGIN PROG LOAD LOG --" in line:
            inside = True
        elif "-- END PROG LOAD LOG --" in line:
            inside = False
        elif inside and not re.match(r"processed \d+ insns|verification time|stack depth|max_states", line):
            verifier.append(line)
    if verifier:
        return verifier[-1]
    # Advice on ulimit is libbpf's guess at any EPERM of root's; the last lines only repeat that it failed.
    noise = ("permission error while running as root", "failed to load object")
    spoken = [line.removeprefix("libbpf: ") for line in lines if not any(n in line for n in noise)]
    return re.sub(r"^prog '[^']*': ", "", spoken[0]) if spoken else ""


def try_all(variant: str, names: Iterable[str | None]) -> list[Attempt]:
    """Try programs of ``probe.VARIANT``; the name None stands for its maps, without a program.

    Raises `LibbpfMissing` where libbpf cannot be used at all.
    """
    return [_try(f"probe.{variant}", name) for name in names]


def _try(variant: str, program: str | None) -> Attempt:
    label = program or variant.removeprefix("probe.map_")
    section = ""
    attaching = False
    try:
        with BpfObject(object_path(variant)) as opened:
            section = opened.section_of(program) if program else ""
            opened.only(*([program] if program else []))
            opened.load()
            attaching = program in _WATCHING
            if program and attaching:
                opened.attach(program)
    except KernelRefused as error:
        outcome = Outcome.LOADS if attaching else Outcome.REFUSED
        return Attempt(label, section, outcome, error.errno, last_words(error.log))
    except ObjectMissing as error:
        return Attempt(label, section, Outcome.UNTRIED, 0, f"{error}; {error.hint}")
    return Attempt(label, section, Outcome.WORKS)


def untried(names: Iterable[str], reason: BpfError | str) -> list[Attempt]:
    """Trials that could not be made, and why."""
    return [Attempt(name, "", Outcome.UNTRIED, 0, str(reason)) for name in names]
