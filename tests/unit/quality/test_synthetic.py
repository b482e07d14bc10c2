"""What the made-up measures make up, and that they notice what they are there to notice."""

import random
from dataclasses import replace

import pytest

import models.learn
from benchmarks.quality.synthetic import hostile, slots
from benchmarks.quality.synthetic.rows import app, evidence_of, opened, with_rows
from models.evidence import Evidence, accesses
from models.learn import Learned, Options
from models.policy import File, FileDirectory, compile_pattern


@pytest.mark.parametrize("slot", slots.SLOTS, ids=lambda s: s.name)
def test_names_of_a_kind_differ_and_are_no_strangers(slot: slots.Slot) -> None:
    rng = random.Random(1)
    names = [slot.make(rng) for _ in range(50)]
    assert len(set(names)) > 45
    assert not set(names) & set(slot.strangers)


def test_rows_are_added_to_real_evidence() -> None:
    six = hostile.six("redis")
    bad = hostile.intrusion(six.units[0], "/usr/bin/redis-server")
    both = with_rows(six, bad)
    assert both.behaviours.num_rows == six.behaviours.num_rows + len(bad)
    assert {s.access.path for s in accesses(both.behaviours)} >= {"/etc/shadow", hostile.TOKEN, "/tmp/.x/xmrig"}
    added = {s.access.path for s in accesses(both.behaviours)} - {s.access.path for s in accesses(six.behaviours)}
    assert added == {r["path"] for r in bad if r.get("path")}


def test_an_intrusion_that_is_learned_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = hostile.learn

    def gullible(evidence: Evidence, options: Options) -> Learned:
        return real(evidence, replace(options, keep_outliers=True))

    (fine,) = hostile.poisoned(datasets=("redis",))
    monkeypatch.setattr(hostile, "learn", gullible)
    (bad,) = hostile.poisoned(datasets=("redis",))
    assert fine.holds is True
    assert bad.holds is False
    assert bad.figure.startswith("not named")
    assert "xmrig" in bad.figure


def test_a_wide_rule_over_sprayed_names_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = hostile.learn

    def wide(evidence: Evidence, options: Options) -> Learned:
        learned = real(evidence, options)
        directory = FileDirectory(dir="/etc/", action="Allow")
        return replace(learned, spec=replace(learned.spec, file=File(match_directories=(directory,), action="Allow")))

    (fine,) = hostile.sprayed(names=600)
    monkeypatch.setattr(hostile, "learn", wide)
    (bad,) = hostile.sprayed(names=600)
    assert fine.holds is not False or "0 of" in fine.figure
    assert bad.holds is False
    assert not bad.figure.startswith("0 of")


def test_a_missing_slot_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = next(s for s in slots.SLOTS if s.name == "uuid")
    rng = random.Random(2)
    rows = [*app("one"), *(opened("one", slot.make(rng), slot.access) for _ in range(3))]
    assert len(evidence_of(rows).units) == 1
    real = models.learn.learn
    empty = evidence_of(app("one"))
    monkeypatch.setattr(slots, "learn", lambda _, options: real(empty, options))
    monkeypatch.setattr(slots, "SLOTS", (slot,))
    (bar,) = slots.measure()
    assert bar.holds is False
    assert bar.figure.startswith("0 of 2,000")
    assert compile_pattern("/var/lib/app/sessions/*.json").fullmatch(slot.make(rng))
