"""Memory that is given back: less is resident, and nothing that was there is lost."""

import subprocess
import sys

SCRIPT = """
import ctypes, hashlib
import pyarrow as pa, pyarrow.parquet as pq, numpy as np
from discover.record.memory import give_back

def resident():
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Rss"))

def digest():
    table = pa.table({"a": pa.array(np.arange(100_000)), "b": pa.array(["x"] * 100_000)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return hashlib.sha256(sink.getvalue()).hexdigest()

first, before = digest(), resident()
give_back()
after = resident()
assert digest() == first
print(before, after)
"""


def test_libraries_that_wait_are_not_resident_and_work_again_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before - 20_000
