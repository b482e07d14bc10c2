"""The enforcer's programs and maps in the kernel: loaded and pinned here, or found where another process did."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bpf.btf import Btf
from bpf.errors import BpfError
from bpf.maps import Map
from bpf.object import BpfObject, object_path
from bpf.raw import unlimited_memory
from enforcer.errors import EnforceError

__all__ = ["DOMAINS", "MAPS", "OBJECT", "SCRATCHES", "Programs", "grace", "processors"]

OBJECT = "enforce"
SCRATCHES = 4
DOMAINS = 256
"""Policy sets that the kernel has room for (bpf/enforce.h)."""
OPTIONAL = ("enforce_truncate_open",)
"""Programs whose hook not every kernel has."""
_VERSION = "programs-"
CHOWN = "enforce_chown"
OLD_CHOWN = ("enforce_chown_begins", "enforce_chown_goes_on", "enforce_chown_ends")
"""In its place where no program can be at a hook that takes structures: before 6.1."""
MAPS = ("policies", "domains", "roots", "awaited", "instances", "covered", "alerts", "told")


class Programs:
    """Everything in the kernel. `domains` and `state` are the kernel's own memory: a write takes effect at once."""

    def __init__(self, opened: BpfObject, maps: dict[str, Map], state: np.ndarray[Any, Any], pins: Path | None) -> None:
        self.object, self.maps, self.pins = opened, maps, pins
        self.state = state
        domains = maps["domains"]
        dtype = np.dtype(domains.value)
        size = -(-domains.max_entries * dtype.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(domains.fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.domains = np.frombuffer(self._memory, dtype, domains.max_entries)

    @classmethod
    def load(cls, pins: Path | None = None) -> Self:
        """Load and attach; nobody is covered yet. Raises `EnforceError` with the kernel's words."""
        unlimited_memory()
        opened = BpfObject(object_path(OBJECT))
        try:
            _into_kernel(opened)
            if pins is not None:
                opened.pin(pins)
                opened.detach()  # the pins alone hold them: an upgrade replaces those, whoever is alive
                for name in (_layout(opened), _version()):
                    (pins / name).mkdir()
        except BpfError as error:
            opened.close()
            raise EnforceError(
                f"this kernel does not take the enforcer's programs: {error}",
                error.hint or "`discover doctor` says what is missing for BPF LSM",
            ) from None
        return cls(opened, {name: opened.map(name) for name in MAPS}, opened.variable("state"), pins)

    @classmethod
    def found(cls, pins: Path) -> Self:
        """Those that are pinned at `pins`, whoever loaded them. Raises `EnforceError` if there are none."""
        if not (pins / "links").is_dir():
            raise EnforceError(
                f"nothing is enforced here: no programs at {pins}", "discover enforce POLICY --mode audit"
            )
        opened = BpfObject(object_path(OBJECT))
        if not (pins / _layout(opened)).is_dir():
            opened.close()
            raise EnforceError(
                f"what enforces here was loaded by another version of discover: {pins} is laid out otherwise",
                f"stop it with that version, then start it with this one; `rm -r {pins}` ends it at once, for all",
            )
        try:
            maps = {name: Map.pinned(pins / "maps" / name, *opened.map_types(name)) for name in MAPS}
            state = opened.variable("state", Map.pinned(pins / "maps" / "bss", None, None).fd)
        except BpfError as error:
            opened.close()
            raise EnforceError(f"what is pinned at {pins} cannot be used: {error}", error.hint) from None
        return cls(opened, maps, state, pins)

    @staticmethod
    def are_of_this_version(pins: Path) -> bool:
        """Whether the programs that are pinned are those that this version of discover would load."""
        return (pins / _version()).is_dir()

    @classmethod
    def upgraded(cls, pins: Path) -> Self:
        """Go on with this version's, in place of another's whose maps are laid out alike; what is in force stays so.

        Each new program is attached before the old one at its hook is detached: no access is judged by neither. One
        that both judge is judged alike, for they ask the same maps, and counted twice.
        """
        cls.found(pins).close()  # says so if the maps are laid out otherwise
        unlimited_memory()
        opened = BpfObject(object_path(OBJECT))
        try:
            opened.reuse(pins)
            _into_kernel(opened)
            opened.replace_pins(pins)
        except BpfError as error:
            opened.close()
            raise EnforceError(
                f"what enforces here stays as it is: this version's programs cannot take its place: {error}", error.hint
            ) from None
        opened.close()
        for old in pins.glob(f"{_VERSION}*"):
            old.rmdir()
        (pins / _version()).mkdir()
        return cls.found(pins)

    def unpin(self) -> None:
        """Take the pins away: with the last process that holds them, programs and maps go."""
        if self.pins is not None:
            shutil.rmtree(self.pins, ignore_errors=True)

    def close(self) -> None:
        """Let go; what is not pinned is detached."""
        self.domains = np.empty(0)
        self.object.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def grace() -> None:
    """Wait until every judgement that was under way is over (membarrier's global command waits for RCU)."""
    number = {"x86_64": 324, "aarch64": 283}[os.uname().machine]
    if ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, 0):
        raise EnforceError(f"membarrier: {os.strerror(ctypes.get_errno())}", "the kernel needs CONFIG_MEMBARRIER")


def _into_kernel(opened: BpfObject) -> None:
    """Load and attach, on the maps that were chosen or on new ones."""
    opened.constants(host_mount_namespace=_inode("/proc/1/ns/mnt"), rename_lock_address=_rename_lock())
    opened.resize("scratches", SCRATCHES * processors())
    opened.without(*_absent(opened))
    opened.load()
    opened.attach()


def _version() -> str:
    return _VERSION + hashlib.sha256(object_path(OBJECT).read_bytes()).hexdigest()[:16]


def _layout(opened: BpfObject) -> str:
    """A name for how the maps' entries and the vocabulary of alerts are laid out: another version may have another."""
    btf = opened.btf
    said: list[object] = [(name, *map(str, opened.map_types(name))) for name in MAPS]
    said += [str(np.dtype(btf.struct("alert"))), str(np.dtype(btf.struct("enforcer_state")))]
    said += [sorted(btf.enum(name).items()) for name in ("enforce_op", "policy_class", "reason", "failure")]
    return f"layout-{hashlib.sha256(repr(said).encode()).hexdigest()[:16]}"


def _inode(path: str) -> int:
    try:
        return Path(path).stat().st_ino
    except OSError:
        return 0


def processors() -> int:
    """As many as this kernel may ever have: programs count from 0 to that."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.rpartition("-")[2].rpartition(",")[2]) + 1


def _rename_lock() -> int:
    """Where the kernel keeps its sequence count of renames; 0 where kallsyms has no data symbols."""
    with Path("/proc/kallsyms").open() as lines:
        for line in lines:
            if line.endswith(" rename_lock\n"):
                return int(line.split()[0], 16)
    return 0


def _absent(opened: BpfObject) -> list[str]:
    kernel = Btf.of_kernel()
    try:
        hooks = {name: opened.section_of(name).partition("/")[2] for name in OPTIONAL}
        absent = [name for name, hook in hooks.items() if not kernel.has("func", f"bpf_lsm_{hook}")]
        return [*absent, *(OLD_CHOWN if _takes_structures(kernel) else (CHOWN,))]
    finally:
        kernel.close()


def _takes_structures(kernel: Btf) -> bool:
    """Whether programs can be at functions that take structures: `arg_flags` came with it (linux/bpf.h of 6.1)."""
    try:
        return "arg_flags" in (kernel.struct("btf_func_model").names or ())
    except (KeyError, TypeError):
        return False
