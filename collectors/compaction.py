"""From a recording's segments to ``behaviours/``: one row a behaviour, one folder a unit, same content, same bytes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collectors.whole_files import placed, sync_folder
from models import dataset_layout as layout
from models.dataset import Recording
from models.dataset_compact import compacted_batches, connect

__all__ = ["compact", "write_partitions"]

_GROUP_ROWS = 131_072


def compact(path: Path, manifest: dict[str, Any]) -> None:
    """Write ``compacted/`` from all rows of a recording; it appears whole or not at all.

    Raises OSError, or duckdb.Error where spilling to disk failed; the recording is as before then.
    """
    work = path / ".compacting"
    shutil.rmtree(work, ignore_errors=True)
    spill = work / "spill"
    spill.mkdir(mode=0o700, parents=True)
    work.chmod(0o700)
    units = path / "units.parquet"
    try:
        connection = connect(spill)
        try:
            batches = compacted_batches(
                connection,
                segments=layout.segment_files(path),
                counts=layout.counts_files(path),
                behaviours=layout.behaviour_files(path),
                units=layout.read_part(units, "units") if units.exists() else None,
                workload=Recording(path, manifest).workload,
            )
            write_partitions(work, batches)
        finally:
            connection.close()
        shutil.rmtree(spill)
        sync_folder(work)
        work.rename(path / "compacted")
        sync_folder(path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def write_partitions(folder: Path, batches: Iterator[pa.RecordBatch]) -> None:
    """Write BEHAVIOURS rows that are ordered by unit as ``unit=…/part-0.parquet``, in row groups of one size."""
    schema = layout.stamped("behaviours")
    for unit, rows in itertools.groupby(_by_unit(batches), key=lambda part: part[0]):
        home = folder / f"unit={layout.encoded(unit)}"
        home.mkdir(mode=0o700)
        with placed(home / "part-0.parquet") as file, pq.ParquetWriter(file, schema, compression="zstd") as parquet:
            for group in _groups(table for _, table in rows):
                parquet.write_table(group.cast(schema))


def _by_unit(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    for batch in batches:
        table = pa.Table.from_batches([batch])
        units = table["unit"].cast(pa.string()).combine_chunks()
        ends = pc.run_end_encode(units)
        start = 0
        for end, name in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
            yield name, table.slice(start, end - start)
            start = end


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `_GROUP_ROWS`, with dictionaries in order of first use."""
    waiting: list[pa.Table] = []
    held = 0
    for table in tables:
        waiting.append(table)
        held += table.num_rows
        while held >= _GROUP_ROWS:
            whole = pa.concat_tables(waiting)
            yield _tidy(whole.slice(0, _GROUP_ROWS))
            waiting = [whole.slice(_GROUP_ROWS)]
            held -= _GROUP_ROWS
    if held:
        yield _tidy(pa.concat_tables(waiting))


def _tidy(table: pa.Table) -> pa.Table:
    plain = pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema])
    return table.cast(plain).combine_chunks().cast(table.schema)
