"""Reading recordings: one, or several as if they were one.

    dataset = open_dataset("recordings/nginx")
    dataset.behaviours()            # a pyarrow Table with the columns of models.behaviour.BEHAVIOURS
    dataset.connect().sql("SELECT op, sum(count) FROM behaviours GROUP BY op")

A recording that was killed, or that still runs, reads like any other; its `status` tells.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from models import dataset_layout as layout
from models.behaviour import BEHAVIOURS, INVENTORY, LOSSES, UNITS, Class
from models.dataset_compact import compacted, connect, file_list
from models.dataset_layout import DamagedFile, DatasetError, ForeignFile, NoDataset, OtherSchema

__all__ = [
    "DamagedFile",
    "Dataset",
    "DatasetError",
    "ForeignFile",
    "NoDataset",
    "OtherSchema",
    "Recording",
    "find_recordings",
    "open_dataset",
    "renamed",
    "watched_in",
]


@dataclass(frozen=True)
class Recording:
    """One recording's directory and manifest."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Recording:
        """The recording in a directory. Raises `NoDataset`, `OtherSchema` or `DamagedFile`."""
        return cls(path, layout.read_manifest(path))

    @property
    def id(self) -> str:
        """The recording's own id, which a copy keeps."""
        return str(self.manifest.get("id") or self.path.name)

    @property
    def status(self) -> str:
        """``recording`` while a recorder writes to it, ``complete``, or ``interrupted``: its end was not planned."""
        status = str(self.manifest.get("status"))
        if status != "recording":
            return status
        return "recording" if layout.is_live(self.path) else "interrupted"

    @property
    def workload(self) -> str:
        """The name of what was recorded, where no unit says it."""
        target = self.manifest.get("target")
        if isinstance(target, dict):
            target = target.get("workload") or target.get("name")
        return target if isinstance(target, str) and target else "(unknown)"

    @property
    def unfinished(self) -> bool:
        """Whether rows wait in segments for `finish`."""
        return not self._moved and bool(layout.segment_files(self.path))

    @property
    def _moved(self) -> Path | None:
        """What `finish` has written whole but not yet put in its place."""
        moved = self.path / "compacted"
        return moved if moved.is_dir() else None

    def behaviour_files(self) -> list[Path]:
        """Files of the ``behaviours`` kind; those of an `unfinished` recording are not all."""
        if moved := self._moved:
            return sorted(moved.glob("unit=*/part-*.parquet"))
        return layout.behaviour_files(self.path)

    def behaviours(self) -> pa.Table:
        """All behaviours, those that still lie in segments included."""
        files = self.behaviour_files()
        if not self.unfinished:
            return _concatenated((layout.read_part(f, "behaviours") for f in files), BEHAVIOURS)
        segments, counts = layout.segment_files(self.path), layout.counts_files(self.path)
        for kind, paths in (("segment", segments), ("counts", counts), ("behaviours", files)):
            for path in paths:
                layout.check_file(path, kind).close()
        with tempfile.TemporaryDirectory(prefix="discover-") as spill:
            connection = connect(Path(spill))
            try:
                tables = compacted(
                    connection,
                    segments=segments,
                    counts=counts,
                    behaviours=files,
                    units=self.units(),
                    workload=self.workload,
                )
                return _concatenated((table for _, table in tables), BEHAVIOURS)
            except duckdb.Error as e:
                hint = "restore its files from a backup, or record again"
                raise DamagedFile(f"{self.path} cannot be read: {str(e).splitlines()[0]}", hint, self.path) from e
            finally:
                connection.close()

    def units(self) -> pa.Table:
        """The UNITS rows."""
        return self._optional("units.parquet", "units", UNITS)

    def losses(self) -> pa.Table:
        """The LOSSES rows."""
        return self._optional("losses.parquet", "losses", LOSSES)

    def inventories(self) -> dict[object, pa.Table]:
        """The INVENTORY rows by workload and image digest."""
        tables = [t for f in layout.inventory_files(self.path) if (t := layout.read_part(f, "inventory")).num_rows]
        return {(t["workload"][0].as_py(), t["image_digest"][0].as_py()): t for t in tables}

    def _optional(self, name: str, kind: str, schema: pa.Schema) -> pa.Table:
        path = self.path / name
        return layout.read_part(path, kind).cast(schema) if path.exists() else schema.empty_table()

    def size(self) -> int:
        """Bytes of all its files."""
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())


