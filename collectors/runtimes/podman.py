"""Podman, with or without root: its conmons, their bundles, and containers.json and images.json of its storage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectors import procs
from collectors.runtimes import Container, Listing, crio
from collectors.runtimes.bundle import Bundle, cgroup_of, labels_in, moment, monitored, read_bundle

__all__ = ["detailed", "listing", "remembered"]

_SECONDS = 20
_BINARIES = ("/usr/bin/podman", "/usr/local/bin/podman", "/run/podman", "/var/lib/containers/storage")


def listing(tree: str) -> Listing:
    """Podman's running containers, of all users whose files may be read."""
    containers = []
    for bundle in _bundles():
        if process := procs.read(bundle.pid):
            containers.append(_with_storage(_container(bundle, process, tree), bundle.directory))
    return Listing("podman", bool(containers) or any(Path(p).exists() for p in _BINARIES), containers)


def remembered(container_id: str) -> Container | None:
    """A container of podman's or CRI-O's that has ended, from its bundle in root's storage."""
    for root in _storage_roots():
        for directory in root.glob(f"*-containers/{container_id}/userdata"):
            config = read_bundle(directory)
            if config is None:
                continue
            bundle = Bundle(container_id, "", 0, directory, Path(), 0, config.annotations)
            if config.annotations.get("io.container.manager") == "cri-o":
                return crio.container_from(bundle, None, "", {})
            return _with_storage(_container(bundle, None, ""), directory)
    return None


def _storage_roots() -> list[Path]:
    """Where root's containers lie: containers-storage.conf(5), and the run root, which CRI-O's bundles are in."""
    place = os.environ.get("CONTAINERS_STORAGE_CONF", "/etc/containers/storage.conf")
    try:
        storage = tomllib.loads(Path(place).read_text()).get("storage", {})
    except (OSError, ValueError):
        storage = {}
    roots = [
        storage.get("graphroot") or "/var/lib/containers/storage",
        storage.get("runroot") or "/run/containers/storage",
    ]
    return [Path(str(root)) for root in roots]


def _container(bundle: Bundle, process: procs.Process | None, tree: str) -> Container:
    kube = bundle.annotations
    return Container(
        id=bundle.id,
        runtime="podman",
        name=bundle.name or bundle.id[:12],
        pid=bundle.pid,
        cgroup=cgroup_of(process, bundle.id, tree) if process else None,
        created=moment(kube.get("io.kubernetes.cri-o.Created")),
        started=process.started if process else None,
        owner=bundle.owner,
    )


def _with_storage(container: Container, directory: Path) -> Container:
    """Adds image and digest from the storage around the bundle: ``STORE/DRIVER-containers/ID/userdata``."""
    holder = directory.parent.parent
    kind = holder.name.removesuffix("-containers")
    entry = _entry(holder / "containers.json", container.id)
    facts = labels_in(entry.get("metadata"))
    image_id = entry.get("image") or ""
    image = _entry(holder.parent / f"{kind}-images" / "images.json", image_id) if image_id else {}
    digest = image.get("digest")
    names = entry.get("names") or [None]
    return replace(
        container,
        name=facts.get("name") or names[0] or container.name,
        image=facts.get("image-name") or None,
        image_digest=digest if isinstance(digest, str) and digest.startswith("sha") else None,
    )


def detailed(container: Container) -> Container:
    """The container with its labels, which are in podman's database alone: podman is asked.

    Not for containers of other users, since asking about those would mean to run podman as them.
    """
    bundle = next((b for b in _bundles() if b.id == container.id), None)
    podman = shutil.which("podman")
    if bundle is None or podman is None or not bundle.owner == 0 == os.geteuid():
        return container
    holder, runs = bundle.directory.parent.parent, bundle.run_directory.parent.parent
    place = [
        "--root",
        holder.parent,
        "--runroot",
        runs.parent,
        "--storage-driver",
        holder.name.removesuffix("-containers"),
    ]
    command = [podman, *map(str, place), "container", "inspect", "--format", "{{json .Config.Labels}}", container.id]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return container
    return replace(container, labels=labels_in(done.stdout))


def _bundles() -> list[Bundle]:
    return [bundle for bundle in monitored() if bundle.annotations.get("io.container.manager") == "libpod"]


def _entry(path: Path, wanted: str) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    found = (e for e in entries if isinstance(e, dict) and e.get("id") == wanted)
    return next(found, {}) if isinstance(entries, list) else {}
