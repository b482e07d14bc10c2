"""The hard cases: what a program says it did is what the recording holds; nothing more, nothing less, counted."""

import os
from collections.abc import Callable

import pytest
from hard_cases import programs
from hard_cases.differences import differences, listed
from hard_cases.recording import Recording

Recorded = Callable[[str, str], Recording]

ALL = [(program, case) for program, cases in programs.CASES.items() for case in cases]
# What the kernel did for an exec is asked of the process where the back end does not see it; one that is gone by then
# took the answer with it, and that is told.
MAY_BE_LOST = {program: {"process-gone"} for program in ("mounts", "cgroups", "execs")}
MUST_BE_LOST = {"paths": {"path-truncated"}}  # one name is longer than PATH_MAX
SEES_EXEC = {"lsm", "fentry"}
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(("program", "case"), ALL, ids=lambda value: value)
def test_case(program: str, case: str, backend: str, recorded: Recorded) -> None:
    recording = recorded(program, backend)
    skipped = recording.report.notes.get((case, "skipped"))
    assert not skipped or kernel_cannot(case), f"the program could not run the case: {skipped}"
    problems = [problem for problem in recording.problems if case in problem.cases]
    allowed = listed(f"{program}/{case}", backend)
    new = [problem for problem in problems if problem.name not in allowed]
    gone = allowed - {problem.name for problem in problems}
    text = "\n".join(f"{problem.name}\n    {problem.text}" for problem in new)
    assert not new, f"differences that docs/backend-differences.md does not list:\n{text}"
    assert not gone, f"docs/backend-differences.md lists what no longer occurs: {sorted(gone)}"


def kernel_cannot(case: str) -> bool:
    """Old kernels' io_uring makes no directories (5.15) and needs no excuse elsewhere."""
    from hard_cases.differences import kernel_is

    return case == "io_uring_change" and kernel_is("< 5.15")


@pytest.mark.parametrize("program", programs.CASES)
def test_every_case_was_run(program: str, backend: str, recorded: Recorded) -> None:
    assert recorded(program, backend).report.cases == programs.CASES[program]


@pytest.mark.parametrize("program", programs.CASES)
def test_nothing_else_was_lost(program: str, backend: str, recorded: Recorded) -> None:
    lost = recorded(program, backend).losses
    may = set() if backend in SEES_EXEC else MAY_BE_LOST.get(program, set())
    assert lost.keys() - may == MUST_BE_LOST.get(program, set()), lost


@pytest.mark.parametrize("program", programs.CASES)
def test_no_row_twice(program: str, backend: str, recorded: Recorded) -> None:
    samples = {"count", "first_seen", "last_seen", "argv"}
    seen = set()
    for row in recorded(program, backend).found:
        sampled = samples | ({"address"} if row.op == "accept" else set())
        key = tuple((name, repr(value)) for name, value in row.columns.items() if name not in sampled)
        assert key not in seen, f"two rows differ in nothing but samples: {row.columns}"
        seen.add(key)


@pytest.mark.parametrize("program", programs.CASES)
def test_one_run_is_one_unit(program: str, backend: str, recorded: Recorded) -> None:
    """Children, containers and cgroups that the command makes belong to its run."""
    recording = recorded(program, backend)
    assert len({row.columns["unit"] for row in recording.found}) == 1


def test_path_beyond_path_max_is_whole_or_lost(backend: str, recorded: Recorded) -> None:
    recording = recorded("paths", backend)
    notes = recording.report.notes
    base = recording.report.base_of("path_5000")
    assert notes["path_5000", "length"] == 5000
    ours = [row for row in recording.found if row.path == base or row.path.startswith(base + b"/")]
    counted = sum(row.count for row in ours if row.columns["resolved"] != "unresolved")
    assert counted + recording.losses["path-truncated"] == notes["path_5000", "happened"]


def test_odd_names_are_told_apart(backend: str, recorded: Recorded) -> None:
    """A name that spells an escape, and the byte that the escape stands for, share no row."""
    recording = recorded("paths", backend)
    base = recording.report.base_of("names")
    ours = [row for row in recording.found if row.path.startswith(base + b"/") and row.op == "unlink"]
    raw = {row.columns["path"] for row in ours if row.columns["path_raw"] is not None}
    texts = {row.columns["path"] for row in ours if row.columns["path_raw"] is None}
    assert len(ours) == 22
    assert len(raw) == 2
    assert not raw & texts
    assert any("\\xff" in text for text in texts)


def test_scripts_say_who_runs_them(backend: str, recorded: Recorded) -> None:
    rows = [row for row in recorded("execs", backend).found if row.op == "exec" and row.columns["script"]]
    assert {row.columns["script"].rsplit("/", 2)[1] for row in rows} == {"script", "d", "nested_script"}


def test_argv_is_sampled(backend: str, recorded: Recorded) -> None:
    rows = [row for row in recorded("execs", backend).found if row.op == "exec" and b"exec_plain" in row.path]
    assert rows
    assert all(row.columns["argv"][:1] == ["noop"] for row in rows)


def test_brief_containers_were_brief(backend: str, recorded: Recorded) -> None:
    """Guards the case itself: on real hardware they live a few milliseconds; emulated, that is some 20 times more."""
    spans = recorded("cgroups", backend).report.notes["brief_container", "milliseconds"]
    assert len(spans) == 10
    assert min(spans) < (1000 if "DISCOVER_GUEST" in os.environ else 50)


def test_differences_name_cases_that_exist() -> None:
    known = {f"{program}/{case}" for program, case in ALL}
    assert {row.case for row in differences()} <= known
    assert all(row.backends <= {"lsm", "fentry", "tracepoint", "bcc"} for row in differences())
