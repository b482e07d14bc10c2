"""Boot a stock kernel in QEMU on this machine's own file system, and run a command there as root.

virtme-ng shares / read-only over 9p and puts throw-away overlays on top; no image is built. KVM is never used: it may
be present and hang, and results should not depend on it. Times are those of emulation, 10 to 20 times slower.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("DISCOVER_CACHE", ROOT / ".cache"))

LSM = "landlock,lockdown,apparmor,bpf"
MEMORY = "3G"
CPUS = 2


class BootError(Exception):
    """The machine cannot be booted at all; the message ends with a ``hint:`` line."""


@dataclass(frozen=True)
class Kernel:
    """One row of ``kernels.toml``; limits in seconds."""

    version: str
    limit: int
    silence: int

    def image(self) -> Path:
        """Return the unpacked kernel image; its modules lie in ``../lib/modules``, where virtme-ng finds them."""
        found = sorted((CACHE / "kernels" / self.version / "boot").glob("vmlinuz-*"))
        if not found:
            raise BootError(f"kernel {self.version} is not in {CACHE}/kernels\nhint: scripts/kernels {self.version}")
        return found[0]


def known_kernels() -> dict[str, Kernel]:
    """Return the kernels of ``kernels.toml`` by version."""
    rows = tomllib.loads((HERE / "kernels.toml").read_text())
    return {version: Kernel(version, **row) for version, row in rows.items()}


class Machine:
    """A running guest. What it prints goes to ``SHARE/guest.log``, its kernel's messages to ``SHARE/console.log``.

    `share` is the one folder that guest and host both write; it has the same path on both sides.
    """

    def __init__(self, kernel: Kernel, command: list[str], share: Path) -> None:
        programs = Path(sys.executable).parent
        vng = programs / "vng"
        if not vng.exists():
            raise BootError("virtme-ng is not installed\nhint: scripts/setup vm")
        self.share = share
        self.console = share / "console.log"
        self.log = share / "guest.log"
        arguments = [
            str(vng),
            *("--run", str(kernel.image()), "--disable-kvm", "--force-9p"),
            *("--user", "root", "--cpus", str(CPUS), "--memory", MEMORY, "--cwd", str(ROOT)),
            *("--append", f"lsm={LSM}", "--append", "loglevel=5"),
            *("--rwdir", str(share)),
            "--qemu-opts=" + shlex.join([*_one_thread(), *_kept_console(self.console), *_fast_share()]),
            "--",
            shlex.join(command),  # on the kernel's command line: keep it short
        ]
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            # A pipe, not a file: QEMU opens it several times and would overwrite itself.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},  # vng looks for its other half there
        )
        assert self._process.stdout is not None
        self._copier = threading.Thread(target=_copy, args=(self._process.stdout, self.log), daemon=True)
        self._copier.start()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the guest to end; return whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._copier.join(5)
        return True

    def kill(self) -> None:
        """End QEMU and its helpers, if they still run."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self, lines: int = 60) -> str:
        """Return the ends of both logs, for the report of a guest that died."""
        parts = []
        for path in (self.log, self.console):
            text = path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else ""
            tail = "\n".join(text.replace("\r", "").splitlines()[-lines:])
            parts.append(f"--- end of {path} ---\n{tail}")
        return "\n".join(parts)


def _one_thread() -> list[str]:
    """Return QEMU's options for both processors on one thread of the host.

    With a thread each (QEMU 7.2's default), one can go on executing the int3 that the other has put into the kernel's
    text and taken away again: static keys and attached programs then lock both up, in some runs and not in others.
    """
    return ["-accel", "tcg,thread=single"]


def _kept_console(path: Path) -> list[str]:
    """Return QEMU's options that send the kernel's console to a file; virtme-ng would throw it away."""
    return ["-set", f"chardev.console.path={path}"]


def _fast_share() -> list[str]:
    """Return QEMU's options for a second, read-only share of /, which the guest mounts with a cache.

    The root that virtme-ng mounts has none: there, importing pandas and scikit-learn takes a minute, here 20 seconds.
    """
    return ["-virtfs", "local,path=/,mount_tag=cached,security_model=none,readonly=on,multidevs=remap"]


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb", buffering=0) as out:
        while chunk := os.read(source.fileno(), 65536):
            out.write(chunk)
