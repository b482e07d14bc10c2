"""Runs one unit from start to stop, with the recorder around it or, to try a description, without.

    python -m datasets.workloads.runner UNIT.json --output DIR --scratch DIR [--recorder 'discover record']

prints one JSON line on stdout: what was done, how long it took until ready, versions. Exit code 1: the unit went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
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

READY_AFTER = 2.0
"""Seconds after which the recorder lets start-up end, unless it saw the workload listen before."""

SETTLE = 2.3
"""Seconds between readiness and the first request, so that no load falls into start-up."""

LEAST_LOAD = 4.0
"""Seconds of load at least: a unit whose kinds are done earlier plays some of them again."""

FINISH = 90.0
"""Seconds that the recorder may take to write its dataset once the workload has ended."""


def run_unit(unit: Unit, output: Path, scratch: Path, recorder: list[str], inventory: bool = False) -> dict[str, Any]:
    """Does all of one unit; must run inside the namespaces of `isolation.wrapped`. Raises `WorkloadError`.

    With `inventory` the recorder lists the files that were there as well.
    """
    workload = load_workload(unit.workload)
    rng = random.Random(unit.seed)
    fresh = not (unit.continues and (scratch / "root").exists())
    isolation.enter(workload.mounts, scratch, fresh)
    workload.prepare(fresh, rng)
    log = scratch / "said.txt"  # a name with `log` in it would be rotated
    began = time.monotonic()
    with clients.services(), log.open("wb") as sink:
        started = subprocess.Popen(
            [*recording(workload, unit, output, recorder, inventory), *workload.command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**environment(), **workload.environment},
            cwd="/tmp",  # the unit's own, where a core may land
        )
        try:
            took = _live(workload, unit, rng, started, scratch=scratch, recorded=bool(recorder))
            status = started.wait(FINISH)
        except (WorkloadError, OSError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
            _put_down(started)
            raise WorkloadError(f"{unit.name}: {type(error).__name__}: {error}; {log} ends: {_tail(log)}") from error
        _clear()
    if recorder and status != 0:
        raise WorkloadError(f"{unit.name}: the recorder ended with exit code {status}; {log} ends: {_tail(log)}")
    return {
        "unit": unit.as_json(),
        "fresh": fresh,
        "ready_after": round(took, 3),
        "seconds": round(time.monotonic() - began, 2),
        "version": software_version(workload),
        "kernel": os.uname().release,
        "report": _tail(log) if recorder else "",
    }


def recording(workload: Workload, unit: Unit, output: Path, recorder: list[str], inventory: bool = False) -> list[str]:
    """The recorder's part of the command line, up to the workload's own; empty without a recorder."""
    if not recorder:
        return []
    marked = workload.marks(unit.drills)
    options = ["--drill", ",".join(marked)] if marked else []
    seconds = drills_at(unit) if marked else LONGEST
    times = ["--ready-after", f"{READY_AFTER:g}s", "--for", f"{seconds:g}s"]
    listed = [] if inventory else ["--no-inventory"]
    return [*recorder, *listed, "--workload", workload.name, *times, *options, "-o", str(output), "--"]


def drills_at(unit: Unit) -> float:
    """Seconds after its start at which the recorder begins a unit's drills."""
    return SETTLE + LEAST_LOAD + 2.0 * len(unit.kinds)


def _live(
    workload: Workload,
    unit: Unit,
    rng: random.Random,
    started: subprocess.Popen[bytes],
    *,
    scratch: Path,
    recorded: bool,
) -> float:
    """The unit's life to its end; how long it took to become ready, in seconds."""
    began = time.monotonic()
    pid = processes.find(started.pid, workload.executable, without="record" if recorded else "")
    if pid is None:
        raise WorkloadError(f"{workload.executable} did not start")
    took = workload.wait_ready(pid)
    client = scratch / "client"
    client.mkdir(exist_ok=True)
    run = Run(rng, pid, unit.seconds, client)
    by_recorder = recorded and bool(workload.marks(unit.drills))
    time.sleep(SETTLE)
    if not unit.kinds:
        time.sleep(unit.seconds)
    end = began + drills_at(unit) - 1.5 if by_recorder else time.monotonic() + LEAST_LOAD
    for kind in unit.kinds:
        workload.kinds[kind].drive(run)
        time.sleep(rng.uniform(0.05, 0.3))
    while unit.kinds and time.monotonic() < end:
        workload.kinds[rng.choice(unit.kinds)].drive(run)
        time.sleep(rng.uniform(0.1, 0.5))
    for drill in unit.drills:
        if by_recorder:
            workload.drills[drill].before(run)
        elif drill not in ("stop", "crash"):
            workload.drills[drill].by_hand(run)
            workload.wait_ready(pid)
    if by_recorder:
        _through_drills(workload, started)
    elif recorded and "crash" not in unit.drills:
        started.send_signal(signal.SIGINT)  # as Ctrl-C: the recorder stops the workload and marks its shutdown
    else:
        workload.drills["crash" if "crash" in unit.drills else "stop"].by_hand(run)
    if not processes.wait_gone(pid, 20.0):
        raise WorkloadError(f"process {pid} did not end within 20 s of being told to")
    return took


def _through_drills(workload: Workload, started: subprocess.Popen[bytes]) -> None:
    """Small requests until the recorder has done its drills and ended."""
    until = time.monotonic() + FINISH
    while started.poll() is None and time.monotonic() < until:
        with contextlib.suppress(
            OSError, WorkloadError, http.client.HTTPException
        ):  # it may be down: that is the drill
            workload.touch()
        time.sleep(0.3)


def _clear() -> None:
    """Ends what outlived its main process or its recorder: every other process of this unit's network namespace."""
    ours = _namespace("self")
    if ours == _namespace(str(os.getppid())):  # no namespace of our own: nothing here is ours alone
        return
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with contextlib.suppress(OSError):
            if pid != os.getpid() and _namespace(str(pid)) == ours:
                os.kill(pid, signal.SIGKILL)


def _namespace(process: str) -> int:
    return Path(f"/proc/{process}/ns/net").stat().st_ino


def software_version(workload: Workload) -> str:
    """The first line in which the software says its version."""
    said = subprocess.run(workload.version, capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).strip().splitlines()[0]


def environment() -> dict[str, str]:
    """What the software finds in its environment: nothing of the caller's."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}


def _put_down(started: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a unit that went wrong."""
    if started.poll() is None:
        started.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(15)  # a recorder ends what it started and takes its programs out of the kernel
    _clear()
    if started.poll() is None:
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
    parser.add_argument("--inventory", action="store_true", help="also list the files that were there")
    options = parser.parse_args(arguments)
    unit = Unit.from_json(json.loads(options.unit.read_text()))
    options.scratch.mkdir(parents=True, exist_ok=True)
    try:
        recorder = shlex.split(options.recorder)
        done = run_unit(unit, options.output, options.scratch, recorder, options.inventory)
    except WorkloadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
