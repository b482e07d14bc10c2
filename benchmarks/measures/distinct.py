"""Two cores saturated with opens over 100,000 distinct files: what is lost, and whether each loss is counted."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks import dataset
from benchmarks.bench import Bench
from benchmarks.figures import SUBJECT, Result
from benchmarks.observers import Observer

FILES = 100_000
FOLDERS = 200  # as programs/distinct.c has it
ROUNDS = {"bare": 6, SUBJECT: 6, "bpftrace": 1}


def populate(folder: Path, files: int) -> Path:
    """Creates the files that ``distinct`` opens; returns `folder`."""
    for number in range(FOLDERS):
        (folder / str(number)).mkdir(parents=True)
    for number in range(files):
        (folder / str(number % FOLDERS) / str(number)).touch()
    return folder


def measure(bench: Bench) -> Result:
    """Opens a second in both processes together; the facts say what the recording holds of them."""
    result = Result("distinct", f"two cores, {FILES:,} distinct files", "opens/s", "0 lost, or each counted")
    program = bench.program("distinct")
    folder = populate(bench.scratch / "distinct", FILES)

    def sample(observer: Observer) -> float:
        output = bench.output(f"distinct-{observer.name}")
        told = output.with_suffix(".told")
        rounds = str(ROUNDS.get(observer.name, 1))
        observer.run([str(program), str(told), str(folder), str(FILES), rounds, "2", "0"], output)
        opened, seconds = told.read_text().split()
        if observer.name == SUBJECT:
            _account(result, output, folder, int(opened))
        elif observer.name == "bpftrace":
            lines = set((output / "printed").read_text(errors="replace").splitlines())
            seen = {line.rsplit(" ", 1)[-1] for line in lines if f" {folder}/" in line}
            result.facts["bpftrace: distinct files missing"] = FILES - len(seen)
        return int(opened) / float(seconds)

    try:
        bench.interleave(result, 1 if bench.quick else 3, sample, slow=("strace", "bpftrace"))
    finally:
        shutil.rmtree(folder)
    return result


def _account(result: Result, recording: Path, folder: Path, happened: int) -> None:
    paths, counted = dataset.opened_below(recording, folder)
    gone = dataset.lost(recording)
    result.facts |= {
        "opens": happened,
        "counted": counted,
        "lost, as the recording counts it": gone,
        "distinct files missing": FILES - len(paths),
        "unaccounted": happened - counted - gone,
    }
    # Losses name no path, so a missing file is accounted for only by a loss that could be its own.
    fine = happened <= counted + gone and FILES - len(paths) <= gone
    result.holds = fine if result.holds is None else result.holds and fine
