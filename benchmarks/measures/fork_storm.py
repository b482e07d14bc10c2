"""A make-like storm of short processes, two at a time."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figures import Result
from benchmarks.observers import Observer


def measure(bench: Bench) -> Result:
    """Seconds for some thousand processes, each one fork, one exec and the loading of one library."""
    result = Result("fork_storm", "fork storm, /bin/true two at a time", "s", "≤ 1.05x")
    program = bench.program("forks")
    times = 1500 if bench.quick else 2500
    result.facts["processes"] = times

    def sample(observer: Observer) -> float:
        output = bench.output(f"forks-{observer.name}")
        told = output.with_suffix(".told")
        observer.run([str(program), str(told), str(times), "/bin/true"], output)
        return float(told.read_text().split()[0])

    bench.interleave(result, 5 if bench.quick else 9, sample, slow=("strace", "bpftrace"))
    bench.judge(result, at_most=1.05)
    return result
