"""The evidence of many workloads, one at a time: the rows stay on disk, and DuckDB aggregates them once.

`models.evidence.gather` holds every row in memory, which is right for one workload and for looking at units. The
recordings of a cluster are tens of millions of rows: here one query makes the distinct rows of all workloads (the same
as `models.accesses.distinct`, which a test holds it to), and each workload's slice follows from that table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace

import duckdb
import pyarrow as pa

from models.accesses import BEFORE_THE_HOOK, KEY, NEVER_A_SOCKET
from models.behaviour import BEHAVIOURS
from models.dataset import Dataset
from models.evidence import WORKLOAD, Evidence, described

__all__ = ["Stream", "stream"]

_MEMORY = "1200MB"
"""What DuckDB may hold before it spills: the whole stays under 2 GB with the learner's processes."""


class Stream:
    """The workloads of a dataset, in the order of their names."""

    def __init__(self, dataset: Dataset, *, memory: str = _MEMORY) -> None:
        self._connection = dataset.connect()
        # a folder of its own: DuckDB's default is the working directory, where a killed run would leave it
        self._spill = tempfile.TemporaryDirectory(prefix="discover-")
        self._connection.execute("SET temp_directory = ?", [self._spill.name])
        self._connection.execute(f"SET memory_limit = '{memory}'")
        self._connection.execute("SET preserve_insertion_order = false")
        self._connection.execute(_NUMBERED)
        self._connection.execute(f"CREATE TEMP TABLE distinct_rows AS {_SQL} ORDER BY owner")
        self._described = described(dataset, _whose(self._connection))
        self._units = self._connection.execute("SELECT number, unit FROM unit_numbers").fetchall()

    def __iter__(self) -> Iterator[Evidence]:
        """The evidence of each workload, aggregated over its units."""
        owners = {tuple(row[1:]): row[0] for row in self._connection.execute("SELECT * FROM owners").fetchall()}
        names = pa.array([unit for _, unit in sorted(self._units)], pa.string())
        for key, evidence in self._described:
            rows = _text(self._connection.sql(_OF_ONE, params=[owners.get(key, -1)]).to_arrow_table())
            yield replace(evidence, aggregated=_named(rows, names))

    def __len__(self) -> int:
        return len(self._described)

    def rows_of(self, evidence: Evidence) -> Evidence:
        """The same workload with all its rows, for where units have to be told apart."""
        key = next(k for k, e in self._described if e.workload == evidence.workload)
        columns = ", ".join(f'"{n}"' for n in BEHAVIOURS.names)
        where = " AND ".join(f"coalesce({name}, '') = ?" for name in WORKLOAD)
        query = f"SELECT {columns} FROM behaviours WHERE {where}"  # noqa: S608 - names of this project
        rows = self._connection.sql(query, params=list(key))
        return replace(evidence, behaviours=rows.to_arrow_table().cast(BEHAVIOURS), aggregated=None)

    def close(self) -> None:
        """Let go of the tables."""
        self._connection.close()
        self._spill.cleanup()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stream(dataset: Dataset, *, memory: str = _MEMORY) -> Stream:
    """Aggregate a dataset; `memory` is DuckDB's limit, past which it spills to disk.

    Raises what `open_dataset` raises for damaged files.
    """
    return Stream(dataset, memory=memory)


_PARENT = "CASE WHEN class = 'exec' THEN parent_exe END AS parent_exe"
_COLUMNS = ", ".join(_PARENT if n == "parent_exe" else n for n in KEY)
_NUMBERS = ", ".join(map(str, BEFORE_THE_HOOK))
_SOCKETS = ", ".join(map(str, NEVER_A_SOCKET))
_OWNERS = ", ".join(f"coalesce({name}, '') AS {name}" for name in WORKLOAD)
_SAME = " AND ".join(f"coalesce(b.{name}, '') = o.{name}" for name in WORKLOAD)
_NUMBERED = f"""
CREATE TEMP TABLE owners AS
SELECT row_number() OVER () AS owner, * FROM (SELECT DISTINCT {_OWNERS} FROM behaviours);
CREATE TEMP TABLE unit_numbers AS
SELECT (row_number() OVER (ORDER BY unit) - 1)::UINTEGER AS number, unit FROM (SELECT DISTINCT unit FROM behaviours)
"""  # noqa: S608 - made of names of this project
_SQL = f"""
SELECT o.owner, {_COLUMNS}, phase, list(u.number) AS units, sum("count")::UBIGINT AS "count",
    min(epoch_us(first_seen)) AS first, max(epoch_us(last_seen)) AS last
FROM behaviours b JOIN owners o ON {_SAME} JOIN unit_numbers u ON b.unit = u.unit
WHERE errno = 0 OR (class = 'socket' AND errno NOT IN ({_SOCKETS}))
    OR (class NOT IN ('socket', 'capability') AND errno NOT IN ({_NUMBERS}))
GROUP BY ALL
"""  # noqa: S608 - made of names and numbers of this project
_OF_ONE = f"""SELECT {", ".join(KEY)}, phase, units, "count", first, last FROM distinct_rows WHERE owner = ?"""  # noqa: S608


def _whose(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    found = connection.execute(f"SELECT {', '.join(WORKLOAD)} FROM owners").fetchall()  # noqa: S608
    return [tuple(map(str, row)) for row in found]


def _named(rows: pa.Table, names: pa.Array) -> pa.Table:
    """Unit numbers as names."""
    units = pa.concat_arrays(rows["units"].chunks) if rows.num_rows else pa.array([], pa.list_(pa.uint32()))
    values = pa.DictionaryArray.from_arrays(units.values.cast(pa.int32()), names)
    named = pa.ListArray.from_arrays(units.offsets, values)
    return rows.set_column(rows.schema.get_field_index("units"), "units", named)


def _text(table: pa.Table) -> pa.Table:
    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))
