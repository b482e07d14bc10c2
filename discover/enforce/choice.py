"""Which back end `--backend auto` takes, and why: the first of `discover doctor`'s that can."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collectors.probe.security import read_security

__all__ = ["Choice", "choose"]

_BTF = Path("/sys/kernel/btf/vmlinux")


@dataclass(frozen=True)
class Choice:
    """`why` says what stood in the way of those before it."""

    backend: str
    why: str


def choose() -> Choice:
    """The back end to take; BPF-LSM, whose loading then says what is missing, where none can."""
    security = read_security()
    if security.lsms is not None and "bpf" in security.lsms and _BTF.exists():
        # What doctor tries for seconds, the loading of the enforcer's own programs tries too, and says why not.
        return Choice("bpf-lsm", "bpf is in this kernel's list of LSMs")
    from discover.doctor.enforcement import judge  # noqa: PLC0415 - heavy
    from discover.doctor.facts import gather  # noqa: PLC0415

    reasons: list[str] = []
    for verdict in judge(gather()):
        if verdict.possible:
            return Choice(verdict.backend, "; ".join(reasons) or "nothing stands in its way")
        missing = ", ".join(m.what for m in verdict.missing)
        reasons.append(f"not {verdict.backend}: {missing}")
    return Choice("bpf-lsm", f"no back end can enforce here ({'; '.join(reasons)})")
