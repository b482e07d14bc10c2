"""What the script reads from and adds to recordings that the recorder left: losses, notes, the merged dataset."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .plan import Unit
from .workload import WorkloadError

__all__ = ["annotate", "losses", "merge", "rows", "size"]


def losses(recording: Path) -> dict[str, int]:
    """What the recorder itself counted as lost: cause → events. A file that is not there means nothing was lost."""
    path = recording / "losses.parquet"
    if not path.exists():
        return {}
    found: dict[str, int] = {}
    for row in pq.read_table(path, columns=["cause", "count"]).to_pylist():
        found[row["cause"]] = found.get(row["cause"], 0) + int(row["count"])
    return {cause: count for cause, count in found.items() if count}


def rows(recording: Path) -> int:
    """How many behaviours a finished recording holds; raises `WorkloadError` if it was not finished."""
    parts = sorted((recording / "behaviours").rglob("*.parquet"))
    if not parts:
        raise WorkloadError(f"{recording} holds no behaviours; was its recorder killed?")
    return sum(pq.ParquetFile(part).metadata.num_rows for part in parts)


def annotate(recording: Path, unit: Unit, marked: Sequence[str] = ()) -> None:
    """Writes the unit's loads, drills and seed into the notes of `units.parquet`, and takes out the machine's cgroup.

    A command is recorded in the cgroup of whoever started it, which says nothing of the workload.

    `marked`: the drills that were the recorder's to do; raises `WorkloadError` if it did not do one of them.
    """
    path = recording / "units.parquet"
    table = pq.read_table(path, partitioning=None)
    done = {drill for drills in table.column("drills").to_pylist() for drill in drills or []}
    if undone := set(marked) - done:
        raise WorkloadError(f"{unit.name}: the recorder did not do the drill {', '.join(sorted(undone))}")
    field = table.schema.field("notes")
    new = [f"{note}, by hand" if note.startswith("drill: ") and not marked else note for note in unit.notes()]
    notes = [[*(old or []), *(note for note in new if note not in (old or []))] for old in table["notes"].to_pylist()]
    table = table.set_column(table.schema.get_field_index("notes"), field, pa.array(notes, field.type))
    place = table.schema.get_field_index("cgroup")
    table = table.set_column(place, table.schema.field(place), pa.nulls(table.num_rows, pa.string()))
    temporary = path.with_suffix(".tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.chmod(0o600)
    temporary.replace(path)


def merge(discover: Sequence[str], recordings: Sequence[Path], target: Path) -> None:
    """Joins recordings into one dataset at `target`, replacing what stood there only once the new one is whole."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [*discover, "datasets", "merge", "-o", str(fresh), *map(str, recordings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkloadError(f"discover datasets merge: exit code {done.returncode}: {done.stderr.strip()[-600:]}")
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def size(dataset: Path) -> int:
    """Bytes of all files of a dataset."""
    return sum(path.stat().st_size for path in dataset.rglob("*") if path.is_file())
