"""The back ends: which there are, what each can see, and which one this kernel lets us load.

A back end is chosen by loading it, never by reading lists or versions: a hardened kernel can list ``bpf`` among its
LSMs and refuse every trampoline (EPERM), and a distribution's kernel has features its version does not tell.
"""

from __future__ import annotations

import errno
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bpf.btf import Btf
from bpf.errors import BpfError, KernelRefused, LibbpfMissing
from bpf.kernel_btf import KernelBtf
from bpf.maps import Map
from bpf.object import BpfObject, object_path
from collectors.live.bcc import BCC_OBJECT, BccObject
from collectors.live.calls import table
from collectors.probe.security import read_security
from models.behaviour import Class

__all__ = [
    "BACKENDS",
    "Backend",
    "Loaded",
    "NoBackend",
    "Pinned",
    "Refusal",
    "Settings",
    "load",
    "subsystem_index",
    "unpin",
]

OPTIONAL = {
    "on_capable_tracepoint",  # cap_capable is a tracepoint since Linux 6.14
    "on_file_truncate",  # a hook since 6.2; before, path_truncate stands for both
}


Opened = BpfObject | BccObject


class NoBackend(BpfError):
    """No back end could be loaded, or not the one that was asked for; `refusals` says why for each."""

    def __init__(self, refusals: list[Refusal], requested: str = "auto") -> None:
        self.refusals = refusals
        tried = "".join(f"\n  {r.backend}: {r.reason}" for r in refusals)
        if requested == "auto":
            said, hint = "no back end works on this kernel", next((r.hint for r in refusals if r.hint), "")
        else:
            said = f"the back end {requested} does not work on this kernel"
            hint = next((r.hint for r in refusals if r.hint and not r.kind), "--backend auto takes one that does")
        super().__init__(f"{said}{tried}", hint)


@dataclass(frozen=True)
class Refusal:
    """Why a back end cannot be used here; `kind`: its kind of program is refused, whatever is done about it."""

    backend: str
    reason: str
    hint: str = ""
    kind: bool = False


@dataclass(frozen=True)
class Settings:
    """What the programs are told before they are loaded.

    `ring_size`: bytes, a power of two. `subsystem`: index of the cgroup v1 controller that tells containers apart, or
    -1 for cgroup v2. `own_mounts_needed`: the workload has a mount namespace of its own.
    """

    track_host: bool = False
    own_mounts_needed: bool = False
    subsystem: int = -1
    raw: bool = False
    ring_size: int = 1 << 24
    behaviours: int = 1 << 19


@dataclass(frozen=True)
class Backend:
    """One way of collecting. `objects` are tried in turn; `sees_exec`: also what the kernel does itself at an exec."""

    name: str
    objects: tuple[str, ...]
    sees_exec: bool
    needs_lsm: bool = False

    def watched(self, programs: set[str]) -> dict[str, dict[str, str]]:
        """Class -> state and note, for the programs that were loaded."""
        states = {str(c): {"state": "watched", "note": ""} for c in Class}
        if not any(name.startswith("on_capable") for name in programs):
            note = "the kernel has no tracepoint for capabilities before 6.14"
            states[Class.CAPABILITY] = {"state": "unwatched", "note": note}
        if self.name in ("tracepoint", "bcc"):
            states[Class.FILE]["note"] = "io_uring operations are not seen"
        return states


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("lsm", ("observer.lsm", "observer.lsm_5_10"), sees_exec=True, needs_lsm=True),
        Backend("fentry", ("observer.fentry", "observer.fentry_5_10"), sees_exec=True),
        Backend(
            "tracepoint",
            ("observer.tracepoint", "observer.tracepoint_5_17", "observer.tracepoint_5_10"),
            sees_exec=False,
        ),
        Backend("bcc", (BCC_OBJECT,), sees_exec=False),
    )
}
"""In order of preference."""


