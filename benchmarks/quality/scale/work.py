"""What is measured, each in a process of its own: ``python -m benchmarks.quality.scale.work group|learn DIR``.

Prints one JSON line: seconds of wall clock and processor (children included), and what came out.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

from models.dataset import open_dataset
from models.policy import Target

GROUPED = """
CREATE TEMP TABLE grouped AS
SELECT cluster, namespace, workload_kind, workload, container, class, op, access, path, path_raw, exe, owner_match,
    object, fs, script, family, type, protocol, capability, phase,
    sum("count") AS n, min(first_seen) AS first, max(last_seen) AS last
FROM read_parquet(?, hive_partitioning = false) GROUP BY ALL
"""
"""The distinct rows of all workloads: the least that anything that learns from them has to do."""


def group(path: Path) -> dict[str, Any]:
    """DuckDB's own group-by, with its defaults."""
    connection = duckdb.connect()
    connection.execute(GROUPED, [str(path / "behaviours" / "*" / "*.parquet")])
    (distinct,) = connection.execute("SELECT count(*) FROM grouped").fetchone() or (0,)
    return {"distinct": distinct}


def learn(path: Path) -> dict[str, Any]:
    """Every workload's policy, by what ``discover generate`` calls."""
    from discover.generate.pool import learn_all  # noqa: PLC0415 - not for the other measure
    from models.learn import Learned, Options  # noqa: PLC0415

    policies = rules = 0
    for _, learned in learn_all(open_dataset(path), Options(target=Target.DISCOVER), large=0):
        if isinstance(learned, Learned):
            policies += 1
            rules += len(learned.rules)
    return {"policies": policies, "rules": rules}


def main(arguments: list[str]) -> int:
    """Run one of them."""
    what, path = arguments
    began = time.monotonic()
    found = {"group": group, "learn": learn}[what](Path(path))
    found["wall"] = time.monotonic() - began
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["processor"] = sum(u.ru_utime + u.ru_stime for u in usages)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
