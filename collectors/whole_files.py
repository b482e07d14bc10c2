"""Files that are whole or absent: written beside their place, synced, renamed into it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models import dataset_layout as layout

__all__ = ["placed", "sync_folder", "write_part"]


_INVENTORY: dict[str, Any] = {
    "compression_level": 19,
    "use_dictionary": ["workload", "image_digest", "object", "mode", "uid", "gid", "package"],
    "column_encoding": {"path": "DELTA_BYTE_ARRAY", "link_target": "DELTA_BYTE_ARRAY"},
}
"""Sorted paths as differences: a whole row of a machine's ``/usr`` is six bytes."""


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def placed(path: Path) -> Iterator[Any]:
    """A file to write to that appears at `path`, whole and on disk, only if all went well."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        temporary.rename(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_part(path: Path, kind: str, table: pa.Table, *, codec: str = "zstd") -> None:
    """Place a Parquet file of `kind` (see ``models.dataset_layout.KINDS``); the table's own metadata stays."""
    schema = layout.stamped(kind, table.schema.metadata)
    buffer = pa.BufferOutputStream()
    options: dict[str, Any] = _INVENTORY if kind == "inventory" else {}
    pq.write_table(table.cast(layout.KINDS[kind]).cast(schema), buffer, compression=codec, **options)
    with placed(path) as file:
        file.write(buffer.getvalue())
