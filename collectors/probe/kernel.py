"""The kernel and what it was given: release, BTF, configuration, mounts, limits. Read, not tried: see `attempts`."""

from __future__ import annotations

import gzip
import mmap
import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CONFIG", "Kernel", "mount_points", "read_config", "read_kernel"]

CONFIG = (
    "BPF_SYSCALL",
    "BPF_JIT",
    "BPF_EVENTS",
    "BPF_LSM",
    "DEBUG_INFO_BTF",
    "SECURITY",
    "SECURITYFS",
    "SECURITY_PATH",
    "SECURITY_NETWORK",
    "SECURITY_APPARMOR",
    "SECURITY_LOCKDOWN_LSM",
    "LSM",
    "KPROBES",
    "FTRACE_SYSCALLS",
    "DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "DYNAMIC_FTRACE_WITH_CALL_OPS",
    "CGROUPS",
    "MEMCG",
    "OVERLAY_FS",
    "IO_URING",
    "IA32_EMULATION",
    "COMPAT",
)
"""What is shown of a kernel's configuration, without ``CONFIG_``."""

BTF = Path("/sys/kernel/btf/vmlinux")
_MOUNTS = {"bpffs": "bpf", "securityfs": "securityfs", "tracefs": "tracefs", "cgroup2": "cgroup2"}


@dataclass(frozen=True)
class Kernel:
    """What is known of the kernel without trying anything.

    `btf_bytes` is None where the kernel has no BTF. `path_hooks` tells whether it has ``security_path_unlink``,
    which is CONFIG_SECURITY_PATH, None where neither its BTF nor its configuration could be read. `config` maps names
    of `CONFIG` to ``y``, ``m``, ``n`` or a string and is None where `config_from` is empty. `mounts` maps ``bpffs``,
    ``securityfs``, ``tracefs`` and ``cgroup2`` to the place where each is mounted, None where it is not. `memlock` is
    the soft and the hard limit of locked memory in bytes, -1 for none.
    """

    release: str
    machine: str
    distribution: str
    btf_bytes: int | None
    path_hooks: bool | None
    config: dict[str, str] | None
    config_from: str
    mounts: dict[str, str | None]
    memlock: tuple[int, int]
    unprivileged_bpf: str
    own_user_namespace: bool


def read_kernel(*, config: bool = True) -> Kernel:
    """Read all of it; `config` False leaves the configuration out unless only it can tell `path_hooks`."""
    release = platform.release()
    path_hooks, btf_bytes = _btf_names("security_path_unlink")
    options, origin = _config_of(release) if config or path_hooks is None else (None, "")
    if path_hooks is None and options is not None:
        path_hooks = options["SECURITY_PATH"] == "y"
    return Kernel(
        release=release,
        machine=platform.machine(),
        distribution=_distribution(),
        btf_bytes=btf_bytes,
        path_hooks=path_hooks,
        config=options,
        config_from=origin,
        mounts=mount_points(Path("/proc/self/mounts").read_text(errors="surrogateescape")),
        memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK),
        unprivileged_bpf=_first_line("/proc/sys/kernel/unprivileged_bpf_disabled"),
        own_user_namespace=_first_line("/proc/self/uid_map").split() != ["0", "0", "4294967295"],
    )


def _btf_names(function: str) -> tuple[bool | None, int | None]:
    """Whether the kernel's BTF has that function among its strings, and the size of the BTF."""
    try:
        with BTF.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            try:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # since 6.15
                    return content.find(b"\0" + function.encode() + b"\0") >= 0, size
            except OSError:
                return b"\0" + function.encode() + b"\0" in file.read(), size
    except (OSError, ValueError):
        return None, None


def _config_of(release: str) -> tuple[dict[str, str] | None, str]:
    for place in ("/proc/config.gz", f"/boot/config-{release}", f"/lib/modules/{release}/config"):
        try:
            raw = Path(place).read_bytes()
            text = (gzip.decompress(raw) if place.endswith(".gz") else raw).decode(errors="replace")
        except (OSError, EOFError):
            continue
        return read_config(text), place
    return None, ""


def read_config(text: str) -> dict[str, str]:
    """The values of `CONFIG` in a kernel's configuration; ``n`` for what is not set or not there."""
    values = dict.fromkeys(CONFIG, "n")
    for line in text.splitlines():
        name, equals, value = line.removeprefix("CONFIG_").partition("=")
        if equals and line.startswith("CONFIG_") and name in values:
            values[name] = value.strip('"')
    return values


def mount_points(mounts: str) -> dict[str, str | None]:
    """Where the file systems that we use are mounted first, from the text of ``/proc/mounts``."""
    found: dict[str, str | None] = dict.fromkeys(_MOUNTS)
    for line in mounts.splitlines():
        fields = line.split(" ")
        for name, kind in _MOUNTS.items():
            if len(fields) > 2 and fields[2] == kind and found[name] is None:
                found[name] = fields[1]
    return found


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip().split("\n")[0]
    except OSError:
        return ""


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
