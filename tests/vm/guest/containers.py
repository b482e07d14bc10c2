"""Real containers for guest tests: podman with crun, images made on the spot, storage on tmpfs.

No network and no registry: an image is one layer, packed from a folder. podman puts it on overlayfs, as in production.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

IMAGE = "localhost/busybox:1"

_PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--runtime=crun", "--events-backend=file", "--storage-driver=overlay")
_APPLETS = (
    *("sh", "cat", "cp", "dd", "echo", "env", "id", "ls", "mkdir", "mount", "mv", "nc", "ln", "rm", "rmdir"),
    *("seq", "sleep", "stat", "touch", "true", "false", "umount", "wget"),
)


def podman(*arguments: str, check: bool = True) -> str:
    """Run podman; return its output without the last newline. Raises AssertionError with podman's words."""
    done = subprocess.run([*_PODMAN, *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout.rstrip("\n")


def make_root(folder: Path) -> Path:
    """Fill `folder` with a small root file system: static busybox, its applets, a user database, /tmp."""
    for name in ("bin", "etc", "tmp", "var/log", "proc", "sys", "dev", "run", "data"):
        (folder / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", folder / "bin/busybox")
    for applet in _APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000:web:/data:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nweb:x:1000:\n")
    (folder / "tmp").chmod(0o1777)
    return folder


def make_image(root: Path, name: str = IMAGE, changes: Sequence[str] = ()) -> str:
    """Turn a folder into an image of one layer; `changes` are Dockerfile lines such as ``LABEL a=b``. Return its id."""
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "."], check=True)
    options = [word for change in changes for word in ("--change", change)]
    identity = podman("import", "--quiet", *options, str(archive), name)
    archive.unlink()
    return identity


class Container:
    """One container, started. It is removed by `remove`, whatever state it is in."""

    def __init__(self, command: Sequence[str], image: str, options: Sequence[str]) -> None:
        self.id = podman("run", "--detach", "--network=none", *options, image, *command)

    def inspect(self) -> dict[str, Any]:
        """Return what podman knows about it."""
        found: dict[str, Any] = json.loads(podman("inspect", self.id))[0]
        return found

    @property
    def name(self) -> str:
        """The name podman gave it, or the one from ``--name``."""
        return str(self.inspect()["Name"])

    @property
    def pid(self) -> int:
        """The first process's id in the guest's own pid namespace; 0 once it has ended."""
        return int(self.inspect()["State"]["Pid"])

    @property
    def cgroup(self) -> str:
        """The path of its cgroup v2 below /sys/fs/cgroup, as the kernel tells it for the first process."""
        return Path(f"/proc/{self.pid}/cgroup").read_text().strip().removeprefix("0::")

    def execute(self, *command: str, check: bool = True) -> str:
        """Run a command inside, as ``kubectl exec`` does; return what it printed."""
        return podman("exec", self.id, *command, check=check)

    def wait(self) -> int:
        """Wait for it to end; return its exit status."""
        return int(podman("wait", self.id))

    def logs(self) -> str:
        """Return what it has printed so far."""
        return podman("logs", self.id)

    def stop(self, seconds: int = 10) -> None:
        """SIGTERM, and SIGKILL after `seconds`."""
        podman("stop", f"--time={seconds}", self.id)

    def remove(self) -> None:
        """Kill and remove it."""
        podman("rm", "--force", "--time=0", self.id)


StartContainer = Callable[..., Container]  # the type of the fixture `container`
