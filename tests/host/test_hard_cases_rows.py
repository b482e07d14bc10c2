"""The judge of the hard cases is judged: a faithful recording passes, and each way to be wrong fails."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hard_cases import rows
from hard_cases.differences import kernel_is


@pytest.fixture(scope="module")
def report(program_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> rows.Report:
    folder = tmp_path_factory.mktemp("judge")
    environment = os.environ | {"REPORT": str(folder / "report.jsonl")}
    (folder / "base").mkdir()
    subprocess.run([program_folder / "paths", folder / "base"], env=environment, check=True)
    return rows.Report.read(folder / "report.jsonl")


def faithful(report: rows.Report) -> list[rows.Row]:
    """The rows of a recorder that makes no mistake: equal events in one row, counted."""
    counts: dict[rows.Expected, int] = {}
    for _, expected in report.expected:
        if not (expected.absent or expected.optional):
            counts[expected] = counts.get(expected, 0) + 1
    result = []
    for expected, count in counts.items():
        columns: dict[str, Any] = {"class": "file", "exe": "/x", **dict(expected.columns)}
        columns = {name: value.split("|")[0] if isinstance(value, str) else value for name, value in columns.items()}
        access = (expected.access or "").split("|")[0]
        columns = {"resolved": None, "object": None, "owner_match": None, "uid": 0, "fs": None} | columns
        path = (expected.paths or (b"",))[0]
        result.append(rows.Row(expected.op, access, path, expected.errno, count, columns))
    return result


def changed(row: rows.Row, **values: Any) -> rows.Row:
    fields = {name: getattr(row, name) for name in ("op", "access", "path", "errno", "count", "columns")}
    return rows.Row(**fields | values)


def one(found: list[rows.Row], op: str, end: bytes) -> int:
    return next(i for i, row in enumerate(found) if row.op == op and row.path.endswith(end))


def test_faithful_recording_passes(report: rows.Report) -> None:
    assert rows.compare(report, faithful(report)) == []


def test_missing_row_fails_its_case_alone(report: rows.Report) -> None:
    found = faithful(report)
    found.pop(one(found, "open", b"rename_above/z/b/f"))
    (problem,) = rows.compare(report, found)
    assert problem.cases == {"rename_above"}
    assert problem.name == "- open read z/b/f"


def test_old_name_after_a_rename_fails(report: rows.Report) -> None:
    """What a recorder that keys on the inode alone would do: the count goes to the first name."""
    found = faithful(report)
    new = found.pop(one(found, "open", b"rename_above/z/b/f"))
    index = next(i for i, r in enumerate(found) if r.path.endswith(b"rename_above/a/b/f") and r.access == "read")
    found[index] = changed(found[index], count=found[index].count + new.count)
    assert {p.name for p in rows.compare(report, found)} == {"- open read z/b/f", "# open read a/b/f 12/7"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"count": 7}, "# open read d/f 7/6"),
        ({"count": 5}, "# open read d/f 5/6"),
        ({"access": "read+write"}, "- open read d/f"),
        ({"path": b"/work/upper/f"}, "- open read d/f"),
        ({"errno": 2}, "- open read d/f"),
    ],
)
def test_wrong_column_fails(report: rows.Report, change: dict[str, Any], name: str) -> None:
    found = faithful(report)
    base = report.base_of("relative")
    index = next(i for i, r in enumerate(found) if (r.op, r.access, r.path) == ("open", "read", base + b"/d/f"))
    found[index] = changed(found[index], **change)
    assert name in {problem.name for problem in rows.compare(report, found)}


def test_unexpected_row_in_a_world_fails(report: rows.Report) -> None:
    found = faithful(report)
    row = found[one(found, "open", b"open_flags/new")]
    found.append(changed(row, path=row.path + b"-layer"))
    (problem,) = rows.compare(report, found)
    assert problem.cases == {"open_flags"}
    assert problem.name.startswith("+ open ")


def test_row_that_must_be_absent_fails(report: rows.Report) -> None:
    found = faithful(report)
    row = found[one(found, "open", b"open_flags/new")]
    found.append(changed(row, access=""))  # a handle taken for an access
    assert any(p.name.startswith("+ open") and p.cases == {"open_flags"} for p in rows.compare(report, found))


@pytest.mark.parametrize(
    ("condition", "release", "meets"),
    [
        ("all", "5.10.0-30-amd64", True),
        ("< 6.14", "6.1.0", True),
        ("< 6.14", "6.14.2", False),
        (">= 5.15, < 6.12", "6.1.0", True),
        (">= 5.15, < 6.12", "5.10.0", False),
    ],
)
def test_kernel_conditions(condition: str, release: str, meets: bool) -> None:
    assert kernel_is(condition, release) is meets
