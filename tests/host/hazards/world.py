"""Makes the world of one run of the hazards inside a fresh mount namespace, then starts the program under a wrapper.

    unshare --mount --propagation private python world.py '{"program": …}' REPORT [WRAPPER…]

``/srv``, ``/tmp`` and ``/etc/ssl/certs`` become file systems of this run alone; a cgroup called like a container's id
holds it; what the kubelet does to a mounted ConfigMap is done by a process outside of the program.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def empty_tmp(keep: Sequence[Path]) -> None:
    """An empty /tmp, as a container has it, in which the folders that the wrapper needs are still where they were."""
    kept = [(path, Path(f"/srv/.keep-{number}")) for number, path in enumerate(keep) if path.is_relative_to("/tmp")]
    for path, aside in kept:
        aside.mkdir()
        mount("--bind", str(path), str(aside))
    mount("-t", "tmpfs", "-o", "mode=1777", "tmp", "/tmp")
    for path, aside in kept:
        path.mkdir(parents=True, exist_ok=True)
        mount("--move", str(aside), str(path))
        aside.rmdir()


def furnish(base: Path, program: Path) -> None:
    """The folders and files that an image and its volumes would bring."""
    for name in ("bin", "ask", "config", "cores", "data/archive", "data/inbox", "data/reports", "data/timeline"):
        (base / name).mkdir(parents=True)
    for name in ("logs", "run", "mnt", "jail/etc"):
        (base / name).mkdir(parents=True)
    (base / "jail/etc/hostname").write_text("jail\n")
    shutil.copy(program, base / "bin/hazards")
    for applet in ("busybox", "cat", "sh"):
        (base / "bin" / applet).symlink_to(str(shutil.which("busybox")))
    script(base / "bin/job.sh", "#!/bin/sh\necho job > $1/data/job.state\n")
    script(base / "bin/job-env.sh", "#!/usr/bin/env sh\ncat $1/config/app.conf > /dev/null\n")
    swap(base / "config", "first")
    old = [*sorted(CERTIFICATES.glob("????????.0"))[:2]]
    kept = {path.name: path.resolve() for path in old}
    mount("-t", "tmpfs", "-o", "mode=755,size=4m", "certificates", str(CERTIFICATES))
    for name, target in kept.items():
        (CERTIFICATES / name).symlink_to(target)
    for name in ("ca-certificates.crt", "company-root.crt"):
        (CERTIFICATES / name).write_text("old\n")


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def swap(config: Path, text: str) -> None:
    """A new revision of a ConfigMap, put in place as the kubelet does it (``pkg/volume/util/atomic_writer.go``)."""
    now = datetime.datetime.now(datetime.UTC)
    revision = f"..{now:%Y_%m_%d_%H_%M_%S}.{secrets.randbelow(10**9)}"
    (config / revision).mkdir()
    (config / revision / "app.conf").write_text(f"{text} {now}\n")
    before = (config / "..data").readlink() if (config / "..data").is_symlink() else None
    (config / "..data_tmp").symlink_to(revision)
    (config / "..data_tmp").rename(config / "..data")
    if not (config / "app.conf").is_symlink():
        (config / "app.conf").symlink_to("..data/app.conf")
    if before:
        shutil.rmtree(config / before)


@contextlib.contextmanager
def kubelet(base: Path) -> Iterator[None]:
    """A process that swaps the ConfigMap when the program asks for it."""
    child = os.fork()
    if child == 0:
        while not (base / "ask/rotate").exists():
            time.sleep(0.02)
        swap(base / "config", "second revision")
        os._exit(0)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@contextlib.contextmanager
def container_cgroup() -> Iterator[None]:
    """A cgroup with the name of a container's id, in each tree that tells of memory."""
    roots = [p for p in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/unified")) if p.is_dir()]
    roots = roots or [Path("/sys/fs/cgroup")]
    made, before = [], {}
    for root in roots:
        above = root / "discover-hazards"
        above.mkdir(exist_ok=True)
        for tree in (root, above):
            with contextlib.suppress(OSError):
                (tree / "cgroup.subtree_control").write_text("+memory +cpu")
        group = above / secrets.token_hex(32)
        group.mkdir()
        made.append(group)
        before[group] = root / own_cgroup(root).lstrip("/")
        (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        for group in made:
            (before[group] / "cgroup.procs").write_text(str(os.getpid()))
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)
            with contextlib.suppress(OSError):  # another run is in it
                group.parent.rmdir()


def own_cgroup(root: Path) -> str:
    """This process's cgroup in the tree that is mounted at `root`."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if names == ("" if root.name in ("unified", "cgroup") else root.name):
            return path
    raise LookupError(f"no cgroup in {root}")


def main() -> int:
    about, report, *wrapper = sys.argv[1:]
    told = json.loads(about)
    base = Path(told["base"])
    mount("-t", "tmpfs", "-o", "mode=755,size=64m", "hazards", str(base.parent))
    empty_tmp([Path(p) for p in told["keep"]])
    furnish(base, Path(told["program"]))
    with container_cgroup(), kubelet(base):
        # descriptor 3 is the program's report; wrappers hand on what they do not know
        file = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, 3)
        command = [*wrapper, str(base / "bin/hazards"), str(base), told["month"], *told["zones"]]
        return subprocess.run(command, pass_fds=(3,), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
