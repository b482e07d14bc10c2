"""Real containers for guest tests: podman with crun, or docker with runc; images made on the spot, storage on tmpfs.

No network and no registry: an image is one layer, packed from a folder. It is put on overlayfs, as in production.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGE = "localhost/busybox:1"

_APPLETS = (
    *("sh", "cat", "cp", "dd", "echo", "env", "id", "ls", "mkdir", "mount", "mv", "nc", "ln", "rm", "rmdir"),
    *("seq", "sleep", "stat", "touch", "true", "false", "umount", "wget"),
)


@dataclass(frozen=True)
class Runtime:
    """A command line that understands docker's words."""

    command: tuple[str, ...]

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run it; return its output without the last newline. Raises AssertionError with its words."""
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False)
        said = f"status {done.returncode}, {done.stdout.strip()!r}, {done.stderr.strip()}"
        assert not check or done.returncode == 0, f"{self.command[0]} {' '.join(arguments)}: {said}"
        return done.stdout.rstrip("\n")


PODMAN = Runtime(
    ("podman", "--cgroup-manager=cgroupfs", "--runtime=crun", "--events-backend=file", "--storage-driver=overlay")
)
DOCKER = Runtime(("docker",))


def start_containerd(folder: Path) -> subprocess.Popen[bytes]:
    """Start containerd on its usual socket, logging to `folder`, and wait until it answers; the caller ends it."""
    return _start_daemon(["containerd", "--log-level=warn"], ["ctr", "version"], folder)


def start_docker(folder: Path) -> subprocess.Popen[bytes]:
    """Start dockerd on its usual socket and wait until it answers; the caller ends it.

    It takes a running containerd: one that it starts by itself has 15 s, which emulation may exceed.
    """
    options = ("--storage-driver=overlay2", "--bridge=none", "--iptables=false", "--exec-root=/run/docker")
    containerd = "--containerd=/run/containerd/containerd.sock"
    return _start_daemon(["dockerd", *options, containerd], [*DOCKER.command, "version"], folder)


def _start_daemon(command: list[str], question: list[str], folder: Path) -> subprocess.Popen[bytes]:
    log = folder / f"{command[0]}.log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(command, stdout=out, stderr=out)
    for _ in range(180):
        if subprocess.run(question, capture_output=True, check=False).returncode == 0:
            return daemon
        assert daemon.poll() is None, f"{command[0]} ended: {log.read_text()[-2000:]}"
        time.sleep(1)
    daemon.kill()
    raise AssertionError(f"{command[0]} does not answer: {log.read_text()[-2000:]}")


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


def make_image(runtime: Runtime, root: Path, name: str = IMAGE, changes: Sequence[str] = ()) -> str:
    """Turn a folder into an image of one layer; `changes` are Dockerfile lines such as ``LABEL a=b``. Return its id."""
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "."], check=True)
    options = [word for change in changes for word in ("--change", change)]
    identity = runtime("import", *options, str(archive), name)
    archive.unlink()
    return identity.splitlines()[-1]


class Container:
    """One container, started. It is removed by `remove`, whatever state it is in."""

    def __init__(self, runtime: Runtime, command: Sequence[str], image: str, options: Sequence[str]) -> None:
        self._runtime = runtime
        alone = () if any(o.startswith("--network") for o in options) else ("--network=none",)
        self.id = runtime("run", "--detach", *alone, *options, image, *command)

    def inspect(self) -> dict[str, Any]:
        """Return what the runtime knows about it."""
        found: dict[str, Any] = json.loads(self._runtime("inspect", self.id))[0]
        return found

    @property
    def name(self) -> str:
        """The name that the runtime gave it, or the one from ``--name``."""
        return str(self.inspect()["Name"]).removeprefix("/")

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
        return self._runtime("exec", self.id, *command, check=check)

    def wait(self) -> int:
        """Wait for it to end; return its exit status."""
        return int(self._runtime("wait", self.id))

    def logs(self) -> str:
        """Return what it has printed so far."""
        return self._runtime("logs", self.id)

    def stop(self, seconds: int = 10) -> None:
        """SIGTERM, and SIGKILL after `seconds`."""
        self._runtime("stop", f"--time={seconds}", self.id)

    def remove(self) -> None:
        """Kill and remove it."""
        self._runtime("kill", self.id, check=False)  # not running is fine
        self._runtime("rm", "--force", self.id)


StartContainer = Callable[..., Container]  # the type of the fixture `container`
