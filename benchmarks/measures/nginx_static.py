"""nginx serving a static file under wrk, with each observer attached to the running server in turn."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figures import Result
from benchmarks.observers import Observer
from benchmarks.service import running
from datasets.workloads import clients, nginx


def measure(bench: Bench) -> Result:
    """Requests a second that wrk reaches on a file of some kilobytes; every request opens it and logs a line."""
    result = Result("nginx_static", "nginx static files under wrk", "req/s", "≥ 0.97x")
    seconds = 2 if bench.quick else 3
    with running("nginx", bench.scratch) as pid:
        pages = sorted((nginx.SITE / "html").iterdir())
        url = f"http://127.0.0.1:{nginx.PORT}/html/{pages[0].name}"
        clients.wrk(url, 1)

        def sample(observer: Observer) -> float:
            with observer.attached(pid, bench.output(f"nginx-{observer.name}")):
                return clients.wrk(url, seconds)

        bench.interleave(result, 3 if bench.quick else 9, sample, slow=("bpftrace", "strace"))
    bench.judge(result, at_least=0.97)
    return result
