"""A unit's own view of the machine: own folders over the software's, own loopback, gone when the unit ends.

`enter` expects to run in fresh mount and network namespaces, which `wrapped` gives a command by ``unshare``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .workload import WorkloadError, own

__all__ = ["enter", "wrapped"]

RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"


def wrapped(command: Sequence[str]) -> list[str]:
    """`command` in new mount and network namespaces; what it mounts stays inside."""
    return ["unshare", "--mount", "--net", "--propagation", "private", "--", *command]


def enter(mounts: Mapping[str, str], scratch: Path, fresh: bool, cover_run: bool = True) -> None:
    """Brings loopback up and covers ``/run``, ``/tmp``, the resolver's files and each of `mounts` (folder → owner).

    With `cover_run` false ``/run`` stays the machine's, which a container runtime needs. What stands behind a covered
    folder lives below `scratch` and outlives the unit; with `fresh` it starts empty.
    Raises `WorkloadError` where the machine lacks a folder that the package would have made.
    """
    _run("ip", "link", "set", "lo", "up")
    root = scratch / "root"
    if fresh and root.exists():
        shutil.rmtree(root)
    names = scratch / "names"
    names.mkdir(parents=True, exist_ok=True)
    for path, content in (("/etc/resolv.conf", RESOLVER), ("/etc/hosts", HOSTS)):
        (names / Path(path).name).write_text(content)
        _run("mount", "--bind", str(names / Path(path).name), str(Path(path).resolve()))
    for path, owner in {**mounts, "/tmp": "root"}.items():
        if not Path(path).is_dir():
            raise WorkloadError(f"{path} does not exist; see datasets/workloads/packages.txt")
        behind = root / path.lstrip("/")
        if not behind.exists():
            own(behind, owner)
        _run("mount", "--bind", str(behind), path)
    Path("/tmp").chmod(0o1777)
    if cover_run:
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkloadError(f"{' '.join(command)}: {done.stderr.strip()}")
