"""Who a workload is: the identity columns of the dataset, from what a runtime, systemd or a command line says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from collectors import kubernetes
from collectors.runtimes import Container

__all__ = ["WorkloadIdentity", "node_name", "of_container"]


def node_name() -> str:
    """The node's name in Kubernetes where a DaemonSet passes it (``NODE_NAME``), else the host's."""
    return os.environ.get("NODE_NAME") or os.uname().nodename


@dataclass(frozen=True)
class WorkloadIdentity:
    """The identity columns (see ``models.behaviour``) with labels, container id and pod uid.

    `workload_kind` is ``Deployment`` and its kin in Kubernetes, otherwise ``Container``, ``Service``, ``Command``,
    ``Process``, ``Cgroup`` or ``Host``. `cluster` is None: nothing on a node knows its cluster's name.
    """

    workload: str
    workload_kind: str | None = None
    namespace: str | None = None
    container: str | None = None
    image: str | None = None
    image_digest: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    container_id: str | None = None
    pod_uid: str | None = None
    cluster: str | None = None
    node: str | None = field(default_factory=node_name)


def of_container(container: Container) -> WorkloadIdentity:
    """The identity of a container; in a pod, of the workload that the pod belongs to."""
    kind, workload = "Container", container.name
    if container.pod_name:
        kind, workload = kubernetes.owner(container.pod_name, container.labels)
    return WorkloadIdentity(
        workload=workload,
        workload_kind=kind,
        namespace=container.namespace,
        container=container.name,
        image=container.image,
        image_digest=container.image_digest,
        labels=kubernetes.visible(container.labels),
        container_id=container.id,
        pod_uid=container.pod_uid,
    )
