"""Judging counts what the decision function says."""

import pytest

from benchmarks.quality.baselines import BASELINES
from benchmarks.quality.judge import DIALECTS, Tally, compiled, judge, policy_of
from benchmarks.quality.material import dataset_material
from models.policy import LIMITS, Op, Posture, Target, compile  # noqa: A004 - as in re.compile
from tests.unit.quality.rows import material, row


@pytest.mark.parametrize("target", [Target.DISCOVER, Target.KUBEARMOR_BPFLSM])
def test_the_verdicts_are_those_of_the_decision_function(target: Target) -> None:
    whole = dataset_material("redis")[0]
    first, *others = whole.evidence.units
    spec = BASELINES["literal"](whole.of(others[:1]), LIMITS[target].patterns)
    plain = compile([policy_of(spec)], Posture.all("block"), DIALECTS[target])
    quick = compiled(spec, target)
    seen = whole.of([first]).seen
    verdicts = [plain.decide(s.access).allowed for s in seen]
    assert [quick.decide(s.access).allowed for s in seen] == verdicts
    found = judge(quick, seen)
    assert (found.all.denied, found.all.of) == (verdicts.count(False), len(seen))
    assert 0 < found.all.denied < found.all.of
    assert found.all.denied_count == sum(s.count for s, allowed in zip(seen, verdicts, strict=True) if not allowed)


def test_steady_is_what_happened_there_too() -> None:
    rows = [row("/a", count=5), row("/a", phase="start-up"), row("/b", phase="start-up", count=7), row("/c", count=2)]
    have = material([row("/a"), row("/z")])
    found = judge(compiled(BASELINES["literal"](have, True), Target.DISCOVER), material(rows).seen)
    assert found.steady == Tally(1, 2, 2, 8)
    assert found.all == Tally(2, 3, 9, 15)
    assert found.classes["file"] == found.all


def test_what_nobody_judges_is_not_counted() -> None:
    rows = [
        row("/lib/x.so", access=None, op="mmap-exec"),
        row("/a"),
        row("/bin/sh", access=None, op="exec", phase="exec-session", **{"class": "exec"}),
        row("/recorder", phase="runtime-init"),
    ]
    assert [s.access.path for s in material(rows, kind="Command").seen] == ["/a"]
    assert [s.access.path for s in material(rows, kind="Container").seen] == ["/a", "/recorder"]
    assert all(s.access.op is Op.OPEN for s in material(rows).seen)
