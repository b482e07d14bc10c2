"""The distinct rows of a workload: one a behaviour and phase, whatever the unit. All that the learner needs.

A recording has a row a behaviour and unit, so that what twenty replicas do alike stands there twenty times. `distinct`
makes one row of them, with the units as bits. Everything is done on columns, with numbers in place of texts: Python
sees no row.

Several tables are read one after the other, and what was read is made distinct in between: no more than a part of a
large recording has to be in memory.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.behaviour import BEHAVIOURS, Class

__all__ = [
    "BEFORE_THE_HOOK",
    "COLUMNS",
    "KEY",
    "NEVER_A_SOCKET",
    "Coded",
    "Distinct",
    "Sorted",
    "distinct",
    "integers",
    "sets_of",
]

BEFORE_THE_HOOK = (
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EXDEV,
    errno.EROFS,
    errno.ETXTBSY,
    errno.EBADF,
    errno.EFAULT,
    errno.EINVAL,
    errno.EACCES,
    errno.EPERM,
    errno.ENXIO,
    errno.ENOEXEC,
)
"""Errors of file operations and execs that the kernel finds before it asks a security module (fs/namei.c, fs/open.c:
look-up, ``may_open``, ``mnt_want_write``), or that deny by themselves (EACCES, EPERM): a rule would change nothing."""
NEVER_A_SOCKET = (errno.EACCES, errno.EPERM, errno.EBADF)
"""Errors of socket calls that need no rule: refused anyway, or no socket at all. Every other call was judged first."""
KEY = (
    "class",
    "op",
    "access",
    "path",
    "path_raw",
    "exe",
    "parent_exe",
    "owner_match",
    "object",
    "fs",
    "script",
    "family",
    "type",
    "protocol",
    "capability",
)
"""What makes two rows the same access; the parent counts for an exec alone."""
COLUMNS = (*KEY, "phase", "unit", "errno", "count", "first_seen", "last_seen")
"""What is read of `models.behaviour.BEHAVIOURS`."""
_FOLD = 2_000_000
"""Rows from which those read so far are made distinct before more are read: memory stays bounded."""
_WORD = 64
_MOST = 1 << 62
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
"""Sets as bits, one a row: the first 64 in the first column, and so on."""


class Coded:
    """A column as numbers: row `n` has ``values[codes[n]]``."""

    __slots__ = ("codes", "values")

    def __init__(self, codes: Numbers, values: list[Any]) -> None:
        self.codes = codes
        self.values = values

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Coded:
        """A column of Arrow's."""
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        if encoded.num_chunks != 1:
            encoded = encoded.unify_dictionaries().combine_chunks()
        array = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
        values = array.dictionary.to_pylist()
        codes = array.indices
        if codes.null_count:
            codes = codes.fill_null(len(values))
            values.append(None)
        return cls(codes.to_numpy().astype(np.int64), values)

    @classmethod
    def joined(cls, parts: Sequence[Coded]) -> Coded:
        """Columns one below the other."""
        numbers: dict[Any, int] = {}
        codes = []
        for part in parts:
            anew = [numbers.setdefault(value, len(numbers)) for value in part.values]
            codes.append(np.asarray(anew, np.int64)[part.codes])
        return cls(np.concatenate(codes), list(numbers))

    def taken(self, rows: Any) -> Coded:
        """Some of the rows."""
        return Coded(self.codes[rows], self.values)

    def where(self, *wanted: object) -> Flags:
        """The rows that have one of the values."""
        return np.fromiter((v in wanted for v in self.values), bool, len(self.values))[self.codes]

    def column(self) -> list[Any]:
        """The values, row by row."""
        values = self.values
        return [values[code] for code in self.codes.tolist()]

    def bits(self) -> Words:
        """The numbers as bits, to be joined by or; `sets_of` makes values of them again."""
        return _bits(self.codes, len(self.values))


