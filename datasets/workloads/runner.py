"""Runs one unit from start to stop, with the recorder around it or, to try a description, without.

    python -m datasets.workloads.runner UNIT.json --output DIR --scratch DIR [--recorder 'discover record']

prints one JSON line on stdout: what was done, how long it took until ready, versions. Exit code 1: the unit went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import clients, isolation, load_workload, processes
from .plan import Unit
from .workload import Run, Workload, WorkloadError

__all__ = ["FINISH", "LONGEST", "environment", "main", "run_unit", "software_version"]

LONGEST = 120
"""Seconds after which the recorder ends by itself, should this program be gone by then."""

FINISH = 60.0
"""Seconds that the recorder may take to write its dataset once the workload has ended."""


def run_unit(unit: Unit, output: Path, scratch: Path, recorder: list[str]) -> dict[str, Any]:
    """Does all of one unit; must run inside the namespaces of `isolation.wrapped`. Raises `WorkloadError`."""
    workload = load_workload(unit.workload)
    rng = random.Random(unit.seed)
    fresh = not (unit.continues and (scratch / "root").exists())
    isolation.enter(workload.mounts, scratch, fresh)
    workload.prepare(fresh, rng)
    command = [*recorder, "--for", f"{LONGEST}s", "-o", str(output), "--"] if recorder else []
    log = scratch / "output.log"
    began = time.monotonic()
    with clients.services(), log.open("ab") as sink:
        started = subprocess.Popen(
            [*command, *workload.command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**environment(), **workload.environment},
            cwd="/",
        )
        try:
            took = _live(workload, unit, rng, started.pid, scratch)
            status = started.wait(FINISH)
        except (WorkloadError, subprocess.TimeoutExpired) as error:
            _put_down(started)
            raise WorkloadError(f"{unit.name}: {error}; {log} ends: {_tail(log)}") from error
    if recorder and status != 0:
        raise WorkloadError(f"{unit.name}: the recorder ended with exit code {status}; {log} ends: {_tail(log)}")
    return {
        "unit": unit.as_json(),
        "fresh": fresh,
        "ready_after": round(took, 3),
        "seconds": round(time.monotonic() - began, 2),
        "version": software_version(workload),
        "kernel": os.uname().release,
    }


def _live(workload: Workload, unit: Unit, rng: random.Random, started: int, scratch: Path) -> float:
    """The unit's life from its start to its end; how long it took to become ready, in seconds."""
    pid = processes.find(started, workload.executable)
    if pid is None:
        raise WorkloadError(f"{workload.executable} did not start")
    took = workload.wait_ready(pid)
    client = scratch / "client"
    client.mkdir(exist_ok=True)
    run = Run(rng, pid, unit.seconds, client)
    if not unit.kinds:
        time.sleep(unit.seconds)
    for kind in unit.kinds:
        workload.kinds[kind].drive(run)
        time.sleep(rng.uniform(0.05, 0.3))
    for drill in unit.drills:
        if drill not in ("stop", "crash"):
            workload.drills[drill](run)
            workload.wait_ready(pid)
    workload.drills["crash" if "crash" in unit.drills else "stop"](run)
    if not processes.wait_gone(pid, 10.0):
        raise WorkloadError(f"process {pid} did not end within 10 s of being told to")
    return took


def software_version(workload: Workload) -> str:
    """The first line in which the software says its version."""
    said = subprocess.run(workload.version, capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).strip().splitlines()[0]


def environment() -> dict[str, str]:
    """What the software finds in its environment: nothing of the caller's."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}


def _put_down(started: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a unit that went wrong: each process by its own id, the recorder last."""
    for pid in reversed(list(processes.descendants(started.pid))):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    try:
        started.wait(5)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _tail(log: Path) -> str:
    return repr(log.read_bytes()[-600:].decode(errors="backslashreplace"))


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m datasets.workloads.runner", description=__doc__)
    parser.add_argument("unit", type=Path, help="a JSON file with one planned unit")
    parser.add_argument("--output", type=Path, required=True, help="where the recorder puts its dataset")
    parser.add_argument("--scratch", type=Path, required=True, help="where the workload's files stand")
    parser.add_argument("--recorder", default="", help="the command that records; empty: run without one")
    options = parser.parse_args(arguments)
    unit = Unit.from_json(json.loads(options.unit.read_text()))
    options.scratch.mkdir(parents=True, exist_ok=True)
    try:
        done = run_unit(unit, options.output, options.scratch, shlex.split(options.recorder))
    except WorkloadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
