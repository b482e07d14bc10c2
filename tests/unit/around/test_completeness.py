"""Whether enough was seen: the estimates, the verdict, and what would raise it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evidence_made import APP, evidence, inventory, policy, row
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATASETS

from discover.coverage import as_json, as_lines, coverage, learner, sparkline
from models.advice import advise, units_needed
from models.completeness import Verdict, assess, binomial, rarefaction
from models.coverage import clean_bound, estimate
from models.dataset import open_dataset
from models.evidence import Evidence, gather
from models.policy import Dialect, Posture, Ruleset, compile  # noqa: A004

TWELVE = [f"u{n:02}" for n in range(12)]


def served(units: list[str], *, accepts: bool = True) -> list[dict[str, Any]]:
    rows = [row(u, "open", path="/etc/app.conf", phase="start-up") for u in units]
    rows += [row(u, "listen", family="inet", protocol="tcp", port=80, phase="start-up") for u in units]
    if accepts:
        rows += [row(u, "accept", family="inet", protocol="tcp", port=80) for u in units]
    return rows


def everything_below_tmp(_evidence: Evidence) -> Ruleset:
    rules = policy(file={"matchDirectories": [{"dir": d, "action": "Allow"} for d in ("/tmp/", "/etc/")]})
    return compile([rules], Posture.all("block"), Dialect.DISCOVER)


# -- the estimates


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_rarefaction_is_the_mean_over_all_choices_of_units(rows: list[list[bool]]) -> None:
    matrix = np.asarray(rows)
    curve = rarefaction(matrix.sum(axis=0).tolist(), len(rows))
    for k in range(1, len(rows) + 1):
        chosen = [matrix[list(c)].any(axis=0).sum() for c in itertools.combinations(range(len(rows)), k)]
        assert math.isclose(curve[k - 1], float(np.mean(chosen)), abs_tol=1e-9)


@pytest.mark.parametrize(("hits", "trials"), [(1, 20), (3, 20), (10, 11), (5, 300), (6, 12)])
def test_the_interval_of_a_share_has_tails_of_a_fortieth(hits: int, trials: int) -> None:
    low, high = binomial(hits, trials)

    def chance(p: float, ks: range) -> float:
        return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in ks)

    assert low < hits / trials < high
    assert math.isclose(chance(low, range(hits, trials + 1)), 0.025, rel_tol=1e-6)
    assert math.isclose(chance(high, range(hits + 1)), 0.025, rel_tol=1e-6)


def test_a_clean_record_leaves_the_clean_bound() -> None:
    assert binomial(0, 20) == (0.0, clean_bound(20))
    assert binomial(20, 20) == (1 - clean_bound(20), 1.0)
    assert binomial(0, 0) == (0.0, 1.0)
    assert (units_needed(0.25), units_needed(0.1)) == (11, 29)


def test_raw_is_the_estimator_of_models_coverage() -> None:
    rows = [*served(TWELVE), row(TWELVE[0], "open", path="/a"), row(TWELVE[1], "open", path="/b")]
    found = assess(evidence(rows, TWELVE))
    matrix = np.zeros((12, 3), bool)
    matrix[:, 0] = matrix[0, 1] = matrix[1, 2] = True
    (file,) = [c for c in found.classes if c.name == "file"]
    assert file.raw == estimate(matrix)
    assert file.curve[-1] == pytest.approx(3)
    assert file.curve[0] == pytest.approx(1 + 2 / 12)


# -- the verdict


def test_enough_clean_units_are_complete_and_fewer_are_not() -> None:
    assert assess(evidence(served(TWELVE), TWELVE)).verdict is Verdict.COMPLETE
    ten = TWELVE[:10]
    assert assess(evidence(served(ten), ten)).verdict is Verdict.INCOMPLETE
    assert assess(evidence(served(ten), ten), at_most=0.3).verdict is Verdict.COMPLETE
    one = assess(evidence(served(["u"]), ["u"]))
    assert (one.verdict, one.reasons) == (Verdict.INCOMPLETE, ("one unit says nothing of the next",))


@pytest.mark.parametrize("what", ["lost", "unwatched", "unmet", "unknown"])
def test_what_makes_it_incomplete(what: str) -> None:
    made = evidence(served(TWELVE), TWELVE)
    failover = {"unmet": False, "unknown": None}.get(what, True)
    met: list[tuple[str, bool | None]] = [("a restart", True), ("a failover", failover)]
    if what == "lost":
        made = replace(made, lost={"ring-full": 3})
    if what == "unwatched":
        made = replace(made, watched={**made.watched, "socket": "unwatched"})
    found = assess(made, must_sees=met)
    assert found.verdict is Verdict.INCOMPLETE
    assert len(found.reasons) == 1
    word = {"lost": "ring-full", "unwatched": "socket", "unmet": "a failover", "unknown": "a failover"}[what]
    assert word in found.reasons[0]


def test_who_listens_and_is_never_asked_is_idle_however_flat_the_curve() -> None:
    found = assess(evidence(served(TWELVE, accepts=False), TWELVE))
    assert found.verdict is Verdict.IDLE
    assert all(c.high <= 0.25 for c in found.classes)
    failed = served(TWELVE, accepts=False) + [
        row(u, "accept", family="inet", protocol="tcp", port=80, errno=11) for u in TWELVE
    ]
    assert assess(evidence(failed, TWELVE)).verdict is Verdict.IDLE


def test_a_session_s_own_server_is_no_client() -> None:
    rows = served(TWELVE, accepts=False)
    server = {"family": "inet", "protocol": "tcp", "port": 4444, "phase": "exec-session"}
    rows += [row(u, op, **server) for u in TWELVE for op in ("listen", "accept")]
    assert assess(evidence(rows, TWELVE)).verdict is Verdict.IDLE


def test_idle_units_among_others_are_left_out_of_the_figures() -> None:
    units = [*TWELVE, "lazy"]
    found = assess(evidence(served(TWELVE) + served(["lazy"], accepts=False), units))
    assert found.units == tuple(TWELVE)
    assert found.idleness.idle == ("lazy",)
    assert found.verdict is Verdict.COMPLETE


def test_no_must_see_met_is_idle() -> None:
    assert assess(evidence(served(TWELVE), TWELVE), must_sees=[("a", False), ("b", False)]).verdict is Verdict.IDLE
    assert assess(evidence(served(TWELVE), TWELVE), must_sees=[("a", False), ("b", True)]).verdict is Verdict.INCOMPLETE


def test_a_worker_that_touches_none_of_its_files_after_start_up_is_idle() -> None:
    files = inventory(*(f"/app/{n}.py" for n in range(9)))
    quiet = [row(u, "open", path="/app/0.py", phase="start-up") for u in TWELVE]
    found = assess(evidence(quiet, TWELVE, inventory=files))
    assert found.verdict is Verdict.IDLE
    assert (found.idleness.own_files, found.idleness.used_files, found.idleness.used_later) == (9, 1, 0)
    busy = quiet + [row(u, "open", path="/app/1.py") for u in TWELVE]
    assert assess(evidence(busy, TWELVE, inventory=files)).verdict is Verdict.COMPLETE
    assert assess(evidence(quiet, TWELVE)).verdict is Verdict.COMPLETE  # nothing says what it has


def test_files_of_its_own_are_those_of_its_package() -> None:
    files = inventory(APP, *(f"/usr/share/app/{n}" for n in range(9)), package="app")
    quiet = [row(u, "open", path="/usr/share/app/1", phase="start-up") for u in TWELVE]
    assert assess(evidence(quiet, TWELVE, inventory=files)).verdict is Verdict.IDLE


# -- with a learner


def random_names() -> Evidence:
    rows = served(TWELVE) + [row(u, "open", path=f"/tmp/upload-{n}") for u in TWELVE for n in (u, u + "x")]
    return evidence([*rows, row("u03", "open", path="/srv/new")], TWELVE)


def test_names_that_the_learner_generalises_are_no_news() -> None:
    raw, learned = assess(random_names()), assess(random_names(), learn=everything_below_tmp)
    (raw_file,) = [c for c in raw.classes if c.name == "file"]
    (file,) = [c for c in learned.classes if c.name == "file"]
    assert raw_file.raw.new == 1.0
    assert file.learned is not None
    assert (file.learned.surprised, file.learned.count, file.learned.new) == (1, 1, 1 / 12)
    assert file.learned.share == pytest.approx(1 / 4 / 12)
    assert file.learned.share_low == 0.0 < file.learned.share < file.learned.share_high
    assert [s.access.path for s in learned.news["u03"]] == ["/srv/new"]
    assert file.raw == raw_file.raw


def test_each_unit_is_judged_by_what_the_others_taught() -> None:
    taught: list[tuple[str, ...]] = []

    def learn(part: Evidence) -> Ruleset:
        taught.append(part.units)
        assert set(part.behaviours["unit"].cast("string").to_pylist()) == set(part.units)
        return everything_below_tmp(part)

    assess(random_names(), learn=learn)
    assert taught == [tuple(o for o in TWELVE if o != u) for u in TWELVE]
    taught.clear()
    assess(evidence(served(TWELVE), TWELVE), learn=learn)
    assert taught == []  # no unit has anything of its own: nothing to judge


@pytest.mark.parametrize("learned", [True, False])
def test_twelve_idle_units_alone_are_not_complete(learned: bool) -> None:
    (made,) = gather(open_dataset(DATASETS / "nginx-idle"))
    found = assess(made, learn=learner() if learned else None)
    assert found.verdict is Verdict.IDLE
    assert sum(len(n) for n in found.news.values()) == 0


def test_a_loaded_nginx_is_not_idle_and_its_random_names_are_no_news() -> None:
    (made,) = gather(open_dataset(DATASETS / "nginx"))
    found = assess(made, learn=learner())
    assert found.verdict is not Verdict.IDLE
    (file,) = [c for c in found.classes if c.name == "file"]
    assert file.raw.new > 0.7
    assert file.learned is not None
    assert file.learned.new <= 0.3


# -- what would raise it


def notes(units: list[str], **tags: list[str]) -> list[dict[str, Any]]:
    return [{"unit": u, "notes": ["seed: 1", *tags.get(u, [])], "drills": None} for u in units]


def test_advice_names_drills_loads_listeners_and_units() -> None:
    rows = served(TWELVE[:6]) + [row("u01", "open", path=f"/srv/{n}") for n in range(5)]
    rows += [row(u, "listen", family="unix", path="/run/x.sock", phase="start-up") for u in TWELVE[:6]]
    found = assess(evidence(rows, TWELVE[:6]))
    units = notes(TWELVE[:6], u01=["load: upload", "drill: rotate, by hand"], u02=["state: restart"])
    text = "\n".join(advise(found, units))
    assert "connect to unix /run/x.sock" in text
    assert "never walked: reload, stop, crash" in text
    assert "'load: upload': the 1 that had it brought 5.0 surprises each, the others 0.0" in text
    assert "seed" not in text
    assert "record 5 more units" in text
    assert "file (5 of 5)" in text


def test_the_report_is_text_and_the_json_has_no_infinity() -> None:
    rows = [*served(["u\x1b1"]), row("u\x1b1", "open", path="/x")]
    covered = coverage(evidence(rows, ["u\x1b1"]), must_sees=[("a \x1b[31mfailover", False)])
    text = "\n".join(as_lines([covered]))
    assert "\x1b" not in text
    assert "IDLE" in text
    plain = as_json(covered)
    assert plain["classes"]["file"]["raw"]["unseen"] is None
    assert plain["must_sees"] == [{"name": "a \x1b[31mfailover", "met": False}]


def test_a_curve_fits_a_line() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert len(sparkline([float(n) for n in range(1, 301)])) <= 20
    bars = sparkline([1.0, 2.0, 4.0])
    assert bars == "".join(sorted(bars))
