"""What runc does for a container before it is inside it is in no policy, on targets that judge it inside.

The rows are those of a real Docker container with a probe, recorded by its cgroup.
"""

from __future__ import annotations

from typing import Any

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import app, executed, row
from models.policy import Target

UNITS = "abcd"
ID = "6a3e354ec533d65b18e36f8a61b25bc6bb710c4ed746368850f304139d22a0d3"
ROOT = "/var/lib/docker/overlay2/88d7c02259279a0579432c32a540d820363682f44aab0e130aa1a17aea8b7c7b/merged"
RUNC = "/usr/sbin/runc"
KUBEARMOR = (Target.KUBEARMOR_BPFLSM, Target.PORTABLE, Target.KUBEARMOR_APPARMOR)


def runc(unit: str, path: str, fs: str | None, **values: Any) -> dict[str, Any]:
    values = {"op": "open", "access": "read", "object": "file"} | values
    return row(unit, **{"class": "file"}, path=path, phase="runtime-init", exe=RUNC, fs=fs, **values)


def recorded() -> list[dict[str, Any]]:
    rows = [r for u in UNITS for r in app(u)]
    for u in UNITS:
        rows += [executed(u, "/usr/bin/probe", phase="probe")]
        rows += [executed(u, "/", exe=RUNC, phase="runtime-init")]  # itself, from a detached mount
        rows += [
            runc(u, f"/run/docker/runtime-runc/moby/{ID}/exec.fifo", "tmpfs", access="write"),
            runc(u, RUNC, "ext4"),
            runc(u, "/usr/lib/x86_64-linux-gnu/libseccomp.so.2.5.4", "ext4"),
            runc(u, ROOT, "overlay"),
            runc(u, f"{ROOT}/dev/null", "tmpfs", op="mknod"),
            runc(u, "/opt/of-the-host", None),
            runc(u, "/proc/7/fd", "proc"),
            runc(u, "/etc/passwd", "overlay"),
            runc(u, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "sysfs"),
            runc(u, "/dev/null", "tmpfs", access="read+write"),
        ]
    return rows


@pytest.mark.parametrize("target", KUBEARMOR)
def test_only_what_it_does_inside_is_learned(target: Target) -> None:
    learned = made(recorded(), target)
    for below in ("/run", "/var/lib", "/usr/sbin", "/usr/lib/x86_64", "/opt"):
        assert texts(learned, below) == set(), below
    assert texts(learned, "/sys") == {"path /sys/kernel/mm/transparent_hugepage/hpage_pmd_size r"}
    assert texts(learned, "/etc/passwd") == {"path /etc/passwd r"}
    assert texts(learned, "/dev") == {"path /dev/null rw"}
    assert texts(learned, "/proc")


@pytest.mark.parametrize("target", list(Target))
def test_an_executable_without_a_name_is_no_rule(target: Target) -> None:
    rows = [*recorded(), *(executed(u, "/") for u in UNITS)]
    learned = made(rows, target)
    assert "path / rw" not in texts(learned, section="process")
    assert any("without a name" in w for w in learned.warnings)
