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


class _Base:
    """An inventory in order, priced: what all workloads and folds of an image share."""

    def __init__(self, inventory: pa.Table, sensitive: Sensitive) -> None:
        table = inventory
        self.unread: list[str] = []
        """Directories that the recorder did not read, in order: what is below is unknown, not nothing."""
        if table.num_rows:
            kinds = table["object"].cast(pa.string())
            closed = pc.and_(pc.equal(kinds, "directory"), pc.is_null(table["size"]))
            self.unread = sorted(table["path"].filter(closed).to_pylist())
            table = table.filter(pc.invert(pc.is_in(kinds, pa.array(["directory", "symlink"]))))
        texts = table["path"].to_pylist()
        for place, raw in enumerate(table["path_raw"].to_pylist()):
            if raw is not None:
                texts[place] = raw.decode("utf-8", "surrogateescape")
        order = sorted(range(len(texts)), key=texts.__getitem__)
        self.paths = [texts[i] for i in order]
        index = np.asarray(order, np.int64)
        modes = table["mode"].fill_null(0o644).to_numpy().astype(np.int64)[index]
        packaged = pc.is_valid(table["package"]).to_numpy(zero_copy_only=False)[index]
        self.sensitive = frozenset(sensitive.among(self.paths))
        secret = np.fromiter((p in self.sensitive for p in self.paths), bool, len(self.paths))
        guarded = np.fromiter((is_protected(p.rpartition("/")[0]) for p in self.paths), bool, len(self.paths))
        public = np.where(packaged, _PACKAGED, _ORDINARY)
        reading = np.where(secret, FORBIDDEN, np.where(modes & 0o004, public, _PRIVATE))
        writing = np.where(secret | guarded, FORBIDDEN, _WRITABLE)
        self.loose = np.concatenate([[0], np.cumsum(~packaged)])
        """Running sum of the files that no package brought."""
        self.reading = np.concatenate([[0.0], np.cumsum(reading)])
        self.writing = np.concatenate([[0.0], np.cumsum(writing)])

    @cached_property
    def children(self) -> dict[str, list[int]]:
        """Positions of the files of each directory."""
        below: dict[str, list[int]] = defaultdict(list)
        for place, path in enumerate(self.paths):
            below[path.rpartition("/")[0] or "/"].append(place)
        return below

    def range(self, directory: str) -> tuple[int, int]:
        """Where the files below a directory begin and end."""
        if directory in ("", "/"):
            return 0, len(self.paths)
        # "0" follows "/" in the order of characters
        return bisect_left(self.paths, directory + "/"), bisect_left(self.paths, directory + "0")


_bases: list[tuple[pa.Table, tuple[str, ...], _Base]] = []
"""The last few, since learning without each unit in turn asks for the same one again and again."""


def _base(inventory: pa.Table, sensitive: Sensitive) -> _Base:
    for table, more, base in _bases:
        if table is inventory and more == sensitive.more:
            return base
    made = _Base(inventory, sensitive)
    _bases[:] = [*_bases[-3:], (inventory, sensitive.more, made)]
    return made


