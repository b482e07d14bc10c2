"""PostgreSQL under pgbench, with each observer attached to the running server in turn."""

from __future__ import annotations

import re

from benchmarks.bench import Bench, BenchError
from benchmarks.figures import Result
from benchmarks.observers import Observer
from benchmarks.service import running
from datasets.workloads import clients, postgres


def measure(bench: Bench) -> Result:
    """Transactions a second of pgbench's read-write script; commits do not wait for the disk, so processors decide."""
    result = Result("pgbench", "PostgreSQL under pgbench", "tps", "≥ 0.97x")
    seconds = 2 if bench.quick else 3
    with running("postgres", bench.scratch) as pid:
        postgres.sql("ALTER SYSTEM SET synchronous_commit = off;")
        postgres.sql("SELECT pg_reload_conf();")

        def sample(observer: Observer) -> float:
            with observer.attached(pid, bench.output(f"pgbench-{observer.name}")):
                return rate(seconds)

        rate(2)
        bench.interleave(result, 3 if bench.quick else 9, sample, slow=("bpftrace", "strace"))
    bench.judge(result, at_least=0.97)
    return result


def rate(seconds: int) -> float:
    """Transactions a second that pgbench reports, without the time to connect."""
    connect = ("-h", str(postgres.SOCKETS), "-U", "postgres", "-c", "4", "-j", "2", "-T", str(seconds))
    found = re.search(r"tps = ([0-9.]+)", clients.tool("pgbench", *connect, "--random-seed=1", "bench"))
    if not found:
        raise BenchError("pgbench printed no rate")
    return float(found[1])
