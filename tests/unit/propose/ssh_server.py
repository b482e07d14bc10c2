"""A real sshd on loopback with keys and a configuration of its own; nobody's home directory is read."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

__all__ = ["Sshd", "missing"]

# what a forge runs for a key that may only read
_READ_ONLY = """#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
  git-upload-pack*) exec sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
echo 'ERROR: The key you are authenticating with has been marked as read only.' >&2
exit 1
"""
_CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AcceptEnv GIT_PROTOCOL
"""
_CLIENT = """Host forge 127.0.0.1
  HostName 127.0.0.1
  Port {port}
  IdentitiesOnly yes
  IdentityFile {place}/{key}
  UserKnownHostsFile {place}/{known}
  StrictHostKeyChecking yes
  BatchMode yes
"""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def missing() -> str:
    """Why it cannot run here; empty if it can."""
    for name in ("sshd", "ssh", "ssh-keygen"):
        if _program(name) is None:
            return f"no {name} (Debian has it: apt-get install openssh-server openssh-client)"
    return ""


class Sshd:
    """The server; `command` is what GIT_SSH_COMMAND has to be to reach it."""

    def __init__(self, place: Path) -> None:
        self.place, self.user = place, getpass.getuser()
        for name in ("host", "mine", "reader", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it, and the service that makes it is off
        (place / "read-only").write_text(_READ_ONLY)
        (place / "read-only").chmod(0o755)
        mine, reader = ((place / f"{n}.pub").read_text() for n in ("mine", "reader"))
        (place / "authorized").write_text(f'{mine}command="{place}/read-only" {reader}')
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (place / "sshd_config").write_text(_CONFIG.format(port=self.port, place=place))
        (place / "known").write_text(f"[127.0.0.1]:{self.port} {(place / 'host.pub').read_text()}")
        (place / "unknown").write_text("")
        self.log = (place / "log").open("w")
        self.process = subprocess.Popen(
            [_program("sshd"), "-D", "-e", "-f", place / "sshd_config"], stdin=subprocess.DEVNULL, stderr=self.log
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.place / "log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.place / "log").read_text())

    def command(self, key: str = "mine", known: str = "known") -> str:
        config = self.place / f"config-{key}-{known}"
        config.write_text(_CLIENT.format(port=self.port, place=self.place, key=key, known=known))
        return f"ssh -F {config}"

    def url(self, place: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{place}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
