"""The recorder on a workload that does nothing."""

from __future__ import annotations

import subprocess
import time

from benchmarks.bench import Bench, cpu_seconds, memory_mb
from benchmarks.figures import SUBJECT, Result
from benchmarks.observers import Discover, ObserverError, background
from datasets.workloads import processes


def measure(bench: Bench) -> Result:
    """Percent of a core and resident memory over some time of nothing, after the recorder has settled."""
    result = Result("idle", "idle recorder", "% of a core", "≤ 0.5 %, ≤ 80 MB")
    if bench.observer(SUBJECT) is None:
        result.problems.append("the recorder does not work here")
        return result
    seconds = 10 if bench.quick else 30
    output = bench.output("idle")
    recorder = Discover()
    with subprocess.Popen(["sleep", "300"]) as sleeper:
        try:
            line = recorder.command(output, "--pid", str(sleeper.pid))
            with background(line, output, recorder.watching(output)) as started:
                time.sleep(3)
                watched = (started.pid, *processes.descendants(started.pid))
                before, began = sum(map(cpu_seconds, watched)), time.monotonic()
                time.sleep(seconds)
                used = (sum(map(cpu_seconds, watched)) - before) / (time.monotonic() - began) * 100
                memory = sum(map(memory_mb, watched))
        except ObserverError as error:
            result.problems.append(str(error))
            return result
        finally:
            sleeper.kill()
    result.samples[SUBJECT] = [used]
    result.facts |= {"seconds watched": seconds, "resident MB": round(memory, 1)}
    result.holds = used <= 0.5 and memory <= 80
    return result
