"""What the tests of targets start and watch: processes, cgroups, real podman containers."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from collectors import procs
from collectors.cgroups import Hierarchy, detect


def telling() -> Hierarchy:
    return detect().telling(p.cgroups for p in procs.snapshot().values() if not p.kernel_thread)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


class Podman:
    """Podman with storage of its own, and images made of a static busybox."""

    def __init__(self, folder: Path, oci_runtime: str) -> None:
        self.folder = folder
        conf = folder / "storage.conf"
        conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n')
        self.environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(conf)}
        self.base = ["podman", "--cgroup-manager=cgroupfs", f"--runtime={oci_runtime}", f"--tmpdir={folder}/tmp"]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.base, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def run(self, name: str, *command: str, options: Sequence[str] = ()) -> str:
        # Limits no higher than ours: raising them takes a capability that a container host's root may lack.
        limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
        return self("run", "-d", *limits, "--network=none", f"--name={name}", *options, "localhost/box:1", *command)