class Loaded:
    """A back end in the kernel: its maps and its attachment, whether loaded here or left pinned by another process."""

    def __init__(self, backend: Backend, opened: Opened, programs: set[str], refusals: list[Refusal]) -> None:
        self.backend, self.object, self.programs, self.refusals = backend, opened, programs, refusals
        self.pins: Path | None = None

    def map(self, name: str) -> Map:
        """One of the observer's maps."""
        return self.object.map(name)

    def variable(self, name: str) -> np.ndarray[Any, Any]:
        """A global of the programs, shared."""
        return self.object.variable(name)

    def attach(self, pins: Path | None = None) -> None:
        """Attach all programs; with `pins`, a folder on a bpffs, they and the maps outlive this process."""
        self.object.attach(*sorted(self.programs))
        if pins:
            self.object.pin(pins)
            self.pins = pins

    def missed(self) -> int:
        """How often the kernel skipped one of the programs (since 5.12; its recursion guard)."""
        return sum(self.object.recursion_misses(name) for name in self.programs)

    def detach(self) -> None:
        """Take the programs off their hooks. The maps can still be read."""
        self.object.detach()
        if self.pins:
            unpin(self.pins)

    def close(self) -> None:
        """Free everything that is not pinned."""
        self.object.close()


class Pinned(Loaded):
    """What a recorder that was killed has left: it has gone on recording into its maps."""

    def __init__(self, backend: Backend, variant: str, pins: Path) -> None:
        super().__init__(backend, _open(variant), set(), [])
        self.pins: Path = pins

    def map(self, name: str) -> Map:
        """One of the observer's maps, by its pin."""
        return self.object.map_class.pinned(self.pins / "maps" / name, *self.object.map_types(name))

    def variable(self, name: str) -> np.ndarray[Any, Any]:
        """A global of the programs, shared."""
        return self.object.variable(name, self.object.map_class.pinned(self.pins / "maps" / "bss", None, None).fd)

    def attach(self, pins: Path | None = None) -> None:
        """Nothing: the links are attached still."""

    def missed(self) -> int:
        """Not known: the programs belong to links that another process made."""
        return 0


def _open(variant: str) -> Opened:
    return BccObject() if variant == BCC_OBJECT else BpfObject(object_path(variant))


def unpin(pins: Path) -> None:
    """Remove pinned links and maps; the programs stop within some tens of milliseconds."""
    if not pins.is_dir():
        return
    for kind in ("links", "maps"):
        for pin in sorted((pins / kind).glob("*")):
            pin.unlink()
        (pins / kind).rmdir()
    pins.rmdir()


def load(requested: str, settings: Settings, adjust: Callable[[Opened], None] | None = None) -> Loaded:
    """Load the requested back end, or with ``auto`` the first that the kernel accepts.

    Raises `NoBackend` with every refusal, so that a person sees what was tried.
    """
    names = list(BACKENDS) if requested == "auto" else [requested]
    refusals: list[Refusal] = []
    for name in names:
        backend = BACKENDS[name]
        if backend.needs_lsm and (lsms := read_security().lsms) is not None and "bpf" not in lsms:
            refusals.append(Refusal(name, f"bpf is not among the active LSMs ({', '.join(lsms)})", _LSM_HINT))
            continue
        for variant in backend.objects:
            try:
                loaded = _load_one(backend, variant, settings, adjust, refusals)
            except LibbpfMissing as error:
                refusals.append(Refusal(name, str(error), error.hint))
                break
            except (BpfError, LookupError) as error:
                hint = getattr(error, "hint", "")
                if getattr(error, "errno", 0) == errno.EPERM:
                    # The kind of program is refused, whatever it does; libbpf's words speak of memory limits.
                    refusals.append(Refusal(name, "the kernel refuses programs of this kind (EPERM)", hint, kind=True))
                    break
                refusals.append(Refusal(f"{name} ({variant})", str(error), hint))
                continue
            return loaded
    raise NoBackend(refusals, requested)


