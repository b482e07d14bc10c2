"""Back ends agree on (operation, access, canonical path, success), but for the rows of docs/backend-differences.md."""

from collections.abc import Callable

import pytest
from conftest import BACKENDS
from hard_cases import programs
from hard_cases.differences import listed
from hard_cases.recording import Recording
from hard_cases.rows import Row, inside

Seen = set[tuple[str, str, bytes, bool]]
pytestmark = pytest.mark.timeout(600)


def seen(recording: Recording, case: str) -> Seen:
    """The case's rows with paths relative to its directory, since each back end had a run of its own."""
    report = recording.report
    base = report.base_of(case)
    worlds = [world for world in report.worlds if world[0] == case and world[1] in ("path", "exe")]
    ours = [r for r in recording.found if report.case_of(r) == case or any(inside(world, r) for world in worlds)]
    return {part(row, base) for row in ours}


def part(row: Row, base: bytes) -> tuple[str, str, bytes, bool]:
    return row.op, row.access, row.path.removeprefix(base), row.errno == 0


def is_listed(program: str, case: str, backend: str) -> bool:
    return bool(listed(f"{program}/{case}", backend))


@pytest.mark.skipif(len(BACKENDS) < 2, reason="one back end under test: DISCOVER_BACKENDS names them")
@pytest.mark.parametrize(
    ("program", "case"),
    [(program, case) for program in ("paths", "mounts", "cgroups", "execs") for case in programs.CASES[program]],
)
def test_back_ends_see_the_same(program: str, case: str, recorded: Callable[[str, str], Recording]) -> None:
    # Names there hold pids, inode numbers and the run's own folders; and of a path beyond PATH_MAX, each back end tells
    # what it has whole and counts the rest as lost.
    varying = {"proc", "tmpfile", "reused_inode", "started", "path_5000"}
    if case in varying:
        pytest.skip("names differ from run to run; test_hard_cases compares them to the run's own report")
    found = {b: seen(recorded(program, b), case) for b in BACKENDS if not is_listed(program, case, b)}
    if not found:
        pytest.skip("every back end under test is listed for this case; test_hard_cases holds each to its list")
    first, *others = found.items()
    for name, rows in others:
        assert rows == first[1], f"{name} against {first[0]}: more {rows - first[1]}, less {first[1] - rows}"
