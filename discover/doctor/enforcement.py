"""Whether policies can be enforced here, by which back end, and what is missing for the others."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from collectors.probe.attempts import Outcome, errno_name
from discover.doctor.facts import Facts

__all__ = ["Missing", "Verdict", "judge"]


@dataclass(frozen=True)
class Missing:
    """One thing that stands in the way, in few words, and what to do about it."""

    what: str
    hint: str


@dataclass(frozen=True)
class Verdict:
    """`backend` is ``bpf-lsm``, ``apparmor`` or ``kubearmor``. `possible` is None where it could not be found out.

    `missing` is what stands in the way; `notes` is what limits it without standing in the way.
    """

    backend: str
    possible: bool | None
    missing: tuple[Missing, ...] = ()
    notes: tuple[Missing, ...] = ()


def judge(facts: Facts) -> list[Verdict]:
    """One verdict a back end, in the order in which ``--backend auto`` takes them."""
    return [_bpf_lsm(facts), _apparmor(facts), _kubearmor(facts)]


def _bpf_lsm(facts: Facts) -> Verdict:
    lsm = facts.program("lsm")
    missing = [*_lsm_programs(facts), *_lsm_list(facts)]
    if facts.kernel.path_hooks is False:
        hint = "use a kernel with CONFIG_SECURITY_PATH=y (a distribution's with AppArmor or Landlock has it)"
        missing.append(Missing("CONFIG_SECURITY_PATH is off: unlink, rename, mkdir are not judged", hint))
    if facts.kernel.btf_bytes is None:
        missing.append(Missing("the kernel has no BTF", "use a kernel with CONFIG_DEBUG_INFO_BTF=y"))
    if facts.kernel.mounts["bpffs"] is None:
        hint = "mount -t bpf bpf /sys/fs/bpf -o mode=0700"
        missing.append(Missing("no bpffs is mounted, so enforcement would end with its daemon", hint))
    notes = []
    if facts.security.kubearmor:
        notes.append(Missing("KubeArmor judges too: the stricter of both wins", "enforce by one of them"))
    if missing:
        return Verdict("bpf-lsm", False, tuple(missing), tuple(notes))
    if lsm.outcome is Outcome.UNTRIED:
        return Verdict("bpf-lsm", None, (Missing(lsm.reason, "sudo discover doctor"),), tuple(notes))
    if facts.security.lsms is None:
        hint = "mount -t securityfs none /sys/kernel/security, then run this again"
        return Verdict("bpf-lsm", None, (Missing("securityfs is not mounted: is bpf in lsm=?", hint),), tuple(notes))
    return Verdict("bpf-lsm", True, (), tuple(notes))


def _lsm_programs(facts: Facts) -> list[Missing]:
    lsm, path, trampoline = (facts.program(name) for name in ("lsm", "lsm_path", "fentry"))
    if lsm.outcome is Outcome.REFUSED:
        name = errno_name(lsm.errno)
        if lsm.errno == errno.EPERM:
            hint = "this kernel is hardened against them and no setting changes that; enforce on another kernel"
            if facts.kernel.own_user_namespace:
                hint = "run on the host itself: this is a user namespace"
            return [Missing(f"the kernel refuses LSM programs ({name})", hint)]
        if lsm.errno in (errno.ESRCH, errno.ENOENT, errno.EINVAL):
            hint = "use a kernel with CONFIG_BPF_LSM=y (5.7 or newer; on arm64 6.4 or newer)"
            return [Missing(f"the kernel has no BPF LSM ({name}: {lsm.reason})", hint)]
        return [Missing(f"LSM programs do not load ({name}: {lsm.reason})", "`discover doctor --full` shows more")]
    missing = []
    if trampoline.outcome is Outcome.LOADS:
        arm = facts.kernel.machine == "aarch64"
        hint = "arm64 can since 6.4: use a newer kernel" if arm else "is CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS on?"
        what = f"trampolines load but cannot be attached ({errno_name(trampoline.errno)})"
        missing.append(Missing(what, hint))
    if path.outcome is Outcome.REFUSED and facts.kernel.path_hooks is not False:
        hint = "use a kernel with CONFIG_SECURITY_PATH=y"
        missing.append(Missing(f"LSM programs on paths are refused ({errno_name(path.errno)})", hint))
    return missing


def _lsm_list(facts: Facts) -> list[Missing]:
    lsms = facts.security.lsms
    if lsms is None or "bpf" in lsms:
        return []
    # capability is always first and is no name that lsm= takes.
    wanted = ",".join([*(name for name in lsms if name != "capability"), "bpf"])
    return [Missing("bpf is not in lsm=: programs would load and never be called", f"boot with lsm={wanted}")]


def _apparmor(facts: Facts) -> Verdict:
    security = facts.security
    missing, notes = [], []
    if not security.apparmor or (security.lsms is not None and "apparmor" not in security.lsms):
        hint = "boot a kernel with AppArmor and with apparmor in lsm="
        return Verdict("apparmor", False, (Missing("AppArmor is not active in this kernel", hint),))
    if security.apparmor_parser is None:
        missing.append(Missing("apparmor_parser is not installed", "apt-get install apparmor"))
    if not security.securityfs_mounted:
        hint = "mount -t securityfs none /sys/kernel/security"
        missing.append(Missing("securityfs is not mounted: profiles cannot be loaded", hint))
    if not facts.root:
        notes.append(Missing("loading profiles needs root", "sudo"))
    return Verdict("apparmor", not missing, tuple(missing), tuple(notes))


def _kubearmor(facts: Facts) -> Verdict:
    if facts.security.kubearmor:
        return Verdict("kubearmor", True)
    hint = "karmor install, or use another back end"
    return Verdict("kubearmor", False, (Missing("KubeArmor is not running here", hint),))
