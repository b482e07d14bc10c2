"""Expected rows, as the programs report them, against the rows of a dataset.

A report is closed over its *worlds*: each row of the dataset in one of them must be expected, each expected row must be
there, and the counts must add up. So a duplicate, a layer's path or an old name fails, and not only a missing row.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLAIN = ("exe", "parent_exe", "interpreter", "script", "fs", "family", "type", "protocol", "address", "capability")
EQUAL = ("port", "uid", "owner_match")


def plain(value: object) -> str:
    """A name without the prefix that some spell it with: AF_INET and inet, CAP_CHOWN and chown."""
    text = str(value or "").removeprefix("AF_").removeprefix("SOCK_").removeprefix("CAP_").removeprefix("cap_")
    return text.lower() if text.isupper() else text


@dataclass(frozen=True)
class Row:
    """One row of a dataset, its path in bytes."""

    op: str
    access: str
    path: bytes
    errno: int
    count: int
    columns: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Row":
        raw, text = row["path_raw"], row["path"]
        path = raw if raw is not None else (text or "").encode()
        return cls(row["op"], row["access"] or "", path, row["errno"], row["count"], row)

    def named(self, base: bytes) -> str:
        return name_of(self.op, self.access, self.path, self.errno, base=base, columns=self.columns)


def name_of(op: str, access: str, path: bytes, errno: int, *, base: bytes, columns: Mapping[str, Any]) -> str:
    """How the table of differences and failures name a row.

    Its path is relative to the case's directory; inode numbers of files without a name read ``#N``.
    """
    path = path.removeprefix(base + b"/") if path != base else b"."
    text = re.sub(r"#\d+", "#N", path.decode(errors="backslashreplace"))
    about = [plain(columns[key]) for key in ("family", "type", "capability") if columns.get(key)]
    parts = [op, access, *about, text, f"errno {errno}" if errno else ""]
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Expected:
    """One expected row; strings with ``|`` are alternatives."""

    op: str
    errno: int
    access: str | None
    paths: tuple[bytes, ...]
    columns: tuple[tuple[str, Any], ...]
    optional: bool
    absent: bool
    often: bool  # must be there, in whatever number

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Expected":
        paths = tuple(bytes.fromhex(line[key]) for key in ("path", "also") if key in line)
        known = {"case", "op", "errno", "access", "path", "also", "optional", "absent", "often"}
        columns = tuple(sorted((key, value) for key, value in line.items() if key not in known))
        flags = line.get("optional", False), line.get("absent", False), line.get("often", False)
        return cls(line["op"], line["errno"], line.get("access"), paths, columns, *flags)

    def matches(self, row: Row) -> bool:
        if row.op != self.op or (self.paths and row.path not in self.paths):
            return False
        if self.absent:  # whatever its access and result
            return self.access is None or row.access == self.access
        if row.errno != self.errno or (self.access is not None and row.access not in self.access.split("|")):
            return False
        return all(_agrees(key, wanted, row.columns[key]) for key, wanted in self.columns)

    def named(self, base: bytes) -> str:
        access, path = (self.access or "").split("|")[0], (self.paths or (b"",))[0]
        return name_of(self.op, access, path, self.errno, base=base, columns=dict(self.columns))


def _agrees(key: str, wanted: Any, value: Any) -> bool:
    if key in EQUAL:
        return bool(value == wanted)
    if key in PLAIN:
        return plain(value) == plain(wanted)
    return (value or "") in wanted.split("|")


@dataclass
class Report:
    """What a program said about itself: expected rows and worlds by case, and notes."""

    cases: list[str] = field(default_factory=list)
    expected: list[tuple[str, Expected]] = field(default_factory=list)
    worlds: list[tuple[str, str, bytes]] = field(default_factory=list)
    notes: dict[tuple[str, str], Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Report":
        report = cls()
        for text in path.read_text().splitlines():
            line = json.loads(text)
            case = line["case"]
            if case not in report.cases:
                report.cases.append(case)
            if "note" in line:
                report.notes[case, line["note"]] = line["value"]
            elif "world" in line:
                report.worlds.append((case, line["world"], bytes.fromhex(line["value"])))
            else:
                report.expected.append((case, Expected.of(line)))
        return report

    def base_of(self, case: str) -> bytes:
        """The directory of a case; ``b"/nowhere"`` when it has none."""
        return next((value for name, kind, value in self.worlds if name == case and kind == "path"), b"/nowhere")

    def case_of(self, row: Row) -> str | None:
        """The case in whose directory the row's path or script lies."""
        paths = row.path, (row.columns.get("script") or "").encode()
        roots = ((name, value) for name, kind, value in self.worlds if kind == "path")
        return next((name for name, root in roots for path in paths if path.startswith(root + b"/")), None)


