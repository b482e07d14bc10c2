"""Profiles in the kernel: loaded, replaced and removed by AppArmor's own parser."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from enforcer.errors import EnforceError, PolicyRefused

__all__ = ["PREFIX", "check_here", "confined", "label", "load", "loaded", "remove"]

PREFIX = "discover-"
"""Before the name of each profile that is ours: no other is ever replaced, docker-default least of all."""
_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_PROFILES = Path("/sys/kernel/security/apparmor/profiles")
_FEATURES = Path("/etc/apparmor.d/abi/3.0")


def _parser() -> str | None:
    return shutil.which("apparmor_parser") or shutil.which("apparmor_parser", path="/usr/sbin:/sbin")


def check_here() -> None:
    """Raise `EnforceError` with what is missing, if profiles cannot be loaded here."""
    if not _ENABLED.exists() or _ENABLED.read_text().strip() != "Y":
        raise EnforceError("AppArmor is not active in this kernel", "boot with apparmor in lsm=, or --backend bpf-lsm")
    if _parser() is None or not _FEATURES.exists():
        raise EnforceError("apparmor_parser 3.0 or newer is not installed", "apt-get install apparmor")
    if not _PROFILES.exists():
        hint = "mount -t securityfs none /sys/kernel/security"
        raise EnforceError("securityfs is not mounted: profiles cannot be loaded", hint)


def load(text: str) -> None:
    """Load profiles, or replace those of the same names for whoever runs under them. All of the text or nothing."""
    _run(text, "--skip-kernel-load")
    _run(text, "--replace")


def remove(names: Iterable[str]) -> None:
    """Take profiles out of the kernel, if they are there; who runs under them is confined no longer."""
    for name in sorted(names, reverse=True):  # with the profile NAME goes what is called NAME//…
        if name in loaded():
            try:
                _PROFILES.with_name(".remove").write_bytes(name.encode("utf-8", "surrogateescape"))
            except OSError as error:
                raise EnforceError(
                    f"remove the profile {name}: {error.strerror}", "`dmesg | tail` may say more"
                ) from None


def _run(text: str, action: str) -> None:
    check_here()
    command = [str(_parser()), action, "--skip-cache", "--quiet"]
    done = subprocess.run(command, input=text.encode("utf-8", "surrogateescape"), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"exit status {done.returncode}"
        if action == "--skip-kernel-load":
            raise PolicyRefused(f"apparmor_parser does not take the profile: {why}", "is it too old for these rules?")
        raise EnforceError(f"apparmor_parser {action}: {why}", "`dmesg | tail` may say more")


def loaded() -> dict[str, str]:
    """The profiles in the kernel with their modes."""
    found = {}
    if _PROFILES.exists():
        for line in _PROFILES.read_text(errors="surrogateescape").splitlines():
            name, _, mode = line.rpartition(" ")
            found[name] = mode.strip("()")
    return found


def label(pid: int | str) -> str:
    """The profile that a process runs under, ``unconfined``, or empty if it is gone."""
    for name in ("apparmor/current", "current"):
        try:
            said = Path(f"/proc/{pid}/attr/{name}").read_bytes()
        except OSError:
            continue
        text = said.rstrip(b"\n\0").decode("utf-8", "surrogateescape")
        return text.rpartition(" (")[0] or text
    return ""


def confined(name: str) -> list[int]:
    """Processes under a profile or one of those that belong to it."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (whose := label(folder.name)) and (whose + "/").startswith((name + "/",)):
            found.append(int(folder.name))
    return sorted(found)
