"""The compiled tables decide as the decision function does, over random policies and accesses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.compile import Interpreter, compile_tables
from enforcer.errors import PolicyRefused
from models.policy import Access, Dialect, Op, Policy, Posture, Verdict, compile  # noqa: A004

sys.path.insert(0, str(Path(__file__).parents[1] / "policy"))
from policy_strategies import questions

MODES = st.sampled_from(("audit", "block"))
POSTURES = st.builds(Posture, MODES, MODES, MODES)


def policy(name: str = "one", **spec: Any) -> Policy:
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": spec})


def agree(policies: list[Policy], posture: Posture, accesses: list[Access]) -> None:
    ruleset = compile(policies, posture, Dialect.DISCOVER)
    tables = compile_tables(policies, posture)
    interpreter = Interpreter(tables)
    for access in accesses:
        wanted, got = ruleset.decide(access), interpreter.decide(access)
        assert got.verdict is wanted.verdict, access
        if wanted.verdict is not Verdict.ALLOW:
            assert (tables.rules[got.rule - 1] if got.rule else None) is wanted.rule or (
                got.rule and tables.rules[got.rule - 1] == wanted.rule
            ), access


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions(), POSTURES)
def test_tables_decide_as_the_decision_function(asked: tuple[list[Policy], list[Access]], posture: Posture) -> None:
    agree(asked[0], posture, asked[1])


CHARACTERS = st.sampled_from(["a", "b", "-", ".", "/", "1", "é", "€"])
PIECES = st.sampled_from(
    ["a", "b", "*", "**", "?", "[ab]", "[^a]", "[a-c1]", "{a,b*,/}", "{a{b,1},}", "/", "\\*", "é", "[é1]"]
)
GLOBS = st.lists(PIECES, min_size=1, max_size=5).map(lambda parts: "/" + "".join(parts))
PATHS = st.lists(CHARACTERS, max_size=8).map(lambda parts: "/" + "".join(parts))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(GLOBS, st.sampled_from(("Allow", "Block", "Audit")), st.booleans()), min_size=1, max_size=2),
    st.lists(PATHS, min_size=1, max_size=12),
)
def test_patterns_match_what_their_regular_expression_does(
    written: list[tuple[str, str, bool]], names: list[str]
) -> None:
    rules = [{"pattern": glob, "action": action, "readOnly": flag} for glob, action, flag in written]
    accesses = [Access(op=Op.OPEN, path=n, read=True, write=w) for n in names for w in (False, True)]
    accesses += [replace(a, op=Op.EXEC) for a in accesses]
    process = [{k: v for k, v in rule.items() if k != "readOnly"} for rule in rules]
    policies = [policy(file={"matchPatterns": rules}, process={"matchPatterns": process})]
    agree(policies, Posture.all("block"), accesses)


def test_a_byte_that_is_no_utf_8_is_one_character_unless_it_begins_one() -> None:
    policies = [
        policy(file={"matchPatterns": [{"pattern": "/?", "action": "Block"}, {"pattern": "/x*", "action": "Block"}]})
    ]
    names = ["/\udc80", "/\udcff", "/x\udcc3", "/x\udcff\udc80", "/é", "/éé"]
    agree(policies, Posture(), [Access(op=Op.OPEN, path=n, read=True) for n in names])


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"process": {"matchPaths": [{"path": "/bin/a", "allowedArgs": ["-x"]}]}}, "allowedArgs"),
        ({"network": {"matchDNSQueries": [{"domain": "a.b"}]}}, "matchDNSQueries"),
        ({"syscalls": {"matchSyscalls": [{"syscall": ["unlink"]}]}}, "system calls"),
        ({"capabilities": {"matchCapabilities": [{"capability": "fly"}]}}, "no capability is called 'fly'"),
        ({"file": {"matchPatterns": [{"pattern": "/[^é]"}]}}, "beyond ASCII"),
        ({"file": {"matchPatterns": [{"pattern": "/[z-a]"}]}}, "bad character range"),
        ({"apparmor": "profile x {}"}, "AppArmor"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_reason(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(PolicyRefused, match=reason) as refused:
        compile_tables([policy(**spec)], Posture())
    assert refused.value.hint


def test_patterns_that_explode_are_refused() -> None:
    globs = [{"pattern": f"/**{a}{'?' * 15}{b}**"} for a in "abcd" for b in "efgh"]
    with pytest.raises(PolicyRefused, match="states"):
        compile_tables([policy(file={"matchPatterns": globs})], Posture())


def many(count: int) -> list[Policy]:
    paths = [
        {"path": f"/usr/lib/python3/dist-packages/package_{n // 40}/module_{n % 40}_{n * 7919 % 1000:03}.py"}
        for n in range(count)
    ]
    return [policy(file={"matchPaths": paths, "action": "Allow"})]


def test_a_big_policy_fits_its_bars() -> None:
    assert compile_tables(many(500), Posture()).blocks * 32768 <= 2 << 20
    assert compile_tables(many(20_000), Posture()).blocks * 32768 <= 16 << 20