def _bits(numbers: Numbers, size: int) -> Words:
    words = np.zeros((len(numbers), max(1, -(-size // _WORD))), np.uint64)
    words[np.arange(len(numbers)), numbers // _WORD] = np.uint64(1) << (numbers % _WORD).astype(np.uint64)
    return words


def sets_of(words: Words, names: Sequence[Any]) -> list[frozenset[Any]]:
    """The sets of names for bits, the place of each name its bit; equal sets are one object."""
    known: dict[int, frozenset[Any]] = {}
    answer = []
    for bits in integers(words):
        found = known.get(bits)
        if found is None:
            found = known[bits] = frozenset(n for place, n in enumerate(names) if bits >> place & 1)
        answer.append(found)
    return answer


def integers(words: Words) -> list[int]:
    """The sets as Python's integers, which have as many bits as it takes."""
    if words.shape[1] == 1:
        alone: list[int] = words[:, 0].tolist()
        return alone
    return [int.from_bytes(row.tobytes(), "little") for row in np.ascontiguousarray(words, "<u8")]


class Sorted:
    """Rows ordered so that those with the same values in some columns stand together, each run of them a group."""

    def __init__(self, columns: Iterable[Coded], rows: int) -> None:
        key, size = np.zeros(rows, np.int64), 1
        for column in columns:
            if len(column.values) > 1:
                if size * len(column.values) > _MOST:
                    # numbered anew: they stay below the number of rows, and nothing overflows
                    unique, key = np.unique(key, return_inverse=True)
                    size = len(unique)
                key = key * len(column.values) + column.codes
                size *= len(column.values)
        self.order = np.argsort(key, kind="stable")
        ordered = key[self.order]
        self.starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if rows else self.order
        self.first = self.order[self.starts]
        """A row of each group."""

    def sizes(self) -> Numbers:
        """How many rows each group has."""
        return np.diff(self.starts, append=len(self.order))

    def reduced(self, how: np.ufunc, values: Any) -> Any:
        """One value a group: ``np.add``, ``np.minimum``, ``np.bitwise_or`` of those of its rows."""
        return how.reduceat(values[self.order], self.starts, axis=0) if len(self.starts) else values


@dataclass(frozen=True)
class Distinct:
    """Distinct rows, column by column."""

    columns: Mapping[str, Coded]
    """Those of `KEY`, and ``phase``."""
    units: tuple[str, ...]
    used: Words
    """Who did it: the place of each unit in `units` is its bit."""
    count: npt.NDArray[np.uint64]
    first: Numbers
    """Microseconds since 1970, as `last`."""
    last: Numbers
    phases: frozenset[str]
    """Those in which anything was recorded, judged or not."""

    def __len__(self) -> int:
        return len(self.first)

    def taken(self, rows: Any) -> Distinct:
        """Some of the rows: their numbers, or a flag for each."""
        columns = {name: column.taken(rows) for name, column in self.columns.items()}
        tallies = (self.used[rows], self.count[rows], self.first[rows], self.last[rows])
        return Distinct(columns, self.units, *tallies, self.phases)

    def without(self, phases: Iterable[str]) -> Distinct:
        """Those that are not of some phases."""
        out = self.columns["phase"].where(*map(str, phases))
        return self.taken(~out) if out.any() else self

    def names(self) -> list[frozenset[str]]:
        """The units of each row."""
        return sets_of(self.used, self.units)

    def grouped(self) -> Distinct:
        """Equal rows as one."""
        groups = Sorted(self.columns.values(), len(self))
        return Distinct(
            {name: column.taken(groups.first) for name, column in self.columns.items()},
            self.units,
            groups.reduced(np.bitwise_or, self.used),
            groups.reduced(np.add, self.count),
            groups.reduced(np.minimum, self.first),
            groups.reduced(np.maximum, self.last),
            self.phases,
        )


def distinct(tables: Iterable[pa.Table], units: Sequence[str] | None = None) -> Distinct:
    """The distinct judged rows in tables with the columns `COLUMNS`: of some units alone, or of all that there are.

    Left out are attempts that failed before a security module was asked, which need no rule. A capability that the task
    does not hold is refused before (EPERM); a connection that nobody took (ECONNREFUSED), an accept without a client
    (EAGAIN) and a directory that was not empty (ENOTEMPTY) were judged like a success.
    """
    if units is None:
        tables = list(tables)
        units = sorted({name for table in tables for name in Coded.of(table["unit"]).values})
    held: list[Distinct] = []
    for table in tables:
        held.append(_read(table, tuple(units)))
        if sum(map(len, held)) > _FOLD:
            held = [_joined(held, tuple(units)).grouped()]
    return _joined(held, tuple(units)).grouped()


def _read(table: pa.Table, units: tuple[str, ...]) -> Distinct:
    columns = {name: Coded.of(table[name]) for name in (*KEY, "phase")}
    kinds = columns["class"]
    # the parent decides about an exec alone: elsewhere it would only multiply what is the same access
    parents = columns["parent_exe"]
    nobody = len(parents.values)
    codes = np.where(kinds.where(str(Class.EXEC)), parents.codes, nobody)
    columns["parent_exe"] = Coded(codes, [*parents.values, None])
    unit = Coded.of(table["unit"])
    number = {name: n for n, name in enumerate(units)}
    numbers = np.asarray([number.get(name, -1) for name in unit.values], np.int64)[unit.codes]
    theirs = numbers >= 0
    phase = columns["phase"]
    first, last = (table[name].cast(pa.int64()).to_numpy() for name in ("first_seen", "last_seen"))
    read = Distinct(
        columns,
        units,
        _bits(np.maximum(numbers, 0), len(units)),
        table["count"].to_numpy().astype(np.uint64),
        first,
        last,
        frozenset(phase.values[n] for n in np.unique(phase.codes[theirs]).tolist()),
    )
    kept = theirs & _judged(kinds, table["errno"].to_numpy())
    return read if kept.all() else read.taken(kept)


def _judged(kinds: Coded, error: Any) -> Flags:
    failed = error != 0
    if not failed.any():
        return np.ones(len(failed), bool)
    socketed = kinds.where(str(Class.SOCKET))
    # a socket call is judged first and fails later, but for a socket that never came to be
    early = np.where(socketed, np.isin(error, NEVER_A_SOCKET), np.isin(error, BEFORE_THE_HOOK))
    return np.asarray(~(failed & (early | kinds.where(str(Class.CAPABILITY)))), bool)


def _joined(parts: Sequence[Distinct], units: tuple[str, ...]) -> Distinct:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _read(BEHAVIOURS.empty_table(), units)
    return Distinct(
        {name: Coded.joined([p.columns[name] for p in parts]) for name in parts[0].columns},
        units,
        np.concatenate([p.used for p in parts]),
        np.concatenate([p.count for p in parts]),
        np.concatenate([p.first for p in parts]),
        np.concatenate([p.last for p in parts]),
        frozenset().union(*(p.phases for p in parts)),
    )
