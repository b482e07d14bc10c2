"""From a recording's segments to ``behaviours/``: one row a behaviour, one folder a unit, same content, same bytes."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.whole_files import placed, sync_folder
from models import dataset_layout as layout
from models.dataset import Recording
from models.dataset_compact import compacted, connect

__all__ = ["compact", "placed_folder", "write_partitions"]


@contextlib.contextmanager
def placed_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes the recording's ``compacted/`` if all went well, and is gone if not."""
    work = path / ".compacting"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        yield work
        sync_folder(work)
        work.rename(path / "compacted")
        sync_folder(path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def compact(path: Path, manifest: dict[str, Any]) -> None:
    """Write ``compacted/`` from all rows of a recording; it appears whole or not at all.

    Raises OSError, or duckdb.Error where spilling to disk failed; the recording is as before then.
    """
    units = path / "units.parquet"
    with placed_folder(path) as work:
        spill = work / "spill"
        spill.mkdir(mode=0o700)
        connection = connect(spill)
        try:
            tables = compacted(
                connection,
                segments=layout.segment_files(path),
                counts=layout.counts_files(path),
                behaviours=layout.behaviour_files(path),
                units=layout.read_part(units, "units") if units.exists() else None,
                workload=Recording(path, manifest).workload,
            )
            write_partitions(work, tables)
        finally:
            connection.close()
        shutil.rmtree(spill, ignore_errors=True)


def write_partitions(folder: Path, tables: Iterable[tuple[str, pa.Table]]) -> None:
    """Write BEHAVIOURS tables, those of a unit one after the other, as ``unit=…/part-0.parquet``; each a row group."""
    schema = layout.stamped("behaviours")
    for unit, parts in itertools.groupby(tables, key=lambda part: part[0]):
        home = folder / f"unit={layout.encoded(unit)}"
        home.mkdir(mode=0o700)
        with placed(home / "part-0.parquet") as file, pq.ParquetWriter(file, schema, compression="zstd") as parquet:
            for _, table in parts:
                parquet.write_table(table.cast(schema))