class Stock:
    """The files of a workload's inventory that it was not seen to use."""

    def __init__(self, inventory: pa.Table, seen: Iterable[str], sensitive: Sensitive) -> None:
        self.known = inventory.num_rows > 0
        self._base = _base(inventory, sensitive)
        self._seen = frozenset(seen)
        self._prices: dict[tuple[str, str], Price] = {}

    @cached_property
    def _used(self) -> list[int]:
        """Positions of the files that were used: no rule admits them newly."""
        paths = self._base.paths
        places = ((bisect_left(paths, p), p) for p in self._seen)
        return sorted(i for i, p in places if i < len(paths) and paths[i] == p)

    def _sum(self, places: Iterable[int]) -> Price:
        return self._sum_all([i for i in places if self._base.paths[i] not in self._seen])

    def _sum_all(self, places: list[int]) -> Price:
        index = np.asarray(places, np.int64)
        reading, writing = self._base.reading, self._base.writing
        return Price(
            len(index),
            float((reading[index + 1] - reading[index]).sum()),
            float((writing[index + 1] - writing[index]).sum()),
        )

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
            return Price(len(self._base.paths), 100 * FORBIDDEN, 100 * FORBIDDEN, self.known)
        if pseudo := _pseudo(kind, value):
            return pseudo
        if not self.known:
            return _guess(kind, value)
        known = self._known_price(kind, value)
        guesses = [_guess(kind, value)] if self._lies_in_unread(kind, value) else []
        guesses += [_guess("tree", d) for d in self._unread_below(kind, value)]
        if not guesses:
            return known
        return Price(
            known.existing,
            known.reading + sum(g.reading for g in guesses),
            known.writing + sum(g.writing for g in guesses),
            known=False,
        )

    def _lies_in_unread(self, kind: str, value: str) -> bool:
        if not self._base.unread:
            return False
        folder = literal_prefix(value).rpartition("/")[0] if kind == "pattern" else value
        unread = frozenset(self._base.unread)
        while folder:
            if folder in unread:
                return True
            folder = folder.rpartition("/")[0]
        return False

    def _unread_below(self, kind: str, value: str) -> list[str]:
        if kind != "tree":
            return []
        unread = self._base.unread
        return unread[bisect_left(unread, value + "/") : bisect_left(unread, value + "0")]

    def _known_price(self, kind: str, value: str) -> Price:
        if kind == "tree":
            begin, end = self._base.range(value)
            used = self._sum_all(self._used[bisect_left(self._used, begin) : bisect_left(self._used, end)])
            reading, writing = self._base.reading, self._base.writing
            return Price(
                end - begin - used.existing,
                float(reading[end] - reading[begin]) - used.reading,
                float(writing[end] - writing[begin]) - used.writing,
            )
        return self._sum(self._matching(value) if kind == "pattern" else self._base.children.get(value, []))

    def _matching(self, pattern: str) -> list[int]:
        expression = compile_pattern(pattern)
        prefix = literal_prefix(pattern)
        paths = self._base.paths
        begin = bisect_left(paths, prefix)
        end = bisect_left(paths, prefix[:-1] + chr(ord(prefix[-1]) + 1)) if prefix else len(paths)
        return [i for i in range(begin, end) if expression.fullmatch(paths[i])]

    def admission(self, kind: str, value: str) -> Admission:
        """What a rule of a kind (``directory``, ``tree``, ``pattern``) newly admits, for people."""
        if kind == "tree":
            begin, end = self._base.range(value)
            places: Iterable[int] = range(begin, end)
        else:
            places = self._matching(value) if kind == "pattern" else self._base.children.get(value, [])
        names = [p for i in places if (p := self._base.paths[i]) not in self._seen]
        return Admission(
            existing=len(names),
            sensitive=tuple(n for n in names if n in self._base.sensitive)[:10],
            examples=tuple(names[:_NAMED]),
            known=self._cached(kind, value).known and not value.startswith(_PSEUDO),
        )

    def complete(self, directory: str) -> bool:
        """Whether every file below a directory was used, and packages brought them all."""
        if not self.known or self._lies_in_unread("tree", directory) or self._unread_below("tree", directory):
            return False
        begin, end = self._base.range(directory)
        used = bisect_left(self._used, end) - bisect_left(self._used, begin)
        return 0 < end - begin == used and int(self._base.loose[end]) == int(self._base.loose[begin])

    def in_image(self, path: str) -> bool:
        """Whether a path is in the inventory, used or not: its name was not made up while the workload ran."""
        paths = self._base.paths
        at = bisect_left(paths, path)
        return at < len(paths) and paths[at] == path

    def exists(self, directory: str, name: str) -> bool:
        """Whether a file of that name exists there and was not used."""
        path = f"{directory.rstrip('/')}/{name}"
        paths = self._base.paths
        at = bisect_left(paths, path)
        return at < len(paths) and paths[at] == path and path not in self._seen


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
