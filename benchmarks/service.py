"""A server of `datasets/workloads`, running for a measure."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.workloads import isolation, load_workload, processes
from datasets.workloads.runner import environment

from .bench import BenchError

__all__ = ["running"]


@contextmanager
def running(name: str, scratch: Path) -> Iterator[int]:
    """Starts the workload called `name` on fresh files and yields its main process; stops it after the block."""
    workload = load_workload(name)
    isolation.enter(workload.mounts, scratch / name, fresh=True)
    workload.prepare(True, random.Random(1))
    with (scratch / f"{name}.log").open("wb") as sink:
        started = subprocess.Popen(
            workload.command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**environment(), **workload.environment},
            cwd="/",
        )
    try:
        pid = processes.find(started.pid, workload.executable)
        if pid is None:
            raise BenchError(f"{name} did not start: see {scratch / name}.log")
        workload.wait_ready(pid)
        yield pid
    finally:
        if started.poll() is None:
            os.kill(started.pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        started.wait(20)
