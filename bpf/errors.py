"""What can go wrong between a BPF object and the kernel.

``BpfError``
 ├─ ``LibbpfMissing``  no libbpf.so.1 (>= 1.0) on this machine
 ├─ ``ObjectMissing``  the compiled object is not beside its source
 └─ ``KernelRefused``  the kernel said no; `errno` and the verifier's last lines tell why
"""

from __future__ import annotations

import os

__all__ = ["BpfError", "KernelRefused", "LibbpfMissing", "ObjectMissing"]


class BpfError(Exception):
    """Base of all errors of this package. `hint` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class LibbpfMissing(BpfError):
    """The shared library libbpf.so.1 cannot be loaded."""


class ObjectMissing(BpfError):
    """The compiled BPF object is not installed."""


class KernelRefused(BpfError):
    """A load, attach or map operation failed in the kernel.

    `errno` is the kernel's answer; `log` is all that libbpf and the verifier said (the message quotes its end).
    """

    def __init__(self, what: str, errno: int, log: str = "") -> None:
        self.errno = errno
        self.log = log
        reason = os.strerror(errno) if errno else "unknown error"
        last = [line.strip() for line in log.splitlines() if line.strip() and "-- END PROG LOAD LOG --" not in line]
        tail = "".join(f"\n  {line}" for line in last[-6:])
        super().__init__(f"{what}: {reason}{tail}", _HINTS.get(errno, ""))


_HINTS = {
    1: "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN; a hardened kernel may refuse this program type",
    12: "raise the locked-memory limit (ulimit -l unlimited) or free memory",
    95: "this kernel does not have the feature; `discover doctor` lists what it has",
}
