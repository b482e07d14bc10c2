"""What changed, by what rules permit and by what a learned policy would deny."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_made import APP, allow, evidence, policy, row
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATASETS

from discover.diff import PolicyDiff, as_json, as_lines, diff
from discover.errors import UsageError
from models.behaviour_diff import difference
from models.evidence import Evidence
from models.policy import (
    Access,
    Dialect,
    Op,
    Policy,
    Posture,
    Ruleset,
    compile,  # noqa: A004
    dump_policy,
)
from models.policy_diff import Change, Kind, compare

FILE = {"path": "/srv/a/b"}
SOURCE = {"fromSource": [{"path": APP}]}


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[Kind, list[str], list[str]]]:
    return [
        (c.kind, [r.value for r in c.old], [r.value for r in c.new]) for c in compare([policy(**old)], [policy(**new)])
    ]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (FILE, {"dir": "/srv/a/"}, Kind.WIDER),
        (FILE, {"dir": "/srv/", "recursive": True}, Kind.WIDER),
        ({"path": "/srv/a"}, {"dir": "/srv/a/"}, Kind.WIDER),
        ({**FILE, "readOnly": True}, FILE, Kind.WIDER),
        ({**FILE, **SOURCE}, FILE, Kind.WIDER),
        ({"dir": "/srv/"}, {"dir": "/srv/", "recursive": True}, Kind.WIDER),
        ({"pattern": "/srv/a/*"}, {"dir": "/srv/a/"}, Kind.WIDER),
        ({"dir": "/srv/a/"}, FILE, Kind.NARROWER),
        (FILE, {**FILE, "ownerOnly": True}, Kind.NARROWER),
        (FILE, {**FILE, "action": "Audit"}, Kind.ACTION),
        (FILE, {**FILE, "severity": 7}, Kind.RESTATED),
    ],
)
def test_one_rule_changed(old: dict[str, Any], new: dict[str, Any], kind: Kind) -> None:
    keep = {"path": "/keep"}
    (change,) = changes(allow(old, keep), allow(keep, new))
    assert change[0] is kind


def test_other_rules_are_new_and_gone() -> None:
    found = changes(allow({"path": "/a"}, {"path": "/b"}), allow({"path": "/b"}, {"path": "/c"}))
    assert found == [(Kind.NEW, [], ["/c"]), (Kind.GONE, ["/a"], [])]


def test_order_and_what_another_rule_has_already_change_nothing() -> None:
    one = allow({"path": "/a"}, {"dir": "/srv/", "recursive": True})
    assert changes(one, allow({"dir": "/srv/", "recursive": True}, {"path": "/a"})) == []
    assert changes(one, allow({"path": "/a"}, {"dir": "/srv/", "recursive": True}, {"path": "/srv/x"})) == []
    assert changes(allow({"path": "/a"}, {"dir": "/srv/", "recursive": True}, {"path": "/srv/x"}), one) == []


def test_one_rule_stands_for_several_and_the_other_way_round() -> None:
    several, one = allow(*({"path": f"/srv/{n}"} for n in range(5))), allow({"dir": "/srv/"})
    assert changes(several, one) == [(Kind.WIDER, [f"/srv/{n}" for n in range(5)], ["/srv/"])]
    assert changes(one, several) == [(Kind.NARROWER, ["/srv/"], [f"/srv/{n}" for n in range(5)])]


def test_a_class_that_opens_is_said_first() -> None:
    rules = {**allow({"path": "/a"}), **allow({"protocol": "tcp"}, section="network")}
    found = compare([policy(**rules)], [policy(**allow({"path": "/a"}))])
    assert [(c.kind, c.section, c.gives) for c in found][:1] == [(Kind.OPENED, "network", True)]
    closed = compare([policy(**allow({"path": "/a"}))], [policy(**rules)])
    assert [(c.kind, c.section, c.gives) for c in closed][:1] == [(Kind.CLOSED, "network", False)]


@pytest.mark.parametrize(
    ("action", "new", "gives"),
    [("Allow", {"dir": "/srv/a/"}, True), ("Block", {"dir": "/srv/a/"}, False)],
)
def test_what_permits_something_new_is_marked(action: str, new: dict[str, Any], gives: bool) -> None:
    old, after = policy(**allow({**FILE, "action": action})), policy(**allow({**new, "action": action}))
    assert [c.gives for c in compare([old], [after])] == [gives]
    assert [c.gives for c in compare([after], [old])] == [not gives]


PATHS = ["/a", "/a/b", "/a/b/c", "/d"]
ITEMS = [{"path": p} for p in PATHS] + [{"dir": "/a/"}, {"dir": "/a/", "recursive": True}, {"dir": "/a/b/"}]
RULES = st.lists(
    st.builds(lambda i, ro: {**i, **({"readOnly": True} if ro else {})}, st.sampled_from(ITEMS), st.booleans()),
    min_size=1,
    max_size=4,
)


@given(RULES, RULES)
@settings(max_examples=300, deadline=None)
def test_without_a_change_nothing_more_is_permitted(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    before, after = policy(**allow(*old)), policy(**allow(*new))
    found: list[Change] = compare([before], [after])
    if any(c.gives for c in found):
        return
    was, now = (compile([p], Posture.all("block"), Dialect.DISCOVER) for p in (before, after))
    for path in [*PATHS, "/a/x", "/a/b/x", "/a/b/c/x"]:
        for writes in (False, True):
            access = Access(op=Op.OPEN, path=path, read=not writes, write=writes, owner_match=True)
            assert was.decide(access).allowed or not now.decide(access).allowed
            if not found:
                assert was.decide(access).allowed == now.decide(access).allowed


def test_a_rule_that_took_something_away_matters_though_another_covers_it() -> None:
    wide, narrow = {"dir": "/a/", "recursive": True}, {"path": "/a/b", "readOnly": True}
    assert changes(allow(wide, narrow), allow(wide)) == [(Kind.WIDER, ["/a/b"], ["/a/"])]
    assert changes(allow(wide), allow(wide, narrow)) == [(Kind.NARROWER, ["/a/"], ["/a/b"])]
    block = {"dir": "/a/c/", "action": "Block"}
    assert changes(allow(wide, block, {"path": "/a/c/x"}), allow(wide, block)) == [(Kind.NARROWER, ["/a/c/x"], ["/a/"])]


# -- files ------------------------------------------------------------


def write(place: Path, *policies: Policy) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("---\n".join(map(dump_policy, policies)))
    return place


def named(name: str, *items: dict[str, Any]) -> Policy:
    return policy(name, labels={"app": "x"}, **allow(*items))


def test_files_are_matched_by_name_unless_there_is_one_of_each(tmp_path: Path) -> None:
    old = write(tmp_path / "old" / "a.yaml", named("a", {"path": "/1"}), named("b", {"path": "/2"}))
    new = write(tmp_path / "new" / "c.yaml", named("b", {"path": "/2"}), named("c", {"path": "/3"}))
    found = {d.name: d for d in diff(old.parent, new.parent) if isinstance(d, PolicyDiff)}
    assert {n: d.differs for n, d in found.items()} == {"a": True, "b": False, "c": True}
    assert "c: only in the new version" in "\n".join(as_lines(list(found.values())))
    one = write(tmp_path / "one.yaml", named("web", {"path": "/1"}))
    two = write(tmp_path / "two.yaml", named("web-renamed", {"path": "/1"}))
    (same,) = diff(one, two)
    assert not same.differs


def test_the_evidence_beside_says_because_of_what(tmp_path: Path) -> None:
    from discover.generate import Generated, Request, generate
    from discover.generate import write as write_files
    from models.dataset import open_dataset

    (made,) = generate(open_dataset(DATASETS / "redis"), Request(name="redis"))
    assert isinstance(made, Generated)
    new = tmp_path / "new" / "redis.yaml"
    new.parent.mkdir()
    write_files(made, new, "audit")
    process = replace(made.policy.spec, file=None, network=None, capabilities=None)
    old = write(tmp_path / "old.yaml", replace(made.policy, spec=process))
    (found,) = diff(old, new)
    text = "\n".join(as_lines([found]))  # type: ignore[list-item]
    assert "file is an allow-list now" in text
    assert "of 6 units" in text
    assert "because of" in text
    plain = as_json(found)
    assert all(n["evidence"] for c in plain["changes"] for n in c["new"])


def test_what_selects_another_workload_differs(tmp_path: Path) -> None:
    one = write(tmp_path / "1.yaml", named("a", {"path": "/1"}))
    two = write(tmp_path / "2.yaml", policy("a", labels={"app": "y"}, **allow({"path": "/1"})))
    (found,) = diff(one, two)
    assert found.differs
    assert "app=x -> app=y" in "\n".join(as_lines([found]))  # type: ignore[list-item]


def test_a_policy_and_a_recording_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not of one kind"):
        diff(write(tmp_path / "1.yaml", named("a", {"path": "/1"})), DATASETS / "redis")


# -- recordings -------------------------------------------------------


def below_tmp(_evidence: Evidence) -> Ruleset:
    rules = policy(file={"matchDirectories": [{"dir": d, "action": "Allow"} for d in ("/tmp/", "/etc/")]})
    return compile([rules], Posture.all("block"), Dialect.DISCOVER)


def test_another_random_name_is_no_difference() -> None:
    old = evidence([row("u", "open", path=p) for p in ("/etc/a", "/tmp/x1", "/srv/old")], ["u"])
    new = evidence([row("v", "open", path=p) for p in ("/etc/a", "/tmp/x2", "/srv/new")], ["v"])
    raw = difference(old, new).classes
    assert [s.access.path for s in raw["file"].came] == ["/srv/new", "/tmp/x2"]  # type: ignore[index]
    found = difference(old, new, below_tmp)
    file = found.classes["file"]  # type: ignore[index]
    assert ([s.access.path for s in file.came], [s.access.path for s in file.gone]) == (["/srv/new"], ["/srv/old"])
    assert (file.old, file.new, file.only_old, file.only_new) == (3, 3, 2, 2)
    assert found.differs
    assert not difference(old, old, below_tmp).differs


def test_nothing_follows_from_a_class_that_one_side_did_not_watch() -> None:
    old = evidence([row("u", "capable", capability="CAP_CHOWN"), row("u", "open", path="/a")], ["u"])
    new = evidence([row("u", "open", path="/a")], ["u"])
    assert difference(old, new).differs
    blind = replace(new, watched={**new.watched, "capability": "unwatched"})
    found = difference(old, blind)
    assert not found.differs
    assert not found.classes["capability"].comparable  # type: ignore[index]


def test_idle_and_loaded_recordings_differ_and_one_is_like_itself() -> None:
    (same,) = diff(DATASETS / "nginx", DATASETS / "nginx")
    assert not same.differs
    (found,) = diff(DATASETS / "nginx-idle", DATASETS / "nginx")
    assert found.differs
    plain = as_json(found)
    assert len(plain["classes"]["file"]["came"]) > 100
    assert plain["classes"]["file"]["gone"] == []
    text = list(as_lines([found], 3))  # type: ignore[list-item]
    assert text[0] == "command/nginx: 12 units -> 20 units"
    assert any("--limit 0 shows all" in line for line in text)
