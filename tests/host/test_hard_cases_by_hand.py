"""The most important cases with their rows typed here: a second opinion on what the programs say of themselves."""

from collections.abc import Callable

import pytest
from hard_cases.recording import Recording

Recorded = Callable[[str, str], Recording]
pytestmark = pytest.mark.timeout(600)


def counted(recording: Recording, case: str, *ops: str) -> dict[tuple[str, str, str], int]:
    """(op, access, path below the case's directory) -> count, of what succeeded."""
    base = recording.report.base_of(case) + b"/"
    found: dict[tuple[str, str, str], int] = {}
    for row in recording.found:
        if row.op in ops and row.path.startswith(base) and row.errno == 0:
            key = row.op, row.access, row.path.removeprefix(base).decode()
            found[key] = found.get(key, 0) + row.count
    return found


def test_a_renamed_directory_gives_new_names(backend: str, recorded: Recorded) -> None:
    assert counted(recorded("paths", backend), "rename_above", "open") == {
        ("open", "write+create", "a/b/f"): 1,
        ("open", "read", "a/b/f"): 3 + 4,
        ("open", "read", "z/b/f"): 5,
        ("open", "read", "z/c/f"): 2,
        ("open", "read", "z/c/g"): 1,
    }


def test_a_hard_link_is_a_name_of_its_own(backend: str, recorded: Recorded) -> None:
    assert counted(recorded("paths", backend), "hard_links", "open", "link-from", "link-to", "unlink") == {
        ("open", "write+create", "f"): 1,
        ("link-from", "", "f"): 1,
        ("link-to", "", "d/g"): 1,
        ("open", "read", "f"): 2,
        ("open", "read", "d/g"): 4,
        ("unlink", "", "f"): 1,
    }


def test_overlay_shows_no_layers(backend: str, recorded: Recorded) -> None:
    seen = counted(recorded("mounts", backend), "copy_up", "open", "truncate", "unlink", "link-to")
    # Mounting it opens `work` inside the kernel, which the hooks see: docs/backend-differences.md.
    mounting = {("open", "read+directory", "work")} if backend in ("lsm", "fentry") else set()
    assert {key: count for key, count in seen.items() if not key[2].startswith("lower/d/") and key not in mounting} == {
        ("open", "read", "merged/d/f"): 2,
        ("open", "write+append", "merged/d/f"): 1,
        ("open", "read+write+truncate", "merged/d/g"): 1,
        ("open", "read", "merged/d/h"): 1,
        ("unlink", "", "merged/d/i"): 1,
        ("truncate", "", "merged/d/f"): 1,
        ("link-to", "", "merged/d/k"): 1,
    }


def test_a_second_mount_is_a_name_of_its_own(backend: str, recorded: Recorded) -> None:
    seen = counted(recorded("mounts", backend), "second_mount", "open")
    assert seen["open", "read", "one/d/f"] == 1
    assert seen["open", "read", "two/d/f"] == 2


def test_failures_have_their_reason(backend: str, recorded: Recorded) -> None:
    recording = recorded("paths", backend)
    base = recording.report.base_of("failed_opens") + b"/"
    failed = {
        (row.path.removeprefix(base).decode(), row.errno, row.count)
        for row in recording.found
        if row.op == "open" and row.errno and row.path.startswith(base)
    }
    assert {("nothing", 2, 1), ("often", 2, 4), ("f/child", 20, 1), ("loop", 40, 1), ("secret", 13, 1)} <= failed
