"""OCI bundles (``config.json``) and the conmon processes that watch over podman's and CRI-O's containers.

A conmon names the bundle, the pid file and the container's name in its arguments, so containers are found in whatever
storage they live, rootless ones too. Arguments can be made up by anybody, so a conmon counts only when it runs in our
mount namespace, and as the owner of the bundle (or root); the pid it names only when that process is in a cgroup that
names the container, and for a user's conmon only when it is in a user namespace of that user.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from collectors import procs
from collectors.cgroup_names import name_of

__all__ = ["Bundle", "cgroup_of", "digest_in", "labels_in", "moment", "monitored", "read_bundle", "running_as"]

_LIMIT = 8 << 20
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """A container on disk.

    `directory` holds its ``config.json``, whose annotations are `annotations`; `run_directory` its pid file. `owner` is
    the uid that runs it.
    """

    id: str
    name: str
    pid: int
    directory: Path
    run_directory: Path
    owner: int
    annotations: dict[str, str]


@dataclass(frozen=True)
class Config:
    """What is read of a ``config.json``: annotations, and ``linux.cgroupsPath`` (a path, or ``slice:prefix:name``)."""

    annotations: dict[str, str]
    cgroups_path: str


def read_bundle(directory: Path) -> Config | None:
    """The configuration in `directory`; None when there is none, or it is no JSON object."""
    try:
        with (directory / "config.json").open("rb") as file:
            config = json.loads(file.read(_LIMIT))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        return None
    linux = config.get("linux")
    path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
    return Config(labels_in(config.get("annotations")), path if isinstance(path, str) else "")


def labels_in(value: Any) -> dict[str, str]:
    """`value` as labels, given as an object or as its JSON text; empty when it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return {str(k): v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def cgroup_of(process: procs.Process, container_id: str, tree: str) -> str | None:
    """The cgroup of the container itself in `tree`, above those that were made below it; None when not in one."""
    path = process.cgroups.get(tree)
    if path is None:
        return None
    # The outermost: a container may make cgroups of its own name below its own.
    return next((claim.root for claim in name_of(path).claims if claim.id == container_id), None)


def running_as(pid: int, container_id: str) -> procs.Process | None:
    """The process `pid` if it is alive and some cgroup of it names the container."""
    process = procs.read(pid)
    if process is None or not any(cgroup_of(process, container_id, tree) for tree in process.cgroups):
        return None
    return process


def monitored() -> Iterator[Bundle]:
    """The running containers that a conmon watches over."""
    own = procs.read(os.getpid())
    for process in procs.called("conmon"):
        if own is None or process.mount_ns != own.mount_ns:
            continue
        try:
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        options = dict(itertools.pairwise(arguments[1:]))
        container_id, directory, pid_file, name = (
            os.fsdecode(options.get(o, b"")) for o in (b"-c", b"-b", b"-p", b"-n")
        )
        if not _ID.fullmatch(container_id) or not directory.startswith("/") or b"-e" in arguments:
            continue
        try:
            if process.uid not in {0, Path(directory).stat().st_uid}:
                continue
            pid = int(Path(pid_file).read_text())
        except (OSError, ValueError):
            continue
        config = read_bundle(Path(directory))
        if config is None or running_as(pid, container_id) is None or not _may_own(process.uid, pid):
            continue
        yield Bundle(container_id, name, pid, Path(directory), Path(pid_file).parent, process.uid, config.annotations)


def _may_own(uid: int, pid: int) -> bool:
    """Whether a runtime of user `uid` can have started `pid`: its user namespace maps that user, and not root."""
    if uid == 0:
        return True
    try:
        ranges = [line.split() for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines()]
    except OSError:
        return False
    outside = [range(int(first), int(first) + int(count)) for _, first, count in ranges]
    return any(uid in ids for ids in outside) and not any(0 in ids for ids in outside)


def digest_in(reference: str | None) -> str | None:
    """The ``sha256:...`` in an image reference, if it has one."""
    found = re.search(r"@(sha(?:256|512):[0-9a-f]{64,128})$", reference or "")
    return found[1] if found else None


def moment(text: object) -> datetime | None:
    """An RFC 3339 time with any number of decimals, as Go writes it; None for its zero time and for anything else."""
    if not isinstance(text, str):
        return None
    try:
        when = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return when if when.year > 1 and when.tzinfo is not None else None
