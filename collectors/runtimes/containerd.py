"""containerd: the task bundles in its state directory, and ``ctr`` for image digests and pod labels.

A task's bundle is ``STATE/io.containerd.runtime.v2.task/NAMESPACE/ID`` with ``config.json`` and ``init.pid``; its
annotations are those of containerd's CRI plugin (``pkg/cri/annotations``) and of nerdctl (``nerdctl/name``). Sandboxes
carry the pod's labels only in containerd's own database, so those need ``ctr`` and a daemon that answers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from collectors import procs
from collectors.runtimes import Container, Listing
from collectors.runtimes.bundle import cgroup_of, digest_in, labels_in, read_bundle

__all__ = ["container_from", "listing", "listing_at"]

_STATES = {
    "/run/containerd": "/run/containerd/containerd.sock",
    "/run/k3s/containerd": "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd": "/var/snap/microk8s/common/run/containerd.sock",
    "/run/k0s/containerd": "/run/k0s/containerd.sock",
}
_CRI = "io.kubernetes.cri."
_SECONDS = 5


def listing(tree: str) -> Listing:
    """The running containers of every containerd of this host, in all its namespaces but docker's."""
    found, containers, trouble = False, [], ""
    for state, socket in _STATES.items():
        part = listing_at(Path(state), socket, tree)
        found, trouble = found or part.found, trouble or part.trouble
        containers += part.containers
    return Listing("containerd", found, containers, trouble)


def listing_at(state: Path, socket: str, tree: str) -> Listing:
    """The running containers of the containerd with this state directory and socket."""
    containers = []
    tasks = state / "io.containerd.runtime.v2.task"
    answers = _Ctr(socket)
    try:
        directories = sorted(d for d in tasks.glob("*/*") if d.parent.name != "moby")
    except PermissionError:
        return Listing("containerd", True, [], f"{state} may not be read by this user")
    pods: dict[str, dict[str, str]] = {}
    for directory in directories:
        annotations = read_bundle(directory)
        try:
            pid = int((directory / "init.pid").read_text())
            created = datetime.fromtimestamp((directory / "config.json").stat().st_mtime, UTC)
        except (OSError, ValueError):
            continue
        process = procs.read(pid)
        # The process is older than its pid file: a younger one has only the same pid.
        if annotations is None or process is None or not _wrote(directory / "init.pid", process):
            continue
        container = container_from(directory, annotations, process, created, tree)
        if container.sandbox_id and container.sandbox_id not in pods:
            pods[container.sandbox_id] = answers.labels(directory.parent.name, container.sandbox_id)
        own = answers.labels(directory.parent.name, container.id)
        digest = container.image_digest or answers.digest(directory.parent.name, container.image)
        labels = {**pods.get(container.sandbox_id or "", {}), **own}
        containers.append(_completed(container, labels, digest))
    return Listing("containerd", bool(containers) or Path(socket).exists(), containers)


def _completed(container: Container, labels: Mapping[str, str], digest: str | None) -> Container:
    from dataclasses import replace  # noqa: PLC0415

    return replace(container, labels={**labels, **container.labels}, image_digest=digest)


def container_from(
    directory: Path, annotations: Mapping[str, str], process: procs.Process, created: datetime, tree: str
) -> Container:
    """What a task's bundle says; outside of Kubernetes the id serves as name unless nerdctl gave one."""
    container_id = directory.name
    cgroup = cgroup_of(process, container_id, tree)
    return Container(
        id=container_id,
        runtime="containerd",
        name=annotations.get(_CRI + "container-name") or annotations.get("nerdctl/name") or container_id,
        pid=process.pid,
        cgroup=cgroup or process.cgroups.get(tree),
        image=annotations.get(_CRI + "image-name") or None,
        image_digest=digest_in(annotations.get(_CRI + "image-name")),
        created=created,
        started=process.started,
        namespace=annotations.get(_CRI + "sandbox-namespace"),
        pod_name=annotations.get(_CRI + "sandbox-name"),
        pod_uid=annotations.get(_CRI + "sandbox-uid"),
        sandbox_id=annotations.get(_CRI + "sandbox-id"),
        sandbox=annotations.get(_CRI + "container-type") == "sandbox",
    )


def _wrote(pid_file: Path, process: procs.Process) -> bool:
    try:
        return process.started.timestamp() <= pid_file.stat().st_mtime + 1.0
    except OSError:
        return False


class _Ctr:
    """The ``ctr`` client; every answer is empty when it is not installed or the daemon does not answer."""

    def __init__(self, socket: str) -> None:
        program = shutil.which("ctr") or shutil.which("k3s")
        self._base = [program, *(["ctr"] if program.endswith("/k3s") else []), "-a", socket] if program else []
        self._usable = bool(self._base) and Path(socket).exists()
        self._images: dict[str, dict[str, str]] = {}

    def _run(self, *arguments: str) -> str:
        if not self._usable:
            return ""
        try:
            done = subprocess.run(
                [*self._base, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            self._usable = False
            return ""
        return done.stdout if done.returncode == 0 else ""

    def labels(self, namespace: str, container_id: str) -> dict[str, str]:
        """The labels of a container or sandbox."""
        try:
            facts = json.loads(self._run("-n", namespace, "containers", "info", container_id) or "{}")
        except ValueError:
            return {}
        return labels_in(facts.get("Labels")) if isinstance(facts, dict) else {}

    def digest(self, namespace: str, image: str | None) -> str | None:
        """The digest of an image by its name (``ctr images ls``: REF TYPE DIGEST ...)."""
        if image is None:
            return None
        if namespace not in self._images:
            rows = [line.split() for line in self._run("-n", namespace, "images", "ls").splitlines()[1:]]
            self._images[namespace] = {row[0]: row[2] for row in rows if len(row) > 2 and row[2].startswith("sha")}
        return self._images[namespace].get(image)
