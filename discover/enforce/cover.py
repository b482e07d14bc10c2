"""From a target to what the kernel is told to cover."""

from __future__ import annotations

from pathlib import Path

from collectors.cgroups import UNIFIED, detect
from collectors.live.launch import Launched
from collectors.target import Target
from discover.errors import DiscoverError, UsageError
from enforcer.bpf_lsm.domains import Domains

__all__ = ["cover", "own_mounts", "pod_cgroup", "returning", "workload_fields"]

_ID = 32
"""Digits of a container's id: with fewer, another cgroup's name might hold them by chance."""


def own_mounts(target: Target, *, holds: bool = False) -> bool:
    """Whether the workload has a mount namespace of its own, which tells it from its runtime.

    `holds`: what was named is a cgroup in which a runtime makes containers.
    """
    return holds or (bool(target.containers) and target.kind != "pid") or target.kind in ("container", "pod")


def cover(
    domains: Domains,
    number: int,
    target: Target,
    child: Launched | None,
    *,
    whole_pod: bool = False,
    holds: bool = False,
) -> None:
    """Cover a target: its cgroups, and the processes that are there already.

    With `whole_pod` the pod's own cgroup too, so that a container that starts while nobody looks is covered from its
    beginning. A container that is started again has a new cgroup of the old name, which the kernel waits for.
    """
    if target.kind == "host":
        raise UsageError(
            "the whole host is not enforced: a mistake would take the machine down",
            "name a unit, a container, a cgroup or a command",
        )
    if target.cgroups and target.hierarchy != UNIFIED:
        raise DiscoverError(
            f"{target.describe()} is told apart by the {target.hierarchy} tree of cgroup v1, and the enforcer reads v2",
            "boot with systemd.unified_cgroup_hierarchy=1, or name a --pid or a command",
        )
    for ref in target.cgroups:
        domains.cover_cgroup(number, ref.id, holds=holds)
        if not holds and (name := returning(target, ref.path)):
            domains.await_cgroup(number, name)
    if whole_pod and (above := pod_cgroup(target)):
        domains.cover_cgroup(number, detect().hierarchies[target.hierarchy].id_of(above), holds=True)
    if child is not None:
        domains.cover_process(number, child.pid, judged=False)
    own = own_mounts(target, holds=holds)
    done: set[int] = set()
    begun: set[int] = set()
    while fresh := [(pid, home) for pid, home in _pids(target, holds) if pid not in done]:
        for pid, home in fresh:
            done.add(pid)
            try:
                judged = not own or _has_own_mounts(pid)
                domains.cover_process(number, pid, judged=judged, home=home)
            except FileNotFoundError:
                continue  # it has ended
            if judged and home not in begun:
                begun.add(home)
                domains.running(number, home, pid)


def returning(target: Target, path: str) -> str:
    """The name that a container's cgroup has again when it is started again: it holds its id. Empty if none does."""
    names = [name for name in path.split("/") for one in target.containers if len(one.id) >= _ID and one.id in name]
    return names[-1] if names else ""


def pod_cgroup(target: Target) -> str | None:
    """The cgroup right above all of a pod's containers; None if they have no such, or it is the node's."""
    above = {ref.path.rpartition("/")[0] for ref in target.cgroups}
    found = next(iter(above)) if target.kind == "pod" and len(above) == 1 else ""
    return found if "pod" in found.rpartition("/")[2] else None


def _pids(target: Target, holds: bool) -> list[tuple[int, int]]:
    """The target's processes now, those that came since it was resolved too, each with its instance's cgroup."""
    if not target.cgroups:
        return [(pid, 0) for pid in target.pids]
    tree = detect().hierarchies[target.hierarchy]
    found = {}
    for ref in target.cgroups:
        for below in tree.walk(ref.path):
            home = ref.id
            if holds and below.path != ref.path:
                home = tree.id_of(f"{ref.path}/{below.path.removeprefix(f'{ref.path}/').partition('/')[0]}")
            found.update(dict.fromkeys(tree.processes(below.path, below=False), home))
    return sorted(found.items())


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
