"""Questions to a dataset in SQL, which can read that dataset and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from discover.errors import UsageError
from models.dataset import Dataset

__all__ = ["confined", "query"]

_VIEWS = "the tables are behaviours, units, losses and inventory; docs/dataset.md has their columns"


def confined(dataset: Dataset) -> duckdb.DuckDBPyConnection:
    """A connection to the dataset's four tables that opens no other file, loads no extension and stays so."""
    connection = dataset.connect()
    files = [str(f) for r in dataset.recordings for f in r.behaviour_files()]
    connection.execute("SET allowed_paths = $files", {"files": files})
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET temp_directory = ''")  # nothing spills to a disk that others read
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def query(dataset: Dataset, sql: str, parameters: Sequence[object] = ()) -> pa.Table:
    """The answer to one SELECT over the views behaviours, units, losses and inventory.

    Raises `UsageError` for anything that is not one SELECT, and for what DuckDB refuses.
    """
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as e:
        raise UsageError(f"the SQL cannot be read: {_told(e)}", _VIEWS) from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError(
            "the SQL is not one SELECT", "nothing but one SELECT is run: a dataset is not changed by asking"
        )
    with confined(dataset) as connection:
        try:
            answer: pa.Table = connection.sql(sql, params=list(parameters)).to_arrow_table()
        except duckdb.Error as e:
            raise UsageError(f"the SQL cannot be answered: {_told(e)}", _VIEWS) from None
    return answer


def _told(error: duckdb.Error) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:2] if line.strip())
