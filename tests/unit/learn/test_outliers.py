"""Units that behave unlike the others, and units that are only different."""

from __future__ import annotations

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import app, executed, opened, row
from models.learn.outliers import FEWEST

UNITS = "abcdef"


def base(units: str = UNITS) -> list[dict]:  # type: ignore[type-arg]
    return [r for u in units for r in app(u)]


def shell(unit: str) -> list[dict]:  # type: ignore[type-arg]
    return [executed(unit, "/usr/bin/dash"), executed(unit, "/usr/bin/curl", exe="/usr/bin/dash")]


def miner(unit: str) -> list[dict]:  # type: ignore[type-arg]
    return [
        opened(unit, "/tmp/.x/kworker", "write+create"),
        executed(unit, "/tmp/.x/kworker"),
        opened(unit, "/proc/cpuinfo", exe="/tmp/.x/kworker"),
        row(unit, **{"class": "socket"}, op="connect", exe="/tmp/.x/kworker", family="inet", type="stream", port=3333),
    ]


def thief(unit: str) -> list[dict]:  # type: ignore[type-arg]
    return [opened(unit, f"/var/run/secrets/kubernetes.io/serviceaccount/{n}") for n in ("token", "ca.crt")]


def hidden(unit: str) -> list[dict]:  # type: ignore[type-arg]
    return [row(unit, **{"class": "exec"}, op="exec", path="memfd:x", parent_exe="/usr/bin/app")]


def library(unit: str) -> list[dict]:  # type: ignore[type-arg]
    return [row(unit, **{"class": "file"}, op="mmap-exec", path="/tmp/inject.so", object="file")]


POISONS = {"shell": shell, "miner": miner, "thief": thief, "hidden": hidden, "library": library}


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("unit", ["a", "d", "f"])
def test_a_poisoned_unit_among_six_is_named_and_not_learned_from(poison: str, unit: str) -> None:
    learned = made(base() + POISONS[poison](unit))
    (outlier,) = learned.outliers
    assert outlier.unit == unit
    assert outlier.reasons
    assert unit not in learned.units
    assert any(f"unit {unit} behaves unlike the others" in w and outlier.reasons[0] in w for w in learned.warnings)
    assert learned.rules == made(base(UNITS.replace(unit, ""))).rules


@pytest.mark.parametrize("poison", ["shell", "miner", "thief"])
def test_it_is_learned_from_when_asked_for(poison: str) -> None:
    learned = made(base() + POISONS[poison]("b"), keep_outliers=True)
    assert learned.outliers == ()
    assert set(learned.units) == set(UNITS)
    assert learned.rules != made(base()).rules


def test_the_worst_is_told_first() -> None:
    (outlier,) = made(base() + shell("b") + miner("b")).outliers
    assert outlier.reasons[0] == "executed /tmp/.x/kworker"
    assert "executed /usr/bin/dash" in outlier.reasons


def test_two_ways_of_working_are_no_outliers() -> None:
    # a primary and its standbys: half of the units run other programs and read other keys
    rows = base() + [r for u in "abc" for r in (*shell(u), *thief(u))]
    rows += [r for u in "def" for r in (executed(u, "/usr/bin/pg_basebackup"), opened(u, "/root/.pgpass"))]
    assert made(rows).outliers == ()


def test_more_than_a_third_is_no_exception() -> None:
    rows = base() + [r for u, p in zip("abc", ("shell", "miner", "thief"), strict=True) for r in POISONS[p](u)]
    assert made(rows).outliers == ()
    rows = base() + miner("a") + thief("b")
    assert [o.unit for o in made(rows).outliers] == ["a", "b"]


def test_fewer_than_four_units_say_nothing() -> None:
    assert FEWEST == 4
    assert made(base("abc") + miner("a")).outliers == ()
    assert [o.unit for o in made(base("abcd") + miner("a")).outliers] == ["a"]


def test_new_files_of_a_longer_load_are_no_reason() -> None:
    rows = base() + [opened("a", f"/srv/data/{n}{n}.html") for n in range(500)]
    rows += [opened("a", f"/var/lib/app/{n}{n}.db", "write+create") for n in range(500)]
    assert made(rows).outliers == ()


def test_a_person_s_session_is_no_reason_and_no_evidence() -> None:
    rows = base() + [dict(r, phase="exec-session") for r in shell("a")]
    learned = made(rows)
    assert learned.outliers == ()
    assert texts(learned, section="process") == {"path /usr/bin/app rw"}
    # asked for, it is a unit that alone ran a shell
    asked = made(rows, sessions=True)
    assert [o.unit for o in asked.outliers] == ["a"]


def test_two_units_of_six_that_run_files_from_tmp_are_both_named() -> None:
    learned = made(base() + miner("a") + thief("a") + miner("d") + thief("d"))
    assert [o.unit for o in learned.outliers] == ["a", "d"]
    assert not any("/tmp/.x" in t or "secrets" in t for t in texts(learned))


def test_a_chain_of_programs_is_one_surprise() -> None:
    backup = [
        executed("a", "/usr/bin/tar"),
        executed("a", "/usr/bin/dash", exe="/usr/bin/tar"),
        executed("a", "/usr/bin/gzip", exe="/usr/bin/dash"),
    ]
    learned = made(base() + backup)
    assert learned.outliers == ()
    assert any(w.startswith("only 1 of 6 units executed /usr/bin/dash") for w in learned.warnings)


@pytest.mark.parametrize(
    "deed",
    [
        opened("b", "/etc/ld.so.preload", "write+create"),
        opened("b", "/etc/cron.d/x", "write+create"),
        row("b", **{"class": "capability"}, op="capable", capability="CAP_SYS_PTRACE"),
        row("b", **{"class": "socket"}, op="socket", family="packet", type="raw"),
    ],
    ids=lambda d: d["op"] + str(d.get("path") or d.get("family") or ""),
)
def test_what_gives_power_over_the_system_sets_a_unit_apart(deed: dict) -> None:  # type: ignore[type-arg]
    assert [o.unit for o in made([*base(), deed]).outliers] == ["b"]
