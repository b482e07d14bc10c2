"""A profile's way back to Audit that needs nobody alive: a timer of systemd's that loads it in complain mode."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from discover.errors import DiscoverError

__all__ = ["cancel", "check_here", "set_off"]

_RUNNING = Path("/run/systemd/system")


def _unit(profile: str) -> str:
    return f"{profile}-confirm"


def check_here() -> None:
    """Raise `DiscoverError` if no systemd runs here."""
    if not _RUNNING.is_dir() or shutil.which("systemd-run") is None:
        raise DiscoverError(
            "--confirm-within needs systemd for AppArmor, and none runs here: the kernel has no deadline for a profile",
            "leave --confirm-within out, or use --backend bpf-lsm, whose deadline is in the kernel",
        )


def set_off(profile: str, seconds: float, text: Path) -> None:
    """Load the profiles in a file after some time."""
    parser = shutil.which("apparmor_parser") or "/usr/sbin/apparmor_parser"
    command = [
        *("systemd-run", "--quiet", f"--unit={_unit(profile)}", f"--on-active={seconds:.0f}s"),
        *("--timer-property=AccuracySec=100ms", parser, "--replace", "--skip-cache", str(text)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DiscoverError(f"no timer could be set: {done.stderr.strip()}", "`systemctl status` may say why")


def cancel(profile: str) -> None:
    """Forget the timer, if there is one."""
    if _RUNNING.is_dir():
        for kind in ("timer", "service"):
            subprocess.run(["systemctl", "stop", f"{_unit(profile)}.{kind}"], capture_output=True, check=False)
