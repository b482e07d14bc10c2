"""One unit of nginx in a real container, into which someone opens a shell and looks around.

    python -m datasets.workloads.shell --output DIR --scratch DIR --recorder 'discover record'

Runs inside the namespaces of `isolation.wrapped`. The container's root is this machine's, below an overlay, so paths
and binaries are those of the nginx dataset; podman starts it, and ``podman exec -it`` opens the shell.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import random
import resource
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

from . import clients, isolation, nginx, processes
from .clients import tool
from .plan import Unit
from .runner import FINISH, LONGEST, software_version
from .workload import Run, WorkloadError

__all__ = ["main"]

NAME = "discover-nginx-shell"
SEED = 20
LOADS = ("static", "errors")
TYPED = (
    "id",
    "ls -la /etc/nginx /var/www/html",
    "cat /etc/passwd | wc -l",
    "ps aux | head -5",
    "vi --version >/dev/null 2>&1; command -v curl python3 perl",
    "curl -s -o /tmp/page.html http://127.0.0.1/",
    "echo 'it was me' > /tmp/proof; chmod 600 /tmp/proof; rm /tmp/proof /tmp/page.html",
    "python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 4444)); s.listen()'",
    "exit",
)


def podman(*words: str) -> str:
    """One podman command, with runc: crun refuses a hybrid cgroup hierarchy."""
    return tool("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", *words).strip()


def start() -> int:
    """Starts the container and tells the pid of nginx's main process."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    options = [f"--ulimit=nofile={files}:{files}", "--ulimit=nproc=4096:4096", "--network=host", "--name", NAME]
    for folder in (*nginx.workload.mounts, "/tmp"):
        options += ["-v", f"{folder}:{folder}"]
    podman("run", "-d", *options, "--rootfs", "/:O", *nginx.workload.command)
    pid = int(podman("inspect", "--format", "{{.State.Pid}}", NAME))
    nginx.workload.wait_ready(pid)
    return pid


def shell() -> str:
    """A person's session: ``podman exec -it`` on a terminal of its own, typed line by line; what it showed."""
    command = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "exec", "-it", NAME, "/bin/sh")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    shown = b""
    for line in TYPED:
        time.sleep(0.4)
        os.write(terminal, line.encode() + b"\n")
        while select.select([terminal], [], [], 0.3)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # EIO: the other side has closed
                break
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode(errors="replace")


def record(output: Path, scratch: Path, recorder: list[str]) -> str:
    """The whole unit, with the recorder on the running container; what the terminal showed."""
    isolation.enter(nginx.workload.mounts, scratch, fresh=True, cover_run=False)
    rng = random.Random(SEED)
    nginx.prepare(True, rng)
    podman("rm", "-f", "-i", NAME)
    with clients.services():
        pid = start()
        try:
            run = Run(rng, pid, 1.5, scratch)
            log = scratch / "said.txt"
            with log.open("wb") as sink:
                command = [*recorder, "--for", f"{LONGEST}s", "-o", str(output)]
                command += ["--workload", "nginx", "--container", NAME]
                started = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
                _wait_for_recorder(started, log)
                nginx.static(run)
                shown = shell()
                nginx.errors(run)
                nginx.workload.drills["stop"].by_hand(run)
                processes.wait_gone(pid, 10.0)
                time.sleep(1.0)
                if started.poll() is None:
                    started.terminate()
                status = started.wait(FINISH)
        finally:
            podman("rm", "-f", "-i", NAME)
    if status:
        raise WorkloadError(f"the recorder ended with exit code {status}; see {log}")
    return shown


def _wait_for_recorder(started: subprocess.Popen[bytes], log: Path) -> None:
    """Until the recorder's first line of progress: before it, what happens is not recorded."""
    until = time.monotonic() + 60.0
    while b"behaviours" not in log.read_bytes():
        if started.poll() is not None or time.monotonic() > until:
            raise WorkloadError(f"the recorder did not start: {log.read_bytes()[-300:]!r}")
        time.sleep(0.05)


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m datasets.workloads.shell", description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--recorder", required=True)
    options = parser.parse_args(arguments)
    options.scratch.mkdir(parents=True, exist_ok=True)
    try:
        shown = record(options.output, options.scratch, shlex.split(options.recorder))
        if "uid=0" not in shown:
            raise WorkloadError(f"the shell answered nothing: {shown[-300:]!r}")
    except WorkloadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    version = software_version(nginx.workload)
    unit = Unit("nginx", 0, SEED, LOADS, drills=())
    print(json.dumps({"unit": unit.as_json(), "shell": TYPED, "version": version, "kernel": os.uname().release}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
