"""Profiles, compiled by AppArmor's own parser, allow what the decision function allows; the rest is refused by name."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from enforcer.apparmor import Profiles, profiles
from enforcer.apparmor.order import overlap
from enforcer.errors import PolicyRefused
from models.policy import (
    Access,
    Action,
    Dialect,
    Op,
    Policy,
    Posture,
    Ruleset,
    Verdict,
    compile,  # noqa: A004
    compile_pattern,
    dump_policies,
    rules,
)
from models.policy.access import FILE_OPS
from models.policy.cells import Facts

sys.path.insert(0, str(Path(__file__).parents[1] / "policy"))
sys.path.insert(0, str(Path(__file__).parent))
from apparmor_dfa import EXEC, READ, WRITE, Automaton
from policy_strategies import questions

pytestmark = pytest.mark.skipif(not shutil.which("apparmor_parser"), reason="apparmor_parser is not installed")
CLASSES = ("process", "file", "network", "capabilities")
MODES = st.sampled_from(("audit", "block"))


def policy(name: str = "one", **spec: Any) -> Policy:
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": spec})


def translated(*policies: Policy, posture: Posture | None = None, block: tuple[str, ...] = CLASSES) -> Profiles:
    return profiles(policies, posture or Posture.all("block"), "discover-t", block=block)


class Confined:
    """Profiles as something that decides about files and executions."""

    def __init__(self, made: Profiles) -> None:
        self._made = made
        self._automata: dict[str, Automaton] = {}

    def _allowed(self, source: str, path: str, *, owner: bool, wanted: int) -> bool:
        name = self._made.of(source)
        if name not in self._automata:
            text = next(p.text for p in self._made.found if p.name == name)
            self._automata[name] = Automaton.of("abi <abi/3.0>,\n" + text)
        found = self._automata[name].permissions(path.encode("utf-8", "surrogateescape"), owner=owner)
        return found & wanted == wanted

    def allows(self, access: Access, path: str) -> bool:
        facts = Facts.of(access)
        if access.op is Op.EXEC:
            return self._allowed(access.parent, path, owner=facts.owner, wanted=EXEC)
        wanted = READ if facts.reads_only else WRITE | (READ if access.read and access.op is Op.OPEN else 0)
        return self._allowed(access.source, path, owner=facts.owner, wanted=wanted)


def happens(ruleset: Ruleset, access: Access) -> bool:
    if access.op is Op.EXEC:  # its own open is judged by Block rules
        own = ruleset.decide(
            replace(access, op=Op.OPEN, source=access.parent, read=True, write=False, create=False, truncate=False)
        )
        if own.verdict is Verdict.BLOCK and own.rule:
            return False
        access = replace(access, source=access.parent)  # for both AppArmor asks the program that executes
    return ruleset.decide(access).allowed


def without(value: Any, *fields: str) -> Any:
    """The same policy without some fields: those that are always, or often, refused."""
    if isinstance(value, dict):
        return {k: without(v, *fields) for k, v in value.items() if k not in fields}
    return [without(v, *fields) for v in value] if isinstance(value, list) else value


def test_random_policies_are_followed_or_refused() -> None:
    compared = 0

    # Each example runs the parser several times: a failure is shown as it was found, not shrunk for minutes.
    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(questions(), st.builds(Posture, MODES, MODES, MODES), st.booleans())
    def follow(asked: tuple[list[Policy], list[Access]], posture: Posture, owners: bool) -> None:
        nonlocal compared
        drop = ("pts", "network") if owners else ("pts", "network", "ownerOnly")
        policies = [Policy.from_document(without(p.to_document(), *drop)) for p in asked[0]]
        try:
            made = translated(*policies, posture=posture)
        except PolicyRefused:
            return
        confined, ruleset = Confined(made), compile(policies, posture, Dialect.DISCOVER)
        for access in asked[1]:
            path = access.path
            if not path.startswith("/") or access.op not in FILE_OPS - {Op.WRITE, Op.SETXATTR} | {Op.EXEC}:
                continue
            listing = [r for p in policies for r in rules(p) if r.section == "process" and r.action is not Action.BLOCK]
            reading = access.op is Op.OPEN and Facts.of(access).reads_only
            if reading and any(overlap(r, replace(r, match="path", value=path)) for r in listing):
                continue  # what may be executed may be read
            alone = replace(access, target="", op=Op.UNLINK if access.op in (Op.RENAME, Op.LINK) else access.op)
            forms = [path] if alone.op is Op.EXEC or path == "/" else [path, path + "/"]
            for form in forms:
                compared += 1
                assert confined.allows(alone, form) == happens(ruleset, alone), (
                    f"{alone} as {form}\n{posture}\n{dump_policies(policies)}{made.text}"
                )

    follow()
    assert compared > 400


HOSTILE = [
    '/a b/"c"',
    "/x\\y",
    "/s*r",
    "/q?",
    "/b[r]",
    "/c{u}",
    "/p}",
    "/at@{x}",
    "/h#,^$",
    "/n\nl",
    "/t\tb",
    "/é€",
    "/d\x7f",
    "/ü,",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stands_for_itself(name: str) -> None:
    made = translated(policy(file={"action": "Allow", "matchPaths": [{"path": name}]}))
    automaton = Automaton.of(made.text)
    assert automaton.permissions(name.encode(), owner=False) & (READ | WRITE) == READ | WRITE
    for other in (name + "x", "/sabr", "/qa", "/br", "/cu", "/x/y", "/", "/n", name.replace("\\", "")):
        if other != name:
            assert not automaton.permissions(other.encode(), owner=True) & (READ | WRITE), other


@pytest.mark.parametrize(
    "pattern", ["/a/*", "/a/**", "/a/?", "/[ab]c", "/[^ab]c", "/[!-0]x", "/{a,b{c,}}/x", "/{a}", "/a\\*b", "/[]x]y"]
)
def test_a_pattern_matches_what_it_matches_here(pattern: str) -> None:
    made = translated(policy(file={"action": "Allow", "matchPatterns": [{"pattern": pattern}]}))
    automaton = Automaton.of(made.text)
    words = ["a", "b", "c", "bc", "x", "]", "/", "*", ".", "-", "ab"]
    paths = {
        "/" + one + two + three for one in words for two in ["", *words] for three in ["", "b", "c", "x", "/x", "y"]
    }
    matched = 0
    for path in sorted(p for p in paths if "//" not in p and not p.endswith("/")):
        wanted = compile_pattern(pattern).fullmatch(path) is not None
        matched += wanted
        assert bool(automaton.permissions(path.encode(), owner=False) & READ) == wanted, path
    assert matched


REFUSED = {
    "terminal": {"file": {"matchPaths": [{"path": "/a", "pts": False}], "action": "Allow"}},
    "arguments": {"process": {"matchPaths": [{"path": "/a", "allowedArgs": ["-x"]}], "action": "Allow"}},
    "family and type": {"network": {"matchProtocols": [{"protocol": "icmp"}], "action": "Allow"}},
    "names": {"network": {"matchDNSQueries": [{"domain": "x.org"}], "action": "Allow"}},
    "a deny wins": {
        "file": {
            "matchPaths": [{"path": "/a/b", "action": "Allow"}],
            "matchDirectories": [
                {"dir": "/a/", "recursive": True, "action": "Block"},
                {"dir": "/", "recursive": True, "action": "Allow"},
            ],
        }
    },
    "the owner alone": {"file": {"matchPaths": [{"path": "/a", "ownerOnly": True}], "action": "Block"}},
    "list of executables": {
        "file": {"matchPaths": [{"path": "/a", "fromSource": [{"path": "/b"}]}], "action": "Allow"}
    },
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_apparmor_cannot_say_is_refused_with_the_rule(why: str) -> None:
    with pytest.raises(PolicyRefused, match=why) as refused:
        translated(policy(**REFUSED[why]))
    assert "one spec." in str(refused.value)


def test_a_block_that_no_wider_rule_opens_needs_no_deny_and_so_its_exception_holds() -> None:
    made = translated(
        policy(
            process={"matchPaths": [{"path": "/bin/x"}], "action": "Allow"},
            file={
                "matchPaths": [{"path": "/a/b", "action": "Allow"}],
                "matchDirectories": [{"dir": "/a/", "recursive": True, "action": "Block"}],
            },
        )
    )
    automaton = Automaton.of(made.text)
    assert automaton.permissions(b"/a/b", owner=False) & READ
    assert not automaton.permissions(b"/a/c", owner=True) & READ


def test_a_block_on_what_may_be_executed_stays_and_keeps_it_from_being_executed() -> None:
    made = translated(
        policy(
            process={"matchDirectories": [{"dir": "/a/"}], "action": "Allow"},
            file={
                "matchPaths": [{"path": "/x", "action": "Allow"}],
                "matchDirectories": [{"dir": "/a/", "recursive": True, "action": "Block"}],
            },
        )
    )
    assert not Automaton.of(made.text).permissions(b"/a/c", owner=True) & (READ | EXEC)


def test_audit_tells_and_denies_nothing() -> None:
    made = translated(policy(file={"action": "Allow", "matchPaths": [{"path": "/a"}]}), block=())
    assert "complain" in made.text.partition("{")[0]
    assert not Automaton.of(made.text).permissions(b"/b", owner=True) & READ  # so that it is told


def test_a_class_in_audit_beside_one_in_block_is_open_and_said() -> None:
    spec: dict[str, Any] = {
        "file": {"action": "Allow", "matchPaths": [{"path": "/a"}]},
        "process": {"action": "Allow", "matchPaths": [{"path": "/x"}]},
    }
    made = translated(policy(**spec), block=("process",))
    automaton = Automaton.of(made.text)
    assert automaton.permissions(b"/b", owner=False) & (READ | WRITE) == READ | WRITE
    assert not automaton.permissions(b"/b", owner=False) & EXEC
    assert any(note.startswith("file: in Audit") for note in made.notes)
