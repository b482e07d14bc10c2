"""From what a recorder appended to the rows that are read: counts joined, equal behaviours made one.

A key is unique to one record of the kernel; the same key twice is the same record read twice (after a restart), and
counts once. Different keys may say the same behaviour (a renamed directory above, a second mount): their counts add
up. `argv` and the peer of an accept are samples, the smallest of them, and make no difference between behaviours.
"""

# ruff: noqa: S608 - the names in the SQL are our own columns, and files that file_list() quotes
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from models.behaviour import BEHAVIOURS, SEGMENT, UNITS

__all__ = ["compacted_batches", "connect", "file_list"]

_KEY_COLUMNS = [
    name
    for name in SEGMENT.names
    if name not in {"key", "argv", "count", "first_seen", "last_seen", "address", "port", "class", "unit"}
]
_IDENTITY = [name for name in BEHAVIOURS.names if name not in SEGMENT.names]
_ORDER = ["unit", "class", "op", "path", *[c for c in _KEY_COLUMNS if c not in {"op", "path"}], "address", "port"]


def connect(spill: Path, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own that keeps to `memory` and puts what does not fit into `spill`."""
    return duckdb.connect(
        config={
            "memory_limit": memory,
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )


def file_list(files: Sequence[Path]) -> str:
    """A DuckDB list literal of file names, taken literally: no name is a pattern."""
    return "[" + ", ".join(_quoted(_literal_glob(str(f))) for f in files) + "]"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal_glob(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


def _scan(files: Sequence[Path]) -> str:
    return f"read_parquet({file_list(files)}, hive_partitioning = false)"


def _events(connection: duckdb.DuckDBPyConnection, segments: Sequence[Path], counts: Sequence[Path]) -> str:
    """SQL for the segments' rows with each key once and its count."""
    kept = _columns([n for n in SEGMENT.names if n not in {"key", "count", "last_seen"}])
    scan = _scan(segments)
    row = connection.execute(f"SELECT count(*) > count(DISTINCT key) FROM {scan}").fetchone()
    if row and row[0]:
        once = ", ".join(f'first("{n}") AS "{n}"' for n in SEGMENT.names if n not in {"key", "count", "last_seen"})
        scan = f'(SELECT key, {once}, max("count") AS "count", max(last_seen) AS last_seen FROM {scan} GROUP BY key)'
    if not counts:
        return f'SELECT {kept}, "count", last_seen FROM {scan}'
    newest = f'SELECT key, max("count") AS counted, max(last_seen) AS seen FROM {_scan(counts)} GROUP BY key'
    return (
        f'SELECT {kept}, coalesce(counted, "count") AS "count", greatest(last_seen, seen) AS last_seen '
        f"FROM {scan} LEFT JOIN ({newest}) AS newest USING (key)"
    )


def _grouped(rows: str) -> str:
    """SQL that makes one row of all that are the same behaviour."""
    keys = _columns(["unit", "class", *_KEY_COLUMNS])
    accepted = "op = 'accept'"
    return (
        f"SELECT {keys}, coalesce(own_address, sample.address) AS address, coalesce(own_port, sample.port) AS port, "
        'argv, "count", first_seen, last_seen FROM ('
        f"SELECT {keys}, "
        f"CASE WHEN {accepted} THEN NULL ELSE address END AS own_address, "
        f"CASE WHEN {accepted} THEN NULL ELSE port END AS own_port, "
        f"min(CASE WHEN {accepted} THEN {{'address': address, 'port': port}} END) AS sample, "
        'min(argv) AS argv, sum("count")::UBIGINT AS "count", min(first_seen) AS first_seen, '
        f"max(last_seen) AS last_seen FROM ({rows}) GROUP BY {keys}, own_address, own_port)"
    )


def compacted_batches(
    connection: duckdb.DuckDBPyConnection,
    *,
    segments: Sequence[Path] = (),
    counts: Sequence[Path] = (),
    behaviours: Sequence[Path] = (),
    units: pa.Table | None = None,
    workload: str = "",
    batch_rows: int = 131_072,
) -> Iterator[pa.RecordBatch]:
    """Batches of the BEHAVIOURS schema, ordered by unit and then by all other columns.

    `behaviours` are files of an earlier compaction, whose rows are added to those of `segments`. `units` gives the
    identity columns; a unit that it lacks gets `workload`.
    Same files, same rows in the same order, however they were cut into segments.
    """
    parts = []
    if segments:
        parts.append(_events(connection, segments, counts))
    if behaviours:
        names = _columns([n for n in SEGMENT.names if n not in {"key", "count", "last_seen"}])
        parts.append(f'SELECT {names}, "count", last_seen FROM {_scan(behaviours)}')
    if not parts:
        return
    rows = _grouped(" UNION ALL ".join(f"({p})" for p in parts))
    known = (units if units is not None else UNITS.empty_table()).select(["unit", *_IDENTITY])
    plain = pa.schema([(n, pa.string()) for n in known.schema.names])
    connection.register("known_units", known.cast(plain))
    identity = ", ".join(f'coalesce(k."{n}", $workload) AS "{n}"' if n == "workload" else f'k."{n}"' for n in _IDENTITY)
    own = ", ".join(f'b."{n}"' for n in BEHAVIOURS.names if n not in _IDENTITY)
    order = ", ".join(f'b."{n}"' for n in [*_ORDER, "argv", "first_seen", "last_seen"])
    sql = f"SELECT {identity}, {own} FROM ({rows}) AS b LEFT JOIN known_units AS k ON k.unit = b.unit ORDER BY {order}"
    reader: Any = connection.execute(sql, {"workload": workload}).to_arrow_reader(batch_rows)
    for batch in reader:
        yield pa.Table.from_batches([batch]).select(BEHAVIOURS.names).cast(BEHAVIOURS).combine_chunks().to_batches()[0]
