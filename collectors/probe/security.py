"""What judges accesses on this host beside us: active LSMs, lockdown, AppArmor, a running KubeArmor.

Here lists have to be read. A BPF-LSM program loads and attaches on a kernel whose ``lsm=`` leaves ``bpf`` out, and is
then never called (``security/bpf/hooks.c`` registers the hooks only if the LSM is initialised), so a trial tells
nothing short of refusing something for real.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Security", "kubearmor_pids", "lockdown_mode", "lsm_names", "read_security"]

SECURITYFS = Path("/sys/kernel/security")

# include/uapi/linux/lsm.h; lsm_list_modules(2) since 6.8, number 461 on every machine but alpha
_LSM_IDS = {
    100: "capability",
    101: "selinux",
    102: "smack",
    103: "tomoyo",
    104: "apparmor",
    105: "yama",
    106: "loadpin",
    107: "safesetid",
    108: "lockdown",
    109: "bpf",
    110: "landlock",
    111: "ima",
    112: "evm",
    113: "ipe",
}
_LSM_LIST_MODULES = 461
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # since 5.2, the same on every machine but alpha
_FSCONFIG_CMD_CREATE = 6
_CLOEXEC = 1  # FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC
_MOUNT_FLAGS = 1 | 2 | 4 | 8  # MOUNT_ATTR_RDONLY, NOSUID, NODEV, NOEXEC


@dataclass(frozen=True)
class Security:
    """LSMs and what goes with them. None: could not be found out.

    `lsms` is in the kernel's order and `lsms_from` how it was learned. `lockdown` is ``none``, ``integrity``,
    ``confidentiality`` or, where the kernel has no lockdown, ``absent``. `apparmor`: enabled in the kernel.
    """

    lsms: tuple[str, ...] | None
    lsms_from: str
    lockdown: str | None
    securityfs_mounted: bool
    apparmor: bool
    apparmor_parser: str | None
    kubearmor: tuple[int, ...]


def read_security(proc: Path = Path("/proc")) -> Security:
    """Read all of it."""
    mounted = (SECURITYFS / "lsm").exists() or os.path.ismount(SECURITYFS)
    folder = os.open(SECURITYFS, os.O_RDONLY | os.O_DIRECTORY) if mounted else _detached_securityfs()
    try:
        listed = _read_at(folder, "lsm")
        locked = _read_at(folder, "lockdown")
    finally:
        if folder is not None:
            os.close(folder)
    lsms: tuple[str, ...] | None = None
    origin = ""
    if listed:
        lsms = tuple(listed.strip().split(","))
        origin = str(SECURITYFS / "lsm") if mounted else "securityfs, mounted for this look only"
    elif modules := _lsm_list_modules():
        lsms, origin = lsm_names(modules), "lsm_list_modules(2)"
    return Security(
        lsms=lsms,
        lsms_from=origin,
        lockdown=lockdown_mode(locked) or ("absent" if lsms is not None and "lockdown" not in lsms else None),
        securityfs_mounted=mounted,
        apparmor=_apparmor_enabled(),
        apparmor_parser=shutil.which("apparmor_parser", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"),
        kubearmor=kubearmor_pids(proc),
    )


def lockdown_mode(text: str | None) -> str | None:
    """The mode in brackets of ``none [integrity] confidentiality``; None if there is none."""
    match = re.search(r"\[(\w+)\]", text or "")
    return match[1] if match else None


def lsm_names(identifiers: list[int]) -> tuple[str, ...]:
    """Names for the numbers of lsm_list_modules(2)."""
    return tuple(_LSM_IDS.get(number, f"lsm-{number}") for number in identifiers)


def kubearmor_pids(proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Processes whose executable is called ``kubearmor``, as it is in KubeArmor's image and packages.

    A workload could bear that name too: good enough to tell a person, not to decide anything.
    """
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                executable = (entry / "exe").readlink().name
            except OSError:
                continue
            if executable.lower() == "kubearmor":
                found.append(int(entry.name))
    return tuple(sorted(found))


def _apparmor_enabled() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        return False


def _read_at(folder: int | None, name: str) -> str | None:
    if folder is None:
        return None
    try:
        with open(os.open(name, os.O_RDONLY, dir_fd=folder)) as file:  # noqa: PTH123 - below a descriptor
            return file.read()
    except OSError:
        return None


def _syscall(number: int, *arguments: object) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *arguments))


def _detached_securityfs() -> int | None:
    """A descriptor of securityfs mounted nowhere: it goes with the descriptor and no one else sees it. Needs root."""
    context = _syscall(_FSOPEN, b"securityfs", ctypes.c_uint(_CLOEXEC))
    if context < 0:
        return None
    try:
        if _syscall(_FSCONFIG, ctypes.c_int(context), ctypes.c_uint(_FSCONFIG_CMD_CREATE), None, None, 0) < 0:
            return None
        mount = _syscall(_FSMOUNT, ctypes.c_int(context), ctypes.c_uint(_CLOEXEC), ctypes.c_uint(_MOUNT_FLAGS))
        return mount if mount >= 0 else None
    finally:
        os.close(context)


def _lsm_list_modules() -> list[int]:
    identifiers = (ctypes.c_uint64 * 64)()
    size = ctypes.c_uint32(ctypes.sizeof(identifiers))
    count = _syscall(_LSM_LIST_MODULES, identifiers, ctypes.byref(size), ctypes.c_uint32(0))
    return list(identifiers[:count]) if count > 0 else []