def _concatenated(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    kept = [t.replace_schema_metadata(None) for t in tables if t.num_rows]
    return pa.concat_tables(kept).unify_dictionaries() if kept else schema.empty_table()


def watched_in(manifests: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """For each class its `state`, ``watched`` or ``unwatched``, and a `note`: watched is what every recording watched.

    A class that a manifest does not name is unwatched: absence closes nothing.
    """
    answer: dict[str, dict[str, str]] = {}
    for name in map(str, Class):
        states = [(m.get("watched") or {}).get(name) for m in manifests]
        blind = [s for s in states if not isinstance(s, dict) or s.get("state") != "watched"]
        told = blind or states
        notes = {str(s["note"]) for s in told if isinstance(s, dict) and s.get("note")}
        answer[name] = {"state": "unwatched" if blind or not states else "watched", "note": "; ".join(sorted(notes))}
    return answer


class Dataset:
    """Several recordings read as one; made by `open_dataset`.

    Units keep their names; a name that two recordings use becomes ``NAME@RECORDING-ID`` in both.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = tuple(recordings)

    @property
    def manifests(self) -> list[dict[str, Any]]:
        """The manifest of each recording."""
        return [r.manifest for r in self.recordings]

    @property
    def watched(self) -> dict[str, dict[str, str]]:
        """What the back ends could see, by class: see `watched_in`."""
        return watched_in(self.manifests)

    @cached_property
    def _ambiguous(self) -> frozenset[str]:
        if len(self.recordings) == 1:
            return frozenset()
        names = Counter(n for r in self.recordings for n in set(r.units()["unit"].to_pylist()))
        return frozenset(n for n, times in names.items() if times > 1)

    def new_names(self, recording: Recording) -> dict[str, str]:
        """The names here of units that another recording has too, by their names in `recording`."""
        return {name: f"{name}@{recording.id}" for name in self._ambiguous}

    def _renamed(self, recording: Recording, table: pa.Table) -> pa.Table:
        return renamed(table, self.new_names(recording))

    def behaviours(self) -> pa.Table:
        """One row a distinct behaviour of a unit; columns of `models.behaviour.BEHAVIOURS`. All in memory."""
        return _concatenated((self._renamed(r, r.behaviours()) for r in self.recordings), BEHAVIOURS)

    def units(self) -> pa.Table:
        """One row a unit; columns of `models.behaviour.UNITS`."""
        return _concatenated((self._renamed(r, r.units()) for r in self.recordings), UNITS)

    def losses(self) -> pa.Table:
        """What was lost by unit and cause; columns of `models.behaviour.LOSSES`."""
        return _concatenated((self._renamed(r, r.losses()) for r in self.recordings), LOSSES)

    def inventory(self) -> pa.Table:
        """The files that exist; columns of `models.behaviour.INVENTORY`. Of one image, the inventory taken last."""
        newest: dict[object, pa.Table] = {}
        for recording in sorted(self.recordings, key=lambda r: str(r.manifest.get("started"))):
            newest.update(recording.inventories())
        return _concatenated(newest.values(), INVENTORY)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB with the tables behaviours, units, losses and inventory; finished recordings are read from disk.

        Every file is checked first (the errors of `open_dataset`). The connection is the caller's to close.
        """
        connection = duckdb.connect(config={"python_enable_replacements": False})
        files = [f for r in self.recordings for f in r.behaviour_files()]
        if files and not self._ambiguous and not any(r.unfinished for r in self.recordings):
            for path in files:
                layout.check_file(path, "behaviours").close()
            columns = ", ".join(f'"{n}"' for n in BEHAVIOURS.names)
            scan = f"read_parquet({file_list(files)}, hive_partitioning = false)"
            connection.execute(f"CREATE VIEW behaviours AS SELECT {columns} FROM {scan}")  # noqa: S608 - quoted
        else:
            _register(connection, "behaviours", self.behaviours())
        _register(connection, "units", self.units())
        _register(connection, "losses", self.losses())
        _register(connection, "inventory", self.inventory())
        return connection


def renamed(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """The table with other names for some units."""
    if not names or not table.num_rows:
        return table
    at = table.schema.get_field_index("unit")
    column = table["unit"]
    if pa.types.is_dictionary(column.type):
        chunk = column.unify_dictionaries().combine_chunks()
        chunk = chunk.chunk(0) if isinstance(chunk, pa.ChunkedArray) else chunk
        values = pa.array([names.get(n, n) for n in chunk.dictionary.to_pylist()], pa.string())
        changed: pa.Array = pa.DictionaryArray.from_arrays(chunk.indices, values)
    else:
        changed = pa.array([names.get(n, n) for n in column.to_pylist()], pa.string())
    return table.set_column(at, table.schema.field(at), changed)


def _register(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """As strings, not dictionaries: an enum of one column compares with no other's."""
    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    connection.register(name, table.cast(pa.schema(fields)))


def find_recordings(path: Path) -> list[Path]:
    """The recording at `path`, or all in the folders below it, ordered by name; nothing is looked for inside one."""
    if layout.is_recording(path):
        return [path]
    found: list[Path] = []
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        if layout.is_recording(folder):
            found.append(folder)
            continue
        try:
            waiting += [f for f in folder.iterdir() if f.is_dir() and not f.is_symlink()]
        except PermissionError as e:
            raise DatasetError(f"cannot read {folder}: {e.strerror}", "use sudo, or name another folder", folder) from e
    return sorted(found)


def open_dataset(where: str | Path | Iterable[str | Path]) -> Dataset:
    """Open a recording, a folder of recordings, or several of either.

    Raises `NoDataset` where there is none, `OtherSchema`, `DamagedFile` or `ForeignFile` for what is wrong with one.
    """
    places = [Path(where)] if isinstance(where, str | Path) else [Path(w) for w in where]
    recordings: dict[Path, Recording] = {}
    for place in places:
        found = _found(place)
        for path in found:
            recordings.setdefault(path.resolve(), Recording.open(path))
    if not recordings:
        raise NoDataset("no recording was named", "name the folder of a recording")
    return Dataset(list(recordings.values()))


def _found(place: Path) -> list[Path]:
    try:
        kind_is_folder = place.is_dir()
        exists = kind_is_folder or place.exists()
    except OSError as e:
        raise DatasetError(f"cannot read {place}: {e.strerror}", "use sudo, or name another folder", place) from e
    if not exists:
        raise NoDataset(f"{place} does not exist", "`discover datasets list DIR` shows what there is", place)
    if not kind_is_folder:
        if place.name == layout.MANIFEST:
            return [place.parent]
        raise NoDataset(f"{place} is a file", "name the folder of the recording (it holds recording.json)", place)
    if found := find_recordings(place):
        return found
    if strangers := sorted(place.rglob("*.parquet"))[:1]:
        raise ForeignFile(
            f"{place} holds Parquet files ({strangers[0].name}), but no recording.json",
            "name the folder of a recording that discover wrote",
            place,
        )
    raise NoDataset(f"no recording in {place}", "record one with `discover record -o DIR -- COMMAND`", place)
