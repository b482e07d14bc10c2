"""The evidence of many workloads, one at a time: the rows stay on disk until those of a workload are asked for.

`models.evidence.gather` holds every row in memory, which is right for one workload and for looking at units. The
recordings of a cluster are tens of millions of rows: here the files' footers say which of them hold a workload, and
its evidence reads those files alone, in whatever process it is learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models import dataset_layout as layout
from models.dataset import Dataset, renamed
from models.distinct import COLUMNS, Coded, Sorted
from models.evidence import WORKLOAD, Evidence, described

__all__ = ["Stored", "stored"]

_TEXTS = ["path", "script"]
"""Columns that the files hold as texts, and that are read as numbers of texts."""
Identity = tuple[str, ...]
"""What the columns `WORKLOAD` say, and the unit."""


@dataclass(frozen=True)
class _Part:
    """A file of a recording that is finished, or the rows of one that is not."""

    file: Path | None
    table: pa.Table | None = field(repr=False)
    new_names: Mapping[str, str]
    """Of units whose names two recordings use."""

    def read(self, columns: Iterable[str]) -> pa.Table:
        """Some columns of its rows."""
        table = self.table.select(list(columns)) if self.table is not None else _columns(self.file, columns)
        return renamed(table, self.new_names)


@dataclass(frozen=True)
class Stored:
    """The rows of one workload, where they are."""

    parts: Sequence[_Part]
    owner: Identity
    mixed: frozenset[int]
    """The numbers of the parts that have rows of other workloads too."""

    def read(self) -> Iterator[pa.Table]:
        """Read them, part by part. Raises what `open_dataset` raises for damaged files."""
        for number, part in enumerate(self.parts):
            if number not in self.mixed:
                yield part.read(COLUMNS)
                continue
            table = part.read((*COLUMNS, *WORKLOAD))
            theirs = None
            for name, value in zip(WORKLOAD, self.owner, strict=True):
                found = Coded.of(table[name]).where(*((value,) if value else ("", None)))
                theirs = found if theirs is None else theirs & found
            yield table.select(COLUMNS).filter(pa.array(theirs))


def stored(dataset: Dataset) -> list[tuple[Evidence, int]]:
    """The evidence of each workload in a dataset and how many rows its files have, ordered by workload.

    Raises what `open_dataset` raises for damaged files.
    """
    parts = list(_parts(dataset))
    holding: dict[Identity, list[tuple[_Part, int, bool]]] = {}
    units: dict[Identity, set[str]] = {}
    for part in parts:
        identities, rows = _identities(part)
        owners = {identity[:-1] for identity in identities}
        for owner in owners:
            holding.setdefault(owner, []).append((part, rows, len(owners) > 1))
        for identity in identities:
            units.setdefault(identity[:-1], set()).add(identity[-1])
    answer = []
    for owner, evidence in described(dataset, list(holding)):
        held = holding.get(owner, [])
        mixed = frozenset(number for number, (_, _, several) in enumerate(held) if several)
        rows_of_it = Stored([part for part, _, _ in held], owner, mixed)
        names = tuple(sorted({*evidence.units, *units.get(owner, ())}))
        answer.append((replace(evidence, units=names, stored=rows_of_it), sum(rows for _, rows, _ in held)))
    return answer


def _parts(dataset: Dataset) -> Iterator[_Part]:
    for recording in dataset.recordings:
        names = dataset.new_names(recording)
        if recording.unfinished:
            yield _Part(None, recording.behaviours(), names)
        else:
            yield from (_Part(file, None, names) for file in recording.behaviour_files())


def _columns(file: Path | None, columns: Iterable[str]) -> pa.Table:
    assert file is not None  # noqa: S101 - a part is a file or a table
    try:
        # that the file is whole and ours was seen when its footer was read
        with pq.ParquetFile(file, read_dictionary=_TEXTS) as opened:
            return opened.read(list(columns))
    except (pa.ArrowException, OSError) as e:
        raise layout.damaged(file, e) from e


def _identities(part: _Part) -> tuple[set[Identity], int]:
    """Whose rows a part has, and how many they are: from the footer where it says so, else from the rows."""
    names = (*WORKLOAD, "unit")
    told: dict[str, str] = {}
    if part.file is not None:
        with layout.check_file(part.file, "behaviours") as opened:
            told = _constant(opened.metadata, names)
            rows = opened.metadata.num_rows
    varying = [n for n in names if n not in told or (n == "unit" and part.new_names)]
    if not varying:
        return {tuple(told[n] for n in names)}, rows
    table = part.read(varying)
    columns = [Coded.of(table[n]) for n in varying]
    first = Sorted(columns, table.num_rows).first
    found = [
        dict(zip(varying, one, strict=True)) for one in zip(*(c.taken(first).column() for c in columns), strict=True)
    ]
    return {tuple((told | one)[n] or "" for n in names) for one in found}, table.num_rows


def _constant(metadata: Any, names: Sequence[str]) -> dict[str, str]:
    """Those of some columns that have one value in every row of a file, with the value, empty for null."""
    if not metadata.num_rows:
        return {}
    first = metadata.row_group(0)
    place = {first.column(n).path_in_schema: n for n in range(first.num_columns)}
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    answer: dict[str, str] = {}
    for name in names:
        values: set[str | None] = set()
        for group in groups:
            told = group.column(place[name]).statistics
            if told is None or not told.has_null_count:
                values |= {None, ""}
            elif told.null_count == group.num_rows:
                values.add("")
            elif told.null_count == 0 and told.has_min_max:
                values |= {told.min, told.max}
            else:
                values |= {None, ""}
        if len(values) == 1:
            answer[name] = str(values.pop())
    return answer
