"""A program that opens and closes one file in a loop: what a repeat costs."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figures import Result, ratios
from benchmarks.observers import Observer

OPERATIONS = {"bare": 400_000, "discover": 400_000, "bpftrace": 100_000, "strace": 4_000}


def measure(bench: Bench) -> Result:
    """Nanoseconds for an open and a close of a file that was opened before."""
    result = Result("open_loop", "open+close loop, repeats", "ns", "≤ 1.25x")
    program = bench.program("opens")
    opened = bench.scratch / "opened"
    opened.write_text("x")

    processor: dict[str, list[float]] = {}

    def sample(observer: Observer) -> float:
        output = bench.output(f"open-{observer.name}")
        told = output.with_suffix(".told")
        observer.run([str(program), str(told), str(OPERATIONS[observer.name]), str(opened)], output)
        elapsed, _, busy = map(float, told.read_text().split())
        processor.setdefault(observer.name, []).append(busy)
        return elapsed

    bench.interleave(result, 5 if bench.quick else 9, sample, slow=("bpftrace", "strace"))
    for name, ratio in ratios(processor).items():
        result.facts[f"{name}: ratio of the program's own processor time"] = round(ratio.middle, 3)
    bench.judge(result, at_most=1.25)
    return result