@dataclass(frozen=True)
class Problem:
    """A difference between the report and the dataset: `name` as in the table, `text` for people."""

    cases: frozenset[str]
    name: str
    text: str


def inside(world: tuple[str, str, bytes], row: Row) -> bool:
    """Whether the row belongs to that world."""
    _, kind, value = world
    if kind == "op":
        return row.op == value.decode()
    if kind == "class":
        return bool(row.columns["class"] == value.decode())
    if row.columns["class"] != "file":
        return False
    if kind == "exe":
        return bool(row.columns["exe"] == value.decode())
    return row.path == value or row.path.startswith(value + b"/")


def compare(report: Report, rows: list[Row]) -> list[Problem]:
    """Every difference; expected rows that one row of the dataset could both be are judged together."""
    groups: dict[Expected, list[str]] = defaultdict(list)
    for case, expected in report.expected:
        groups[expected].append(case)
    by_op: dict[str, list[Expected]] = defaultdict(list)
    for expected in groups:
        by_op[expected.op].append(expected)
    matched = {index: [g for g in by_op[row.op] if g.matches(row)] for index, row in enumerate(rows)}
    problems = list(_unexpected(report, rows, matched))
    for members, indices in _components(groups, matched):
        cases = frozenset(case for member in members for case in groups[member])
        base = report.base_of(min(cases))
        problems += _judge(members, groups, [rows[i] for i in indices], cases, base)
    return problems


def _unexpected(report: Report, rows: list[Row], matched: Mapping[int, list[Expected]]) -> Iterable[Problem]:
    for index, row in enumerate(rows):
        if any(not expected.absent for expected in matched[index]):
            continue
        for world in report.worlds:
            if inside(world, row):
                case = report.case_of(row) or world[0]
                shown = {k: v for k, v in row.columns.items() if v is not None and k not in ("first_seen", "last_seen")}
                yield Problem(frozenset({case}), f"+ {row.named(report.base_of(case))}", f"unexpected row {shown}")
                break


def _components(
    groups: Mapping[Expected, list[str]], matched: Mapping[int, list[Expected]]
) -> Iterable[tuple[list[Expected], list[int]]]:
    """Sets of expected rows that share rows of the dataset, with the indices of those rows."""
    leader = {expected: expected for expected in groups}

    def find(expected: Expected) -> Expected:
        while leader[expected] is not expected:
            expected = leader[expected]
        return expected

    for candidates in matched.values():
        for other in candidates[1:]:
            leader[find(other)] = find(candidates[0])
    members: dict[Expected, list[Expected]] = defaultdict(list)
    for expected in groups:
        members[find(expected)].append(expected)
    indices: dict[Expected, list[int]] = defaultdict(list)
    for index, candidates in matched.items():
        if candidates:
            indices[find(candidates[0])].append(index)
    for head, group in members.items():
        yield group, indices[head]


def _judge(
    members: list[Expected],
    groups: Mapping[Expected, list[str]],
    rows: list[Row],
    cases: frozenset[str],
    base: bytes,
) -> Iterable[Problem]:
    required = [member for member in members if not (member.optional or member.absent)]
    for member in members:
        where = frozenset(groups[member])
        found = [row for row in rows if member.matches(row)]
        if member.absent and found:
            yield Problem(where, f"+ {found[0].named(base)}", f"must not be there: {found[0].columns}")
        if not (member.optional or member.absent or found):
            yield Problem(where, f"- {member.named(base)}", f"missing row: {member}")
            required = []
    happened = sum(len(groups[member]) for member in required)
    counted = sum(row.count for row in rows)
    least = len(required) if any(member.often for member in members) else happened
    exact = len(required) == len(members) and not any(member.often for member in members)
    if required and (counted < least or (exact and counted > happened)):
        text = f"counted {counted} times, happened {happened} times: {required}"
        yield Problem(cases, f"# {required[0].named(base)} {counted}/{happened}", text)
