"""containerd: the task bundles in its state directory, and ``ctr`` for image digests and pod labels.

A task's bundle is ``STATE/io.containerd.runtime.v2.task/NAMESPACE/ID`` with ``config.json`` and ``init.pid``; its
annotations are those of containerd's CRI plugin (``pkg/cri/annotations``) and of nerdctl (``nerdctl/name``). Sandboxes
carry the pod's labels only in containerd's own database, so those need ``ctr`` and a daemon that answers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors import procs
from collectors.runtimes import Container, Listing
from collectors.runtimes.bundle import cgroup_of, digest_in, labels_in, moment, read_bundle

__all__ = ["container_from", "listing", "listing_at", "remembered"]

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
        config = read_bundle(directory)
        try:
            pid = int((directory / "init.pid").read_text())
            created = datetime.fromtimestamp((directory / "config.json").stat().st_mtime, UTC)
        except (OSError, ValueError):
            continue
        process = procs.read(pid)
        # The process is older than its pid file: a younger one has only the same pid.
        if config is None or process is None or not _wrote(directory / "init.pid", process):
            continue
        namespace = directory.parent.name
        container = container_from(directory.name, config.annotations, process, created, tree)
        if container.sandbox_id and container.sandbox_id not in pods:
            pods[container.sandbox_id] = answers.labels(namespace, container.sandbox_id)
        facts = answers.facts(namespace, container.id) or {}
        labels = pods.get(container.sandbox_id or "", {}) | labels_in(facts.get("Labels"))
        cgroup = container.cgroup or _below(process.cgroups.get(tree), config.cgroups_path)
        containers.append(answers.completed(replace(container, cgroup=cgroup), namespace, facts, labels))
    return Listing("containerd", bool(containers) or Path(socket).exists(), containers)


def remembered(container_id: str) -> Container | None:
    """A container that has ended but is still in containerd's database, which takes ``ctr`` to read."""
    for socket in filter(os.path.exists, _STATES.values()):
        answers = _Ctr(socket)
        for namespace in answers.namespaces():
            if (facts := answers.facts(namespace, container_id)) is None:
                continue
            spec = facts.get("Spec")
            notes = labels_in(spec.get("annotations")) if isinstance(spec, dict) else {}
            container = container_from(container_id, notes, None, moment(facts.get("CreatedAt")), "")
            pod = answers.labels(namespace, container.sandbox_id) if container.sandbox_id else {}
            return answers.completed(container, namespace, facts, pod | labels_in(facts.get("Labels")))
    return None


def _below(path: str | None, configured: str) -> str | None:
    """The configured cgroup, for ids that no path gives away, if the process really is in it."""
    if path is None or len(configured) < 2 or not configured.startswith("/"):
        return None
    return configured if path == configured or path.startswith(configured + "/") else None


def container_from(
    container_id: str,
    annotations: Mapping[str, str],
    process: procs.Process | None,
    created: datetime | None,
    tree: str,
) -> Container:
    """What a task's bundle says; outside of Kubernetes the id serves as name unless nerdctl gave one."""
    return Container(
        id=container_id,
        runtime="containerd",
        name=annotations.get(_CRI + "container-name") or annotations.get("nerdctl/name") or container_id,
        pid=process.pid if process else 0,
        cgroup=cgroup_of(process, container_id, tree) if process else None,
        image=annotations.get(_CRI + "image-name") or None,
        image_digest=digest_in(annotations.get(_CRI + "image-name")),
        created=created,
        started=process.started if process else None,
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
        return labels_in((self.facts(namespace, container_id) or {}).get("Labels"))

    def facts(self, namespace: str, container_id: str) -> dict[str, Any] | None:
        """What the daemon's database has on a container, running or not."""
        try:
            facts = json.loads(self._run("-n", namespace, "containers", "info", container_id) or "null")
        except ValueError:
            return None
        return facts if isinstance(facts, dict) else None

    def completed(
        self, container: Container, namespace: str, facts: Mapping[str, Any], labels: dict[str, str]
    ) -> Container:
        """The container with what only the database knows: labels, and image and digest where the bundle has none."""
        image = container.image or str(facts.get("Image") or "") or None
        digest = container.image_digest or digest_in(image) or self.digest(namespace, image)
        return replace(container, image=image, image_digest=digest, labels=labels)

    def namespaces(self) -> list[str]:
        """The namespaces of this containerd, without docker's."""
        return [name for name in self._run("namespaces", "ls", "-q").split() if name != "moby"]

    def digest(self, namespace: str, image: str | None) -> str | None:
        """The digest of an image by its name (``ctr images ls``: REF TYPE DIGEST ...)."""
        if image is None:
            return None
        if namespace not in self._images:
            rows = [line.split() for line in self._run("-n", namespace, "images", "ls").splitlines()[1:]]
            self._images[namespace] = {row[0]: row[2] for row in rows if len(row) > 2 and row[2].startswith("sha")}
        return self._images[namespace].get(image)
