r"""What the path of a cgroup tells: container, pod, runtime, systemd unit.

Shapes, as runtimes make them (runc and crun by ``cgroupsPath``, podman ``libpod/``, CRI-O ``internal/config/cgmgr``,
the kubelet ``cm/cgroup_manager_linux.go``):

    /docker/ID  /system.slice/docker-ID.scope                                    docker, by driver
    /kubepods[/burstable|/besteffort]/podUID/ID                                  Kubernetes, cgroupfs
    /kubepods.slice/[kubepods-QOS.slice/]kubepods[-QOS]-podU_I_D.slice/cri-containerd-ID.scope, crio-, docker-
    .../kubepods-QOS-podU_I_D.slice:cri-containerd:ID                            drivers of kubelet and runtime disagree
    /libpod_parent/libpod-ID  /libpod_parent/POD/libpod-ID                       podman, cgroupfs
    /machine.slice/libpod-ID.scope[/container]                                   podman, systemd
    /system.slice/NAME.service/libpod-payload-ID                                 podman, ``--cgroups=split`` (Quadlet)
    /user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope     podman without root

`crio-conmon-`, `libpod-conmon-` and ``/libpod_parent/conmon`` hold the monitor, which is no part of the container.

**Which name wins.** Whoever may write below a cgroup can make directories of any name there, so a workload can imitate
all of these shapes, but only *inside* its own cgroup. From the path alone the outermost container is certain and
everything below belongs to it, with one exception: a whole Kubernetes shape (``kubepods``, a pod, a container) inside a
container is a node in a container (kind, k3d) and the innermost is the container; `Container.nested_in` then names the
one around it, and its identity is no better than that one's word. What a runtime of this host says about an id comes
before either rule; `collectors.units` asks it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

__all__ = ["CgroupName", "Container", "name_of"]

_ID = r"(?P<id>[0-9a-f]{64})"
_RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "crio",
    "libpod": "podman",
    "libpod-payload": "podman",
}
_PREFIX = "(?P<prefix>" + "|".join(sorted(_RUNTIMES, key=len, reverse=True)) + ")"
_SCOPE = re.compile(rf"{_PREFIX}-{_ID}(?:\.scope)?")
_COLONS = re.compile(rf"(?P<slice>[^:]*\.slice):{_PREFIX}:{_ID}")
_BARE = re.compile(rf"{_ID}|(?P<ecs>[0-9a-f]{{32}}-\d+)")
_CONMON = re.compile(r"(?:crio|libpod)-conmon-[0-9a-f]{64}(?:\.scope)?")
_UID = r"[0-9a-f]{8}[-_]?(?:[0-9a-f]{4}[-_]?){3}[0-9a-f]{12}"
_POD = re.compile(rf"pod(?P<uid>{_UID})")
_POD_SLICE = re.compile(
    rf"(?:[A-Za-z0-9_]+-)*?kubepods(?:-(?P<qos>burstable|besteffort))?-pod(?P<uid>{_UID})(?:\.slice)?"
)
_KUBEPODS = re.compile(r"(?:[A-Za-z0-9_]+-)*?kubepods(?:-(?P<qos>burstable|besteffort))?(?:\.slice)?")
_UNIT = re.compile(r".+\.(?:service|scope)")


@dataclass(frozen=True)
class Container:
    """A container as the path names it.

    `root` is the path of its own cgroup, `runtime` what the name gives away (None where several runtimes use the
    shape), `nested_in` the id of the container around it.
    """

    id: str
    runtime: str | None
    root: str
    pod_uid: str | None = None
    qos: str | None = None
    nested_in: str | None = None


@dataclass(frozen=True)
class CgroupName:
    """What a path tells.

    `container` is the one to believe on the path alone (see the module's text), `claims` everything in the path that
    looks like one, outermost first. `unit` and `unit_root` are the systemd service or scope and its cgroup, `pod_uid`
    and `qos` stand for the pod's own cgroup too. `monitor` is set for a runtime's own helper beside a container.
    """

    container: Container | None = None
    claims: tuple[Container, ...] = ()
    pod_uid: str | None = None
    qos: str | None = None
    unit: str | None = None
    unit_root: str | None = None
    monitor: bool = False


@lru_cache(maxsize=65536)
def name_of(path: str) -> CgroupName:
    """What the cgroup `path` (below the root of its tree) tells. Never fails: any text may be a cgroup's path."""
    claims: list[Container] = []
    believed: Container | None = None
    pod_uid = qos = unit = unit_root = None
    in_kubepods = monitor = False
    parent = root = ""
    for segment in path.strip("/").split("/"):
        root += "/" + segment
        if kube := _KUBEPODS.fullmatch(segment):
            in_kubepods, pod_uid, qos = True, None, kube["qos"]
        elif in_kubepods and pod_uid is None and segment in {"burstable", "besteffort"}:
            qos = segment
        elif pod := _pod(segment, in_kubepods):
            pod_uid, qos = pod[0], pod[1] or qos or "guaranteed"
        if not monitor and (_CONMON.fullmatch(segment) or (segment, parent) == ("conmon", "libpod_parent")):
            monitor = believed is None
        elif not monitor and (found := _container(segment, parent)):
            claim = replace(found, root=root, pod_uid=pod_uid, qos=qos)
            claims.append(claim)
            if believed is None:
                believed = claim
            elif pod_uid is not None:
                believed = replace(claim, nested_in=believed.id)
            # A pod belongs to one container of the path: what lies below must name its own.
            in_kubepods, pod_uid, qos = False, None, None
        if believed is None and _UNIT.fullmatch(segment) and (unit is None or _holds_units(unit)):
            unit, unit_root = segment, root
        parent = segment
    if believed is not None:
        pod_uid, qos = believed.pod_uid, believed.qos
    return CgroupName(believed, tuple(claims), pod_uid, qos, unit, unit_root, monitor)


def _pod(segment: str, in_kubepods: bool) -> tuple[str, str | None] | None:
    if found := _POD_SLICE.fullmatch(segment.split(":", 1)[0]):
        return found["uid"].replace("_", "-"), found["qos"]
    if in_kubepods and (found := _POD.fullmatch(segment)):
        return found["uid"], None
    return None


def _container(segment: str, parent: str) -> Container | None:
    if found := _SCOPE.fullmatch(segment) or _COLONS.fullmatch(segment):
        return Container(found["id"], _RUNTIMES[found["prefix"]], "")
    if found := _BARE.fullmatch(segment):
        if parent == "libpod_parent":  # a podman pod, which is no container
            return None
        return Container(found["id"] or found["ecs"], "docker" if parent == "docker" else None, "")
    return None


def _holds_units(unit: str) -> bool:
    """Whether a service is itself a service manager, whose units lie below it: ``user@1000.service``."""
    return unit.startswith("user@")
