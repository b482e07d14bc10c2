"""The evidence beside a policy, as `discover generate` writes it and `discover explain` reads it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from places import DATASETS

from models.dataset import open_dataset
from models.evidence import gather
from models.learn import Learned, Options, learn
from models.learn.sidecar import BadSidecar, from_json, to_json
from models.policy import KubeArmorPolicy, Metadata, Target, rules


@pytest.fixture(scope="module")
def learned() -> Learned:
    (evidence,) = gather(open_dataset(DATASETS / "redis"))
    return learn(evidence, Options(target=Target.KUBEARMOR_BPFLSM))


def test_every_learned_rule_comes_back_under_its_field_path(learned: Learned) -> None:
    text = to_json(learned, "redis", ("1", "2"))
    assert text == to_json(learned, "redis", ("1", "2"))
    assert text.isascii()
    back = from_json(text, "redis.evidence.json")
    assert (back.workload, back.policy, back.target) == (str(learned.workload), "redis", "kubearmor-bpflsm")
    assert (back.units, back.recordings) == (learned.units, ("1", "2"))
    assert list(back.rules.values()) == [r.evidence for r in learned.rules]
    policy = KubeArmorPolicy(metadata=Metadata(name="redis"), spec=learned.spec)
    assert list(back.rules) == list(dict.fromkeys(r.where for r in rules(policy)))


def test_names_that_are_no_text_are_kept(learned: Learned) -> None:
    first, *rest = learned.rules
    odd = replace(first, evidence=replace(first.evidence, examples=("/srv/\udcff\x1b[31m",)))
    text = to_json(replace(learned, rules=(odd, *rest)), "redis")
    assert "\x1b" not in text
    assert from_json(text, "x").rules["spec.process.matchPaths[0]"] == odd.evidence


@pytest.mark.parametrize(
    "text",
    ["nope", "[]", "{}", '{"rules": []}', '{"schema_version": 2}', json.dumps({"schema_version": 1, "rules": [{}]})],
)
def test_anything_else_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadSidecar, match=r"x\.json") as error:
        from_json(text, "x.json")
    assert "discover generate" in error.value.hint
