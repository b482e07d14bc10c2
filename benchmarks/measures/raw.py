"""``--raw``: every event to user space, with a ring of 16 MB."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks import dataset
from benchmarks.bench import Bench, cpu_seconds
from benchmarks.figures import SUBJECT, Result
from benchmarks.observers import Discover, ObserverError, background
from datasets.workloads import processes

RATE = 1.05e6
"""Checks a second that are asked for, a little more than the bar."""


def measure(bench: Bench) -> Result:
    """Events a second to disk, and what the recorder needs for it, at a pace a little above the bar.

    The events are the cheapest that it sees, checks of a capability (a tracepoint since Linux 6.14): opens are told
    beside them, as many as two processes can make while the recorder shares their processors.
    """
    result = Result("raw", "`--raw`, events", "events/s", "≥ 1 M/s, 0 lost, ≤ 15 % of a core")
    if bench.observer(SUBJECT) is None:
        result.problems.append("the recorder does not work here")
        return result
    rounds = 1 if bench.quick else 3
    seconds = 3 if bench.quick else 6
    opened = bench.scratch / "opened"
    opened.write_text("x")
    opens = 500_000 if bench.quick else 2_000_000
    shares = []
    try:
        for number in range(rounds):
            checks = [str(bench.program("checks")), "", str(seconds), str(RATE), "2"]
            told, share, streamed, lost = _round(bench, checks)
            happened, rate = int(told[0]), float(told[1])
            result.samples.setdefault(SUBJECT, []).append(rate)
            shares.append(share)
            for name, value in (("checks", happened), ("streamed", streamed), ("lost", lost)):
                result.facts[name] = int(result.facts.get(name, 0)) + value
            fine = not lost and streamed >= happened and rate >= 1e6 and share <= 0.15
            result.holds = fine if result.holds is None else result.holds and fine
            bench.say(f"raw {number + 1}: {rate:,.0f} events/s, {share:.1%} of a core")
        result.facts["most of a core, %"] = round(100 * max(shares), 2)
        told, share, _, lost = _round(bench, [str(bench.program("opens")), "", str(opens), str(opened), "2"])
        rate = 2 * opens / float(told[1])
        result.facts |= {"opens/s": round(rate), "opens, of a core, %": round(100 * share, 2), "opens lost": lost}
        bench.say(f"raw, opens: {rate:,.0f} events/s, {share:.1%} of a core")
    except (ObserverError, OSError, subprocess.TimeoutExpired) as error:
        result.problems.append(str(error))
    return result


def _round(bench: Bench, command: list[str]) -> tuple[list[str], float, int, int]:
    """Run `command`, whose second word is where it tells, under the recorder.

    Returns what it told, the recorder's share of a core, and the events that were streamed and lost.
    """
    recorder = Discover(("--raw",))
    output = bench.output("raw")
    told: Path = output.with_suffix(".told")
    command[1] = str(told)
    # The program waits for a line, so that the recorder is there before its first event.
    waits = ["sh", "-c", 'read -r go && exec "$@"', "sh", *command]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as waiting:
        line = recorder.command(output, "--pid", str(waiting.pid))
        try:
            with background(line, output, recorder.watching(output)) as started:
                watched = (started.pid, *processes.descendants(started.pid))
                before, began = sum(map(cpu_seconds, watched)), time.monotonic()
                waiting.communicate(b"go\n", timeout=120)
                share = (sum(map(cpu_seconds, watched)) - before) / (time.monotonic() - began)
        finally:
            if waiting.poll() is None:
                waiting.kill()
    return told.read_text().split(), share, dataset.streamed(output), dataset.lost(output)
