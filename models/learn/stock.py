"""What a wider rule would cost: the files that exist and that it newly admits, from the inventory.

Prices are in *existing ordinary files newly admitted for reading*; the weights say how much worse the rest is. A file
that everybody may read and that a package brought is public anyway; one that a rule makes writable is worse than one
that it makes readable; a sensitive one is worse than any number of rules.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.learn.result import Admission
from models.learn.sensitive import Sensitive, is_protected, is_scratch
from models.policy.patterns import compile_pattern, literal_prefix

__all__ = ["FORBIDDEN", "Price", "Stock"]

FORBIDDEN = 1e5
"""More than any number of rules: chosen only where nothing else can hold what was seen."""
_PACKAGED, _ORDINARY, _PRIVATE, _WRITABLE = 0.02, 0.2, 3.0, 3.0
_PSEUDO = ("/proc", "/sys", "/dev")
_FILES_AFTER_ALL = ("/dev/shm", "/dev/mqueue", "/dev/pts")  # noqa: S108 - names to compare with
_UNKNOWN = 40.0
"""Files that a directory is taken to hold where no inventory says: never the reason to widen."""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Price:
    """What a rule would newly admit."""

    existing: int
    reading: float
    writing: float
    known: bool = True

    def of(self, *, write: bool) -> float:
        """The price of a rule that admits reading, or reading and writing."""
        return self.reading + self.writing if write else self.reading


class Stock:
    """The files of a workload's inventory that it was not seen to use."""

    def __init__(self, inventory: pa.Table, seen: Iterable[str], sensitive: Sensitive) -> None:
        self.sensitive = sensitive
        self.known = inventory.num_rows > 0
        self._table = inventory
        self._seen = frozenset(seen)
        self._prices: dict[tuple[str, str], Price] = {}

    @cached_property
    def _paths(self) -> list[str]:
        return self._sorted[0]

    @cached_property
    def _sorted(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Paths in order, and the running sums of their prices for reading and for writing."""
        table = self._table
        kinds = table["object"].cast(pa.string()) if self.known else None
        if kinds is not None:
            table = table.filter(pc.invert(pc.is_in(kinds, pa.array(["directory", "symlink"]))))
        raw = table["path_raw"].to_pylist()
        rows = []
        packages = pc.is_valid(table["package"]).to_pylist()
        for path, bytes_, mode, packaged in zip(
            table["path"].to_pylist(), raw, table["mode"].to_pylist(), packages, strict=True
        ):
            name = bytes_.decode("utf-8", "surrogateescape") if bytes_ is not None else path
            if name not in self._seen:
                rows.append((name, mode if mode is not None else 0o644, packaged))
        rows.sort()
        reading = np.empty(len(rows) + 1)
        writing = np.empty(len(rows) + 1)
        reading[0] = writing[0] = 0.0
        for place, (name, mode, packaged) in enumerate(rows, 1):
            if self.sensitive(name):
                reading[place] = writing[place] = FORBIDDEN
            else:
                reading[place] = (_PACKAGED if packaged else _ORDINARY) if mode & 0o004 else _PRIVATE
                writing[place] = FORBIDDEN if is_protected(name.rpartition("/")[0]) else _WRITABLE
        return [r[0] for r in rows], np.cumsum(reading), np.cumsum(writing)

    @cached_property
    def _children(self) -> dict[str, list[int]]:
        below: dict[str, list[int]] = defaultdict(list)
        for place, path in enumerate(self._paths):
            below[path.rpartition("/")[0] or "/"].append(place)
        return below

    def _range(self, directory: str) -> tuple[int, int]:
        if directory == "/":
            return 0, len(self._paths)
        # "0" follows "/" in the order of characters
        return bisect_left(self._paths, directory + "/"), bisect_left(self._paths, directory + "0")

    def directory(self, directory: str) -> Price:
        """A rule on the direct children of a directory (no slash at its end, but for the root)."""
        return self._cached("directory", directory)

    def tree(self, directory: str) -> Price:
        """A rule on everything below a directory."""
        return self._cached("tree", directory)

    def pattern(self, pattern: str) -> Price:
        """A rule on what a pattern matches."""
        return self._cached("pattern", pattern)

    def _cached(self, kind: str, value: str) -> Price:
        known = self._prices.get((kind, value))
        if known is None:
            known = self._prices[kind, value] = self._price(kind, value)
        return known

    def _price(self, kind: str, value: str) -> Price:
        if kind == "tree" and value in ("", "/"):
            # dearer than /proc, which a target without patterns may have to allow
            return Price(len(self._paths) if self.known else 0, 100 * FORBIDDEN, 100 * FORBIDDEN, self.known)
        if pseudo := _pseudo(kind, value):
            return pseudo
        if not self.known:
            return _guess(kind, value)
        _, reading, writing = self._sorted
        if kind == "tree":
            begin, end = self._range(value)
            return Price(end - begin, float(reading[end] - reading[begin]), float(writing[end] - writing[begin]))
        places = self._matching(value) if kind == "pattern" else self._children.get(value, [])
        index = np.asarray(places, np.int64)
        return Price(
            len(places),
            float((reading[index + 1] - reading[index]).sum()),
            float((writing[index + 1] - writing[index]).sum()),
        )

    def _matching(self, pattern: str) -> list[int]:
        expression = compile_pattern(pattern)
        prefix = literal_prefix(pattern)
        begin = bisect_left(self._paths, prefix)
        end = bisect_left(self._paths, prefix[:-1] + chr(ord(prefix[-1]) + 1)) if prefix else len(self._paths)
        return [i for i in range(begin, end) if expression.fullmatch(self._paths[i])]

    def admission(self, kind: str, value: str) -> Admission:
        """What a rule of a kind (``directory``, ``tree``, ``pattern``) newly admits, for people."""
        if kind == "tree":
            begin, end = self._range(value)
            places = list(range(begin, end))
        elif kind == "directory":
            places = self._children.get(value, [])
        else:
            places = self._matching(value)
        names = [self._paths[i] for i in places]
        return Admission(
            existing=len(names),
            sensitive=tuple(self.sensitive.among(names)[:10]),
            examples=tuple(names[:_NAMED]),
            known=self.known and not value.startswith(_PSEUDO),
        )

    def exists(self, directory: str, name: str) -> bool:
        """Whether a file of that name exists there and was not used."""
        path = f"{directory.rstrip('/')}/{name}"
        at = bisect_left(self._paths, path)
        return at < len(self._paths) and self._paths[at] == path


def _pseudo(kind: str, value: str) -> Price | None:
    """The price in file systems of the kernel, which no inventory lists."""
    top = "/" + value.lstrip("/").partition("/")[0]
    if top not in _PSEUDO or value.startswith(_FILES_AFTER_ALL):
        return None
    if kind == "pattern":
        # one name below each process, or one of a family of devices: the name decides
        wide = value.endswith("/**") or (top == "/proc" and value.endswith("/*") and value.count("/") <= 3)
        return Price(0, FORBIDDEN if wide else 0.5, FORBIDDEN if top == "/sys" or wide else 2.0, known=False)
    deep = value.count("/")
    if top == "/proc" and not value.startswith("/proc/sys"):
        return Price(0, FORBIDDEN, FORBIDDEN, known=False)
    if top == "/dev":
        return Price(0, FORBIDDEN, FORBIDDEN, known=False)
    return Price(0, 60.0 / deep * (3 if kind == "tree" else 1), FORBIDDEN, known=False)


def _guess(kind: str, value: str) -> Price:
    """The price where no inventory says what exists: the nearer to the root, the more."""
    directory = (value.rpartition("/")[0] if kind == "pattern" else value) or "/"
    files = _UNKNOWN * {"tree": 4.0, "directory": 1.0, "pattern": 0.1}[kind]
    depth = directory.count("/")
    files *= 4.0 ** max(0, 3 - depth) if kind == "tree" else 1.0
    if is_scratch(directory):
        files = 5.0
    # whether a pattern may stand in a protected directory at all is decided where it is made
    forbidden = kind != "pattern" and is_protected(directory)
    return Price(0, files * _ORDINARY, FORBIDDEN if forbidden else files * _WRITABLE / 10, known=False)
