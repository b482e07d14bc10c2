"""One run of the real `discover record` on one program, and what it left."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from hard_cases import rows

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 540  # seconds for one recording; emulation is 10 to 20 times slower than this host


@dataclass
class Recording:
    """A finished recording, with the report of the program that was recorded."""

    backend: str
    folder: Path
    base: Path
    report: rows.Report
    log: str

    @cached_property
    def dataset(self) -> Any:
        from models.dataset import open_dataset

        return open_dataset(self.folder)

    @cached_property
    def behaviours(self) -> pa.Table:
        return table(self.dataset.behaviours())

    @cached_property
    def found(self) -> list[rows.Row]:
        return [rows.Row.of(row) for row in self.behaviours.to_pylist()]

    @cached_property
    def losses(self) -> dict[str, int]:
        """By cause, over all units; causes of which nothing was lost are left out."""
        total: dict[str, int] = {}
        for row in table(self.dataset.losses()).to_pylist():
            if row["count"]:
                total[row["cause"]] = total.get(row["cause"], 0) + row["count"]
        return total

    @cached_property
    def problems(self) -> list[rows.Problem]:
        return rows.compare(self.report, self.found)


def table(result: Any) -> pa.Table:
    """An Arrow table from what the reader returns: a table, or a DuckDB relation."""
    return result if isinstance(result, pa.Table) else result.arrow()


def record(argv: list[str], *, backend: str, folder: Path, base: Path, options: tuple[str, ...] = ()) -> Recording:
    """Record `argv`, which reports its rows; its work is in `base`. AssertionError with the log when it went wrong."""
    report = folder.with_suffix(".jsonl")
    command = [
        *(sys.executable, "-c", "from discover.cli import main; main()", "record"),
        *("-o", str(folder), "--backend", backend, "--no-inventory", *options, "--", *argv),
    ]
    environment = os.environ | {"REPORT": str(report), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    environment.pop("REPORT_FD", None)
    done = subprocess.run(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
    )
    log = (done.stdout + done.stderr).decode(errors="backslashreplace")
    assert done.returncode == 0, f"record ended with {done.returncode}:\n{log}"
    assert report.exists(), f"the program did not run:\n{log}"
    return Recording(backend, folder, base, rows.Report.read(report), log)
