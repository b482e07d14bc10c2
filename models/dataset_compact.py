"""From what a recorder appended to the rows that are read: counts joined, equal behaviours made one.

A key is unique to one record of the kernel; the same key twice is the same record read twice (after a restart), and
counts once. Different keys may say the same behaviour (a renamed directory above, a second mount): their counts add
up. `argv` and the peer of an accept are samples, the smallest of them, and make no difference between behaviours.
"""

# ruff: noqa: S608 - the names in the SQL are our own columns, and files that file_list() quotes
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import BEHAVIOURS, SEGMENT, UNITS

__all__ = ["compacted", "connect", "file_list"]

_OWN = ["path", "path_raw", "interpreter", "script", "address", "port"]
"""What nearly every behaviour has of its own; all other columns repeat and are numbered together, as shapes."""
_TALLY = ["argv", "count", "first_seen", "last_seen"]
_SHAPE = ["unit", "class", "op"]
_SHAPE += [n for n in SEGMENT.names if n not in {"key", *_SHAPE, *_OWN, *_TALLY}]
_GROUP_ROWS = 131_072
_IDENTITY = [name for name in BEHAVIOURS.names if name not in SEGMENT.names]


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
    twice = connection.execute(f"SELECT count(*) > count(DISTINCT key) FROM {scan}").fetchall()
    if twice[0][0]:
        once = ", ".join(f'first("{n}") AS "{n}"' for n in SEGMENT.names if n not in {"key", "count", "last_seen"})
        scan = f'(SELECT key, {once}, max("count") AS "count", max(last_seen) AS last_seen FROM {scan} GROUP BY key)'
    if not counts:
        return f'SELECT {kept}, "count", last_seen FROM {scan}'
    newest = f'SELECT key, max("count") AS counted, max(last_seen) AS seen FROM {_scan(counts)} GROUP BY key'
    return (
        f'SELECT {kept}, coalesce(counted, "count") AS "count", greatest(last_seen, seen) AS last_seen '
        f"FROM {scan} LEFT JOIN ({newest}) AS newest USING (key)"
    )


def _thin(rows: str) -> str:
    """SQL for one row a behaviour, ordered: the shape's number, and what is the behaviour's own."""
    same = " AND ".join(f's."{n}" IS NOT DISTINCT FROM e."{n}"' for n in _SHAPE)
    own = _columns(["path", "path_raw", "interpreter", "script"])
    return (
        f"SELECT shape, {own}, "
        "coalesce(address, peer) AS address, port, "
        'argv, "count", first_seen, last_seen FROM ('
        f"SELECT shape, {own}, "
        "CASE WHEN s.op = 'accept' THEN NULL ELSE e.address END AS address, "
        "e.port AS port, "
        "min(CASE WHEN s.op = 'accept' THEN e.address END) AS peer, "
        'min(argv) AS argv, sum("count")::UBIGINT AS "count", min(first_seen) AS first_seen, '
        f"max(last_seen) AS last_seen FROM ({rows}) AS e JOIN shapes AS s ON {same} "
        "GROUP BY 1, 2, 3, 4, 5, 6, 7) ORDER BY shape, path, path_raw, interpreter, script, address, port"
    )


def _shapes(connection: duckdb.DuckDBPyConnection, rows: str, units: pa.Table, workload: str) -> pa.Table:
    """Number the combinations of shape columns, in their order; all columns that a behaviour shares with others."""
    columns = _columns(_SHAPE)
    connection.sql(
        f"CREATE TEMP TABLE shapes AS SELECT {columns}, row_number() OVER (ORDER BY {columns}) - 1 AS shape "
        f"FROM (SELECT DISTINCT {columns} FROM ({rows}))"
    )
    known = units.select(["unit", *_IDENTITY])
    known = known.cast(pa.schema([(n, pa.string()) for n in known.schema.names]))
    connection.register("known_units", known)
    identity = ", ".join(f'coalesce(k."{n}", ?) AS "{n}"' if n == "workload" else f'k."{n}"' for n in _IDENTITY)
    shared = ", ".join(f's."{n}"' for n in _SHAPE)
    sql = f"SELECT {identity}, {shared} FROM shapes AS s LEFT JOIN known_units AS k ON k.unit = s.unit ORDER BY shape"
    return connection.sql(sql, params=[workload]).to_arrow_table()


def compacted(
    connection: duckdb.DuckDBPyConnection,
    *,
    segments: Sequence[Path] = (),
    counts: Sequence[Path] = (),
    behaviours: Sequence[Path] = (),
    units: pa.Table | None = None,
    workload: str = "",
) -> Iterator[tuple[str, pa.Table]]:
    """Each unit's BEHAVIOURS rows, in tables of 131,072 (the last one smaller), ordered by unit, class and op.

    `behaviours` are files of an earlier compaction, whose rows are added to those of `segments`. `units` gives the
    identity columns; a unit that it lacks gets `workload`. Same rows in, same tables out, however they were cut into
    files. The connection is one of `connect`, used for nothing else.
    """
    parts = []
    if segments:
        parts.append(_events(connection, segments, counts))
    if behaviours:
        names = _columns([n for n in SEGMENT.names if n not in {"key", "count", "last_seen"}])
        parts.append(f'SELECT {names}, "count", last_seen FROM {_scan(behaviours)}')
    if not parts:
        return
    rows = " UNION ALL ".join(f"({p})" for p in parts)
    shapes = _shapes(connection, rows, UNITS.empty_table() if units is None else units, workload)
    starts = pc.run_end_encode(shapes["unit"].combine_chunks())
    reader: Any = connection.sql(_thin(rows)).to_arrow_reader(_GROUP_ROWS)
    waiting = _Cutter(reader)
    for unit, end in zip(starts.values.to_pylist(), starts.run_ends.to_pylist(), strict=True):
        while (thin := waiting.take(end)).num_rows:
            yield unit, _whole(thin, shapes)


class _Cutter:
    """Cuts a stream of rows ordered by shape at the ends of units, and into groups of one size."""

    def __init__(self, reader: Iterable[pa.RecordBatch]) -> None:
        self._reader = iter(reader)
        self._held: pa.Table | None = None

    def take(self, end: int) -> pa.Table:
        """The next rows with a shape below `end`; none if there are no more."""
        while self._held is None or (self._held.num_rows < _GROUP_ROWS and self._held["shape"][-1].as_py() < end):
            batch = next(self._reader, None)
            if batch is None:
                break
            more = pa.Table.from_batches([batch])
            self._held = pa.concat_tables([self._held, more]) if self._held is not None else more
            if not self._held.num_rows:
                self._held = None
        if self._held is None:
            return pa.table({"shape": pa.array([], pa.int64())})
        first = self._held.slice(0, _GROUP_ROWS)
        below = int(np.searchsorted(first["shape"].to_numpy(), end))
        taken, self._held = self._held.slice(0, below), self._held.slice(below)
        if not self._held.num_rows:
            self._held = None
        return taken


def _whole(thin: pa.Table, shapes: pa.Table) -> pa.Table:
    """The rows with all their columns; dictionaries hold what these rows use."""
    used, index = np.unique(thin["shape"].to_numpy(), return_inverse=True)
    shared = shapes.take(pa.array(used)).combine_chunks()
    columns = []
    for field in BEHAVIOURS:
        if field.name in thin.schema.names:
            columns.append(thin[field.name].cast(field.type))
        else:
            columns.append(shared[field.name].cast(field.type).take(pa.array(index)))
    return pa.table(columns, schema=BEHAVIOURS).combine_chunks()
