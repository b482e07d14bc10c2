"""Container runtimes of this host: which containers run, and who they are.

Most of it is read from what runtimes leave on disk (the OCI bundle's ``config.json``, pid files, conmon's arguments),
because that needs neither a client program nor an answering daemon; daemons are asked for what only they know (names in
docker, image digests). Nothing inside a container is ever read for this: its word about itself is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["RUNTIMES", "Container", "Listing", "detailed", "list_containers", "remembered"]

RUNTIMES = ("podman", "docker", "containerd", "crio")


@dataclass(frozen=True)
class Container:
    """A running container, as its runtime describes it.

    `pid` is its first process (pid of this namespace), `cgroup` its cgroup's path in the tree that was asked for, None
    where it is not known. `labels` are the container's, in Kubernetes with the pod's among them. `pod_name`,
    `namespace`, `pod_uid` and `name` are Kubernetes' where `pod_uid` is set; `sandbox` marks a pod's pause container.
    `owner` is the uid whose runtime it is: what a user's runtime says binds nobody else.
    """

    id: str
    runtime: str
    name: str
    pid: int
    cgroup: str | None = None
    image: str | None = None
    image_digest: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    created: datetime | None = None
    started: datetime | None = None
    namespace: str | None = None
    pod_name: str | None = None
    pod_uid: str | None = None
    sandbox_id: str | None = None
    sandbox: bool = False
    owner: int = 0

    @property
    def title(self) -> str:
        """How a person tells it from others: ``podman:web``, ``containerd:shop/web-7d9f/nginx``."""
        name = f"{self.namespace}/{self.pod_name}/{self.name}" if self.pod_name else self.name
        return f"{self.runtime}:{name or self.id[:12]}"


@dataclass(frozen=True)
class Listing:
    """What one runtime answered: `found` is whether it is on this host, `trouble` why containers may be missing."""

    runtime: str
    found: bool
    containers: list[Container] = field(default_factory=list)
    trouble: str = ""


def list_containers(tree: str, only: str | None = None) -> list[Listing]:
    """The running containers of all runtimes, or of `only` one; `tree` is the cgroup tree that paths are taken from."""
    from collectors.runtimes import containerd, crio, docker, podman  # noqa: PLC0415 - they import this module

    listers: dict[str, Callable[[str], Listing]] = {
        "podman": podman.listing,
        "docker": docker.listing,
        "containerd": containerd.listing,
        "crio": crio.listing,
    }
    return [lister(tree) for name, lister in listers.items() if only in {None, name}]


def detailed(container: Container) -> Container:
    """The container with what takes a while to ask for and so is not part of a list: the labels of podman's."""
    from collectors.runtimes import podman  # noqa: PLC0415

    return podman.detailed(container) if container.runtime == "podman" else container


def remembered(container_id: str) -> Container | None:
    """A container that has ended but that a runtime of root still knows; its `pid` is 0 and its `cgroup` None."""
    from collectors.runtimes import containerd, docker, podman  # noqa: PLC0415

    found = (ask(container_id) for ask in (podman.remembered, docker.remembered, containerd.remembered))
    return next((container for container in found if container is not None), None)
