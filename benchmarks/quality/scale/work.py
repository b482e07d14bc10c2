"""What is measured, each in a process of its own: ``python -m benchmarks.quality.scale.work group|learn DIR``.

Prints one JSON line: seconds of wall clock and of this process's processor time, and what came out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from discover.generate import Generated, Refused, Request, generate_each
from models.dataset import open_dataset

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
    """Every workload's policy as a YAML file, by what ``discover generate`` calls."""
    folder = path / "policies"
    folder.mkdir()
    made = list(generate_each(open_dataset(path), Request(), partial(_written, folder), jobs=os.cpu_count()))
    return {"policies": sum(n > 0 for n in made), "rules": sum(made)}


def _written(folder: Path, made: Generated | Refused) -> int:
    """The rules of a policy that was written."""
    if isinstance(made, Refused):
        return 0
    (folder / f"{made.policy.name}.yaml").write_text(made.text)
    return len(made.learned.rules)


def main(arguments: list[str]) -> int:
    """Run one of them."""
    what, path = arguments
    began = time.monotonic()
    found = {"group": group, "learn": learn}[what](Path(path))
    found["wall"] = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found["processor"] = usage.ru_utime + usage.ru_stime
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
