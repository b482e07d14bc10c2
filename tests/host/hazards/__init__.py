"""The program of the path hazards, run in a world of its own under any wrapper: a recorder, an enforcer, nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

WORLD = Path(__file__).with_name("world.py")
ROOT = WORLD.parents[3]
BASE = "/srv/hazards"
RECORD = (sys.executable, "-c", "from discover.cli import main; main()", "record")
UNDER_DISCOVER = ("memfd_exec",)
"""Cases that no policy of discover's own semantics can allow: an exec of a memfd has no path."""


@dataclass(frozen=True)
class Run:
    """What differs between two runs, beside pids and random names."""

    month: str
    zones: tuple[str, ...]
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How one run went: the status of the wrapper, and for each case ``""`` or where it failed."""

    status: int
    cases: dict[str, str]
    log: str

    @property
    def broken(self) -> dict[str, str]:
        return {name: why for name, why in self.cases.items() if why}


def cases() -> list[str]:
    """The cases of the program, in its order."""
    source = (ROOT / "tests/programs/hazards.c").read_text()
    return re.findall(r'^\t\{"(\w+)", \w+\},$', source, re.MULTILINE)


def run(program: Path, run: Run, report: Path, wrapper: Sequence[str] = (), *, limit: float = 240) -> Outcome:
    """Run the program once, as root, in a mount namespace and a cgroup of its own: ``WRAPPER program BASE …``.

    The wrapper is what starts the program (`RECORD` with its options and ``--``, an enforcer); it sees the same mounts.
    Nothing of it stays, but for `report` and what the wrapper wrote in the folder of `report` or outside of ``/tmp``.
    """
    report.unlink(missing_ok=True)
    kept = [str(p) for p in (report.parent, program.parent, ROOT, Path(sys.prefix))]
    command = [
        *("unshare", "--mount", "--propagation", "private", sys.executable, str(WORLD)),
        json.dumps(asdict(run) | {"program": str(program), "base": BASE, "keep": kept}),
        *(str(report), *wrapper),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "HAZARDS_SKIP": ",".join(run.skip)}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
    )
    log = (done.stdout + done.stderr).decode(errors="backslashreplace")
    cases = {}
    for line in report.read_text().splitlines() if report.exists() else ():
        name, place, error = line.split(" ", 2)
        cases[name] = "" if place == "0" else f"line {place}: {error}"
    return Outcome(done.returncode, cases, log)
