"""``kill -9`` of the recorder under load, then ``discover record --resume``: which behaviours are missing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from benchmarks import dataset
from benchmarks.bench import Bench
from benchmarks.figures import SUBJECT, Result
from benchmarks.observers import STOP, Discover, ObserverError, background
from datasets.workloads import processes

from .distinct import populate

FILES = 15_000  # new behaviours that all fit into the 16 MB ring (some 25,000), however long the recorder is away
ROUNDS = 3
PAUSE = 20_000  # µs after every hundredth open: 45,000 opens in some 10 s


def measure(bench: Bench) -> Result:
    """Files that a program opened, by its own account, and the recording lacks."""
    result = Result("kill_resume", "`kill -9` under load, then `--resume`", "files missing", "0")
    if bench.observer(SUBJECT) is None:
        result.problems.append("the recorder does not work here")
        return result
    program = bench.program("distinct")
    for number in range(1 if bench.quick else 3):
        folder = populate(bench.scratch / f"kill-{number}", FILES)
        output = bench.output("kill")
        try:
            missing = _round(result, program, folder, output)
        except (ObserverError, subprocess.TimeoutExpired) as error:
            result.problems.append(f"round {number + 1}: {error}")
            break
        finally:
            shutil.rmtree(folder)
        result.samples.setdefault(SUBJECT, []).append(missing)
        result.holds = result.holds is not False and missing == 0
        bench.say(f"kill_resume {number + 1}: {missing} of {FILES} files missing")
    return result


def _round(result: Result, program: Path, folder: Path, output: Path) -> float:
    recorder = Discover()
    told = output.with_suffix(".told")
    load = ["--", str(program), str(told), str(folder), str(FILES), str(ROUNDS), "1", str(PAUSE)]
    with background(recorder.command(output, *load), output, recorder.watching(output)) as first:
        pid = processes.find(first.pid, str(program))
        if pid is None:
            raise ObserverError("the load did not start")
        time.sleep(3.0)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    time.sleep(1.0)
    if not processes.alive(pid):
        raise ObserverError("the load had ended before the recorder was resumed")
    log = output.with_name(f"{output.name}-resumed.log")
    with log.open("wb") as sink:
        line = [recorder.program, "record", "--resume", str(output)]
        second = subprocess.Popen(line, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        ended = processes.wait_gone(pid, 120)
        time.sleep(2.0)
        if second.poll() is None:
            second.send_signal(signal.SIGINT)
        status = second.wait(STOP)
    if status or not ended:
        raise ObserverError(f"--resume ended with exit code {status}: {log.read_bytes()[-400:]!r}")
    happened = int(told.read_text().split()[0])
    paths, counted = dataset.opened_below(output, folder)
    result.facts |= {"opens": happened, "counted": counted, "lost": dataset.lost(output)}
    if happened != FILES * ROUNDS:
        raise ObserverError(f"the load opened {happened} times, not {FILES * ROUNDS}")
    return FILES - len(paths)
