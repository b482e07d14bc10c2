"""Random policies: the compiled semantics agree with a naive reading of them, and YAML gives back what it took."""

from __future__ import annotations

import itertools
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_kernel import file_key, process_key
from policy_naive import naive
from policy_strategies import POLICIES, questions
from ruamel.yaml import YAML

from models.policy import (
    Access,
    Action,
    Dialect,
    Op,
    Policy,
    PolicyFile,
    Posture,
    Verdict,
    compile,  # noqa: A004
    dump_policy,
    load_policies,
    quote,
)
from models.policy.kubearmor import KubeArmorRuleset

POSTURES = st.sampled_from((Posture.all("audit"), Posture.all("block"), Posture("audit", "block", "audit")))
Asked = tuple[list[Policy], list[Access]]


@settings(max_examples=150, deadline=None)
@given(questions(), POSTURES)
def test_compiled_agrees_with_naive(asked: Asked, posture: Posture) -> None:
    policies, accesses = asked
    ruleset = compile(policies, posture, Dialect.DISCOVER)
    for access in accesses:
        assert ruleset.decide(access).verdict.value == naive(policies, posture, access), access


@settings(max_examples=60, deadline=None)
@given(questions(), POSTURES, st.sampled_from(list(Dialect)))
def test_a_decision_is_consistent(asked: Asked, posture: Posture, dialect: Dialect) -> None:
    policies, accesses = asked
    ruleset = compile(policies, posture, dialect)
    for access in accesses:
        decision = ruleset.decide(access)
        assert decision == ruleset.decide(access)
        assert (decision.errno == 13) is (decision.verdict is Verdict.BLOCK)
        if decision.verdict is Verdict.AUDIT:
            assert decision.alerts
        if decision.rule is not None:
            assert decision.policy in {p.name for p in policies}


@settings(max_examples=200, deadline=None)
@given(questions())
def test_kubearmor_s_look_ups_agree_with_the_long_way(asked: Asked) -> None:
    policies, accesses = asked
    ruleset = KubeArmorRuleset.compile(policies, Posture())
    for access in accesses:
        found = ruleset._find(access.path, access.source, "file")
        assert found == file_key(ruleset.file, access.path, access.source)
        found = ruleset._find(access.path, access.parent, "process")
        assert found == process_key(ruleset.process, access.path, access.parent)


@settings(max_examples=60, deadline=None)
@given(questions(), POSTURES, st.randoms())
def test_the_order_of_policies_means_nothing(asked: Asked, posture: Posture, rnd: random.Random) -> None:
    policies, accesses = asked
    shuffled = list(policies)
    rnd.shuffle(shuffled)
    one, two = compile(policies, posture), compile(shuffled, posture)
    assert [one.decide(a).verdict for a in accesses] == [two.decide(a).verdict for a in accesses]


@settings(max_examples=60, deadline=None)
@given(POLICIES)
def test_a_policy_survives_yaml(policy: Policy) -> None:
    text = dump_policy(policy)
    (read,) = load_policies(text)
    assert read == policy
    assert dump_policy(read) == text
    assert yaml.safe_load(text) == policy.to_document()
    assert YAML(typ="safe", pure=True).load(text) == policy.to_document()


@settings(max_examples=60, deadline=None)
@given(POLICIES, POLICIES)
def test_an_edited_file_says_what_the_new_policy_says(before: Policy, after: Policy) -> None:
    file = PolicyFile.load(dump_policy(before))
    file.update(0, after)
    assert load_policies(file.text) == [after]


ODD = st.one_of(
    st.text(),
    st.sampled_from(
        [
            "NO",
            "yes",
            "on",
            "off",
            "y",
            "N",
            "null",
            "~",
            "0644",
            "0o17",
            "1e3",
            ".5",
            ".",
            "..",
            "---",
            "...",
            "=",
            "<<",
            "12:30:45",
            "2001-01-01",
            "0x1f",
            "1_000",
            "-1",
            "+.inf",
            ".NaN",
        ]
    ),
    st.text(alphabet="\n\r\t\x00\x1b\x7f\x85\u2028\ufeff'\"\\:#-{}[],&*!|>%@` a/"),
)


@settings(max_examples=300, deadline=None)
@given(ODD)
def test_every_string_comes_back_under_yaml_1_1_and_1_2(text: str) -> None:
    document = f"key: {quote(text)}\nlist: [{quote(text)}, {quote(text)}]\n"
    expected = {"key": text, "list": [text, text]}
    assert yaml.load(document, Loader=yaml.CSafeLoader) == expected
    assert YAML(typ="safe", pure=True).load(document) == expected
    assert "\x1b" not in document
    assert len(document.splitlines()) == 2


ONE_KEY = [{"path": "/a/a", "action": a} | ({"readOnly": True} if r else {}) for a in Action for r in (False, True)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_mix_of_rules_on_one_key_agrees_with_naive(size: int) -> None:
    asked = [
        Access(op=Op.OPEN, path=p, source="/x", read=not w, write=w) for p in ("/a/a", "/a/b") for w in (True, False)
    ]
    for mix in itertools.product(ONE_KEY, repeat=size):
        spec = {"file": {"matchPaths": list(mix), "matchDirectories": [{"dir": "/a/", "action": "Audit"}]}}
        policies = [Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "p"}, "spec": spec})]
        ruleset = compile(policies, Posture.all("block"))
        for access in asked:
            assert ruleset.decide(access).verdict.value == naive(policies, Posture.all("block"), access), (mix, access)
