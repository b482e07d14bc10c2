"""CRI-O: the annotations that it writes into each container's OCI bundle (cri-o ``pkg/annotations``)."""

from __future__ import annotations

from pathlib import Path

from collectors import procs
from collectors.runtimes import Container, Listing
from collectors.runtimes.bundle import (
    Bundle,
    cgroup_of,
    digest_in,
    labels_in,
    moment,
    monitored,
    read_bundle,
    running_as,
)

__all__ = ["container_from", "listing"]

_CRIO = "io.kubernetes.cri-o."
_RUN = Path("/run/containers/storage")
_SOCKETS = ("/run/crio/crio.sock", "/var/run/crio/crio.sock")


def listing(tree: str) -> Listing:
    """CRI-O's running containers, from their conmons and (with conmon-rs) from ``/run/containers/storage``."""
    bundles = {bundle.id: bundle for bundle in monitored()}
    for directory in _RUN.glob("*-containers/*/userdata"):
        container_id = directory.parent.name
        if container_id in bundles or (config := read_bundle(directory)) is None:
            continue
        try:
            pid = int((directory / "pidfile").read_text())
        except (OSError, ValueError):
            continue
        if running_as(pid, container_id):
            bundles[container_id] = Bundle(container_id, "", pid, directory, directory, 0, config.annotations)
    ours = [b for b in bundles.values() if b.annotations.get("io.container.manager") == "cri-o"]
    pods = {b.id: labels_in(b.annotations.get(_CRIO + "Labels")) for b in ours}
    containers = [container_from(b, p, tree, pods) for b in ours if (p := procs.read(b.pid))]
    return Listing("crio", bool(containers) or any(Path(p).exists() for p in _SOCKETS), containers)


def container_from(
    bundle: Bundle, process: procs.Process | None, tree: str, pods: dict[str, dict[str, str]]
) -> Container:
    """What a bundle's annotations say; `pods` maps sandbox ids to the labels of their pods."""
    notes = bundle.annotations
    sandbox_id = notes.get(_CRIO + "SandboxID")
    sandbox = notes.get(_CRIO + "ContainerType") == "sandbox"
    # By version `Image` and `ImageRef` are a name, an id or a reference with digest: only a digest is taken from them.
    references = [notes.get(_CRIO + key) for key in ("ImageRef", "Image", "ImageName")]
    return Container(
        id=bundle.id,
        runtime="crio",
        name=notes.get("io.kubernetes.container.name") or bundle.name,
        pid=bundle.pid,
        cgroup=cgroup_of(process, bundle.id, tree) if process else None,
        image=notes.get(_CRIO + "ImageName") or None,
        image_digest=next((d for r in references if (d := digest_in(r))), None),
        labels=pods.get(sandbox_id or "", {}) | labels_in(notes.get(_CRIO + "Labels")),
        created=moment(notes.get(_CRIO + "Created")),
        started=process.started if process else None,
        namespace=notes.get("io.kubernetes.pod.namespace"),
        pod_name=notes.get("io.kubernetes.pod.name"),
        pod_uid=notes.get("io.kubernetes.pod.uid"),
        sandbox_id=sandbox_id,
        sandbox=sandbox,
    )
