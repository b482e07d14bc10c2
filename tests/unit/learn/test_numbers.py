"""A second number in a name varies as well, where the workload makes the name up and one number varies."""

from __future__ import annotations

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import app, opened
from models.learn.numbers import with_numbers
from models.learn.shapes import cluster
from models.learn.trie import Node
from models.policy import compile_pattern

UNITS = "abcdef"
WRITTEN = "read+write+create"


def opened_by_all(directory: str, name: str, access: str) -> set[str]:
    """The rules on names with a number that stays and one that varies."""
    rows = [r for u in UNITS for r in app(u)]
    rows += [
        opened(u, f"{directory}/{name.format(16384 + 7 * n + k)}", access) for n, u in enumerate(UNITS) for k in (1, 2)
    ]
    return texts(made(rows, inventory=["/usr/bin/other"]), directory)


def test_a_name_that_the_workload_makes_up() -> None:
    assert opened_by_all("/srv/data", "t3_{}", WRITTEN) == {"pattern /srv/data/t[0-9]*_[0-9]* rw"}


def test_not_a_name_that_is_only_read() -> None:
    assert opened_by_all("/srv/data", "t3_{}", "read") == {"pattern /srv/data/t3_[0-9]* r"}


def test_not_where_names_decide_what_runs() -> None:
    assert not any("t[0-9]" in rule for rule in opened_by_all("/etc/app", "t3_{}", WRITTEN))


@pytest.mark.parametrize(
    ("names", "pattern", "admits", "refuses"),
    [
        (("t3_161", "t3_162", "t3_175"), "t[0-9]*_[0-9]*", "t4_9", "t_9"),
        (("t3_161_fsm", "t3_162_fsm", "t3_175_fsm"), "t[0-9]*_[0-9]*_fsm", "t11_9_fsm", "t3_9_vm"),
        (("job-2-1.log", "job-2-7.log", "job-2-9.log"), "job-[0-9]*-[0-9]*.log", "job-3-1.log", "job--1.log"),
        (("1-x-11", "1-x-27", "1-x-9"), "[0-9]*-x-[0-9]*", "2-x-1", "a-x-1"),
        # the digit of an ending, a version of several parts, a word that ends in a digit, a hexadecimal digit
        (("song-1.mp3", "song-27.mp3", "song-9.mp3"), "song-[0-9]*.mp3", "song-4.mp3", "song-4.mp4"),
        (("py3.11-1", "py3.11-27", "py3.11-9"), "py3.11-[0-9]*", "py3.11-4", "py3.12-4"),
        (("sha2-1", "sha2-27", "sha2-9"), "sha2-[0-9]*", "sha2-4", "sha3-4"),
        (("a3_1", "a3_27", "a3_9"), "a3_[0-9]*", "a3_4", "a4_4"),
    ],
)
def test_which_numbers(names: tuple[str, ...], pattern: str, admits: str, refuses: str) -> None:
    ((group,), _) = cluster(names)
    opened_group = with_numbers(group, [Node(n, writes=1) for n in names])
    assert opened_group.pattern == pattern
    assert all(n.startswith(opened_group.prefix) for n in (*names, admits))
    expression = compile_pattern(pattern)
    assert all(expression.fullmatch(n) for n in (*names, admits))
    assert not expression.fullmatch(refuses)


def test_nothing_but_numbers_and_files_that_are_written() -> None:
    names = ("t3_161", "t3_162", "t3_175")
    ((group,), _) = cluster(names)
    assert with_numbers(group, [Node(n, writes=int(n != "t3_162")) for n in names]) is group
    assert with_numbers(group, [Node(n, {"x": Node("x")}, writes=1) for n in names]) is group
    hashes = tuple(f"v1_{n:032x}" for n in (2**120, 2**121 + 17, 2**122 + 3))
    ((group,), _) = cluster(hashes)
    assert with_numbers(group, [Node(n, writes=1) for n in hashes]) is group
