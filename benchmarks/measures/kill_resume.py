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

from .distinct import populate

FILES = 40_000
PAUSE = 20_000  # µs after every hundredth open: 40,000 files in some 8 s


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
    script = 'read -r go && exec "$@"'
    command = ["sh", "-c", script, "sh", str(program), str(told), str(folder), str(FILES), "1", "1", str(PAUSE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as load:
        try:
            with background(
                recorder.command(output, "--pid", str(load.pid)), output, output / "recording.json"
            ) as first:
                if load.stdin:
                    load.stdin.write(b"go\n")
                    load.stdin.flush()
                time.sleep(3.0)
                first.send_signal(signal.SIGKILL)
                first.wait(10)
            time.sleep(1.0)
            if load.poll() is not None:
                raise ObserverError("the load had ended before the recorder was resumed")
            resumed = output.with_name(f"{output.name}-resumed.log")
            with resumed.open("wb") as sink:
                line = [recorder.program, "record", "--resume", str(output)]
                second = subprocess.Popen(line, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
                load.wait(120)
                time.sleep(2.0)
                if second.poll() is None:
                    second.send_signal(signal.SIGINT)
                status = second.wait(STOP)
        finally:
            load.kill()
    if status:
        raise ObserverError(f"--resume ended with exit code {status}: {resumed.read_bytes()[-400:]!r}")
    happened = int(told.read_text().split()[0])
    paths, counted = dataset.opened_below(output, folder)
    result.facts |= {"opens": happened, "counted": counted, "lost": dataset.lost(output)}
    return happened - len(paths)
