"""``--raw``: every event to user space, with a ring of 16 MB."""

from __future__ import annotations

import subprocess
import time

from benchmarks import dataset
from benchmarks.bench import Bench, cpu_seconds
from benchmarks.figures import SUBJECT, Result
from benchmarks.observers import Discover, ObserverError, background
from datasets.workloads import processes


def measure(bench: Bench) -> Result:
    """Events a second while two processes open one file as fast as they can, and what the recorder needs for it."""
    result = Result("raw", "`--raw`, events", "events/s", "≥ 1 M/s, 0 lost, ≤ 15 % of a core")
    if bench.observer(SUBJECT) is None:
        result.problems.append("the recorder does not work here")
        return result
    recorder = Discover(("--raw",))
    program = bench.program("opens")
    opened = bench.scratch / "opened"
    opened.write_text("x")
    operations = 1_000_000 if bench.quick else 3_000_000
    shares: list[float] = []
    for number in range(1 if bench.quick else 3):
        output = bench.output("raw")
        told = output.with_suffix(".told")
        # The program waits for a line, so that the recorder is there before its first open.
        command = ["sh", "-c", 'read -r go && exec "$@"', "sh", str(program), str(told), str(operations)]
        with subprocess.Popen([*command, str(opened), "2"], stdin=subprocess.PIPE) as waiting:
            line = recorder.command(output, "--pid", str(waiting.pid))
            try:
                with background(line, output, recorder.watching(output)) as started:
                    watched = (started.pid, *processes.descendants(started.pid))
                    before, began = sum(map(cpu_seconds, watched)), time.monotonic()
                    waiting.communicate(b"go\n", timeout=120)
                    elapsed = time.monotonic() - began
                    shares.append((sum(map(cpu_seconds, watched)) - before) / elapsed)
            except (ObserverError, OSError, subprocess.TimeoutExpired) as error:
                waiting.kill()
                result.problems.append(f"round {number + 1}: {error}")
                break
        happened = 2 * (operations + 100)
        streamed = dataset.streamed(output)
        gone = dataset.lost(output)
        result.samples.setdefault(SUBJECT, []).append(happened / float(told.read_text().split()[1]))
        result.facts |= {"opens": happened, "streamed": streamed, "lost": gone}
        fine = result.samples[SUBJECT][-1] >= 1e6 and not gone and streamed >= happened and shares[-1] <= 0.15
        result.holds = fine if result.holds is None else result.holds and fine
        bench.say(f"raw {number + 1}: {result.samples[SUBJECT][-1]:,.0f} events/s, {shares[-1]:.1%} of a core")
    if shares:
        result.facts["most of a core, %"] = round(100 * max(shares), 2)
    return result