_LSM_HINT = "boot with bpf in the lsm= list, for example lsm=landlock,lockdown,apparmor,bpf"


def _load_one(
    backend: Backend,
    variant: str,
    settings: Settings,
    adjust: Callable[[Opened], None] | None,
    refusals: list[Refusal],
) -> Loaded:
    opened = _open(variant)
    try:
        absent = _absent(opened)
        _configure(opened, settings)
        opened.without(*absent)
        if adjust:
            adjust(opened)
        opened.load()
    except BaseException:
        opened.close()
        raise
    return Loaded(backend, opened, set(opened.programs) - absent, refusals)


def _configure(opened: Opened, settings: Settings) -> None:
    operations = opened.btf.enum("operation")
    machine = platform.machine()
    rename_lock, mount_lock = _lock_addresses()
    opened.constants(
        track_host=int(settings.track_host),
        own_mounts_needed=int(settings.own_mounts_needed),
        host_mount_namespace=Path("/proc/self/ns/mnt").stat().st_ino,
        subsystem=settings.subsystem,
        rename_lock_address=rename_lock,
        mount_lock_address=mount_lock,
        raw=int(settings.raw),
        calls=table(machine, operations),
        calls_compat=table("i386", operations) if machine == "x86_64" else bytes(8),
    )
    opened.resize("events", settings.ring_size)
    opened.resize("long_events", max(settings.ring_size // 4, 1 << 14))
    if settings.raw:
        opened.resize("raw_events", settings.ring_size)
    opened.resize("behaviours", settings.behaviours)


def _lock_addresses() -> tuple[int, int]:
    """Where the kernel keeps its sequence counts of renames and mounts; 0 where kallsyms has no data symbols."""
    found = {}
    try:
        with Path("/proc/kallsyms").open() as lines:
            for line in lines:
                address, _, name = line.split()[:3]
                if name in ("rename_lock", "mount_lock"):
                    found[name] = int(address, 16)
    except OSError:
        pass
    return found.get("rename_lock", 0), found.get("mount_lock", 0)


def _absent(opened: Opened) -> set[str]:
    """The programs that may be missing and whose hook this kernel does not have, or does not tell of."""
    try:
        kernel = _kernel()
    except LookupError:
        return OPTIONAL & set(opened.programs)
    try:
        return {name for name in OPTIONAL & set(opened.programs) if not _has_hook(kernel, opened.section_of(name))}
    finally:
        kernel.close()


def _kernel() -> Btf | KernelBtf:
    """The running kernel's types; LookupError if it has none."""
    try:
        return Btf.of_kernel()
    except LibbpfMissing:
        return KernelBtf()


def _has_hook(kernel: Btf | KernelBtf, section: str) -> bool:
    kind, _, hook = section.partition("/")
    if kind == "tp_btf":
        return kernel.has("typedef", f"btf_trace_{hook}")
    return kernel.has("func", f"bpf_lsm_{hook}" if kind == "lsm" else hook)


def _controllers() -> dict[str, int]:
    """Like ``enum cgroup_subsys_id``, for a kernel without BTF: the controllers in the order that the kernel keeps."""
    names = [line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines() if not line.startswith("#")]
    return {f"{'io' if name == 'blkio' else name}_cgrp_id": place for place, name in enumerate(names)}


def subsystem_index(controller: str) -> int:
    """The place of a cgroup v1 controller in ``css_set.subsys``, from the kernel's BTF; ``unified`` is -1."""
    if controller == "unified":
        return -1
    kernel_name = {"blkio": "io"}.get(controller, controller)
    try:
        kernel = _kernel()
    except LookupError:
        members = _controllers()
    else:
        members = kernel.enum("cgroup_subsys_id")
        kernel.close()
    try:
        return members[f"{kernel_name}_cgrp_id"]
    except KeyError:
        raise KernelRefused(f"find cgroup controller {controller!r} in the kernel's BTF", 2) from None
