"""From a target to what the kernel is told to cover."""

from __future__ import annotations

from pathlib import Path

from collectors.cgroups import detect
from collectors.live.launch import Launched
from collectors.target import Target
from discover.errors import UsageError
from enforcer.bpf_lsm.domains import Domains

__all__ = ["cover", "own_mounts", "pod_cgroup", "workload_fields"]


def own_mounts(target: Target) -> bool:
    """Whether the workload has a mount namespace of its own, which tells it from its runtime."""
    return target.kind in ("container", "pod")


def cover(domains: Domains, number: int, target: Target, child: Launched | None, *, whole_pod: bool = False) -> None:
    """Cover a target: its cgroups, and the processes that are there already.

    With `whole_pod` the pod's own cgroup too, so that a container that starts while nobody looks is covered from its
    beginning.
    """
    if target.kind == "host":
        raise UsageError(
            "the whole host is not enforced: a mistake would take the machine down",
            "name a unit, a container, a cgroup or a command",
        )
    for ref in target.cgroups:
        domains.cover_cgroup(number, ref.id)
    if whole_pod and (above := pod_cgroup(target)):
        domains.cover_cgroup(number, detect().hierarchies[target.hierarchy].id_of(above))
    if child is not None:
        domains.cover_process(number, child.pid, judged=False)
    for pid in _pids(target):
        try:
            domains.cover_process(number, pid, judged=not own_mounts(target) or _has_own_mounts(pid))
        except FileNotFoundError:
            continue  # it has ended


def pod_cgroup(target: Target) -> str | None:
    """The cgroup right above all of a pod's containers; None if they have no such, or it is the node's."""
    above = {ref.path.rpartition("/")[0] for ref in target.cgroups}
    found = next(iter(above)) if target.kind == "pod" and len(above) == 1 else ""
    return found if "pod" in found.rpartition("/")[2] else None


def _pids(target: Target) -> list[int]:
    """The target's processes now: those that came since it was resolved, too."""
    if not target.cgroups:
        return target.pids
    tree = detect().hierarchies[target.hierarchy]
    return sorted({pid for ref in target.cgroups for pid in tree.processes(ref.path)})


def _has_own_mounts(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/mnt").stat().st_ino != Path("/proc/1/ns/mnt").stat().st_ino


def workload_fields(target: Target) -> dict[str, str]:
    """The fields of an alert that say whose it is; none for the host's own."""
    if not target.containers:
        return {}
    one = target.containers[0]
    who = target.identity
    named = {
        "NamespaceName": who.namespace,
        "PodName": one.pod_name,
        "ContainerID": one.id,
        "ContainerName": one.name,
        "ContainerImage": who.image,
    }
    return {name: str(value) for name, value in named.items() if value}
