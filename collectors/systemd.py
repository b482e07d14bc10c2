"""systemd units and their cgroups, asked from ``systemctl`` or, where no manager answers, from the cgroup tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collectors.cgroup_names import name_of
from collectors.cgroups import CgroupRef

__all__ = ["Unit", "named", "show"]

_SECONDS = 10


@dataclass(frozen=True)
class Unit:
    """A unit: `cgroup` is its path, empty when the unit does not run; `main_pid` is 0 when it has none."""

    name: str
    cgroup: str
    main_pid: int
    load_state: str


def show(name: str) -> Unit | None:
    """The unit as its manager knows it; None where there is no manager (or no systemctl) to ask."""
    if not Path("/run/systemd/system").is_dir():  # sd_booted(3)
        return None
    command = ["systemctl", "show", "--property=Id,ControlGroup,MainPID,LoadState", "--", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    facts = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if done.returncode != 0 or "LoadState" not in facts:
        return None
    pid = facts.get("MainPID", "0")
    return Unit(
        facts.get("Id", name), facts.get("ControlGroup", ""), int(pid) if pid.isdigit() else 0, facts["LoadState"]
    )


def named(name: str, cgroups: Iterable[CgroupRef]) -> list[CgroupRef]:
    """The cgroups of the units called `name`; several when users run units of that name too."""
    return [ref for ref in cgroups if (told := name_of(ref.path)).unit == name and told.unit_root == ref.path]
