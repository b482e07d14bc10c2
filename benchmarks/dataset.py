"""What a measure reads from a recording: plain Parquet, so that a fault of the recorder's reader cannot hide one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.workloads import recordings

from .observers import ObserverError

__all__ = ["lost", "opened_below", "streamed"]


def opened_below(recording: Path, folder: Path) -> tuple[set[str], int]:
    """The distinct paths below `folder` that were opened, and how often in all, as the finished recording has it."""
    parts = sorted((recording / "behaviours").rglob("*.parquet"))
    if not parts:
        raise ObserverError(f"{recording} holds no behaviours")
    wanted = ["op", "path", "errno", "count"]
    table = pa.concat_tables([pq.read_table(part, columns=wanted, partitioning=None) for part in parts])
    inside = pc.and_(
        pc.and_(pc.equal(table["op"].cast(pa.string()), "open"), pc.equal(table["errno"], 0)),
        pc.starts_with(table["path"], f"{folder}/"),
    )
    found = table.filter(inside)
    return set(found["path"].to_pylist()), int(pc.sum(found["count"]).as_py() or 0)


def streamed(recording: Path) -> int:
    """Events in the stream that ``--raw`` leaves: the files with nothing but a key and a time."""
    files = (pq.ParquetFile(path) for path in (recording / "raw").glob("*.parquet"))
    return sum(file.metadata.num_rows for file in files if set(file.schema_arrow.names) == {"key", "when"})


def lost(recording: Path) -> int:
    """Events that the recording counts as lost, all causes together."""
    return sum(recordings.losses(recording).values())
