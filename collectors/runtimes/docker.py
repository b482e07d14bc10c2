"""Docker, by its HTTP interface on a unix socket: the one runtime whose names are not in the bundle."""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.parse
from pathlib import Path
from typing import Any

from collectors import procs
from collectors.runtimes import Container, Listing
from collectors.runtimes.bundle import cgroup_of, digest_in, labels_in, moment, running_as

__all__ = ["listing", "listing_at", "remembered"]

_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
_TIMEOUT = 5.0


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)


def _get(path: str, resource: str) -> Any:
    connection = _Unix(path)
    try:
        connection.request("GET", resource)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"{resource}: HTTP {response.status}")
    return json.loads(body)


def listing(tree: str) -> Listing:
    """Docker's running containers; the socket of ``DOCKER_HOST`` if that is a unix one, else the usual places."""
    place = _place()
    return Listing("docker", False) if place is None else listing_at(place, tree)


def _place() -> str | None:
    host = os.environ.get("DOCKER_HOST", "")
    places = [host.removeprefix("unix://")] if host.startswith("unix://") else list(_SOCKETS)
    return next((p for p in places if Path(p).is_socket()), None)


def remembered(container_id: str) -> Container | None:
    """A container of docker's that has ended and was not removed."""
    place = _place()
    if place is None:
        return None
    try:
        facts = _get(place, f"/containers/{urllib.parse.quote(container_id, safe='')}/json")
        return _container(facts, None, "", _digest(place, facts["Image"]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None


def listing_at(place: str, tree: str) -> Listing:
    """The running containers of the daemon that listens at the unix socket `place`."""
    digests: dict[str, str | None] = {}
    containers = []
    try:
        for summary in _get(place, "/containers/json"):
            try:
                facts = _get(place, f"/containers/{urllib.parse.quote(summary['Id'], safe='')}/json")
            except OSError:  # it ended meanwhile
                continue
            process = running_as(facts["State"]["Pid"], facts["Id"])
            if process is None:
                continue
            image_id = facts["Image"]
            if image_id not in digests:
                digests[image_id] = _digest(place, image_id)
            containers.append(_container(facts, process, tree, digests[image_id]))
    except PermissionError:
        return Listing("docker", True, [], f"{place} may not be read by this user")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return Listing("docker", True, containers, f"{place} does not answer as docker does: {error}")
    return Listing("docker", True, containers)


def _container(facts: dict[str, Any], process: procs.Process | None, tree: str, digest: str | None) -> Container:
    labels = labels_in(facts["Config"].get("Labels"))
    pod_name = labels.get("io.kubernetes.pod.name")
    kube_name = labels.get("io.kubernetes.container.name")
    return Container(
        id=facts["Id"],
        runtime="docker",
        name=kube_name if pod_name and kube_name else str(facts["Name"]).removeprefix("/"),
        pid=process.pid if process else 0,
        cgroup=cgroup_of(process, facts["Id"], tree) if process else None,
        image=facts["Config"].get("Image"),
        image_digest=digest_in(facts["Config"].get("Image")) or digest,
        labels=labels,
        created=moment(facts.get("Created")),
        started=moment(facts["State"].get("StartedAt")) or (process.started if process else None),
        namespace=labels.get("io.kubernetes.pod.namespace"),
        pod_name=pod_name,
        pod_uid=labels.get("io.kubernetes.pod.uid"),
        sandbox_id=labels.get("io.kubernetes.sandbox.id"),
        sandbox=labels.get("io.kubernetes.docker.type") == "podsandbox",
    )


def _digest(place: str, image_id: str) -> str | None:
    """The digest that the image was pulled by; None for one built or loaded here, which has no such digest."""
    try:
        names = _get(place, f"/images/{urllib.parse.quote(image_id, safe='')}/json").get("RepoDigests") or []
    except OSError:
        return None
    return next((d for name in names if (d := digest_in(name))), None)
