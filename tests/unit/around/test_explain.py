"""Why rules are there, from the file beside them and from recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from evidence_made import APP, allow, evidence, inventory, policy, read, row, seen, write
from places import DATASETS

from discover.errors import UsageError
from discover.explain import as_json, as_lines, explain
from discover.generate import Generated, Request, generate
from discover.generate import write as write_files
from models.attribution import attribute, evidence_of
from models.dataset import open_dataset
from models.evidence import accesses
from models.learn import Options, Why
from models.policy import Action, Op, Process, ProcessDirectory, Target, Verdict, dump_policy, read_policies, rules


def test_every_access_is_filed_under_the_rule_that_decides_it() -> None:
    rules = policy(
        **allow({"dir": "/srv/", "recursive": True}, {"path": "/srv/a", "readOnly": True}),
        process={"matchPaths": [{"path": "/bin/x", "action": "Block"}]},
    )
    what = [read("/srv/a"), read("/srv/b"), write("/srv/a"), read("/etc/x"), seen(Op.EXEC, "/bin/x")]
    found = attribute([rules], what)
    places = {where.rpartition(".")[2]: [s.access.path for s in mine] for (_, where), mine in found.seen.items()}
    assert places == {"matchPaths[0]": ["/srv/a"], "matchDirectories[0]": ["/srv/b"]}
    assert [s.access.path for s in found.seen["p", "spec.process.matchPaths[0]"]] == ["/bin/x"]
    assert [s.access.path for s in found.unlisted] == ["/srv/a", "/etc/x"]


def test_evidence_counts_and_what_else_a_rule_admits() -> None:
    rules = policy(**allow({"dir": "/srv/", "recursive": True}, {"path": "/etc/a"}))
    what = [
        read("/srv/a", units=["u1", "u2"], count=3),
        read("/srv/b", units=["u2"], phases=["drill"], source="/bin/b"),
        read("/etc/a"),
    ]
    stock = inventory("/srv/a", "/srv/c", "/srv/deep/tls.key", "/etc/a", "/etc/b", links={"/srv/link": "a"})
    found = evidence_of([rules], what, stock)
    wide = found["p", "spec.file.matchDirectories[0]"]
    assert (wide.behaviours, wide.count, wide.units, wide.phases) == (2, 4, ("u1", "u2"), ("drill", "steady"))
    assert wide.executables == ("/bin/b", APP)
    assert wide.examples == ("/srv/a", "/srv/b")
    assert wide.admits.existing == 3
    assert wide.admits.sensitive == ("/srv/deep/tls.key",)
    assert found["p", "spec.file.matchPaths[0]"].admits.existing == 0
    assert not evidence_of([rules], what)["p", "spec.file.matchDirectories[0]"].admits.known


def test_a_file_that_is_admitted_from_one_source_alone_counts_once() -> None:
    rules = policy(**allow({"dir": "/srv/", "fromSource": [{"path": APP}, {"path": "/bin/b"}]}))
    found = evidence_of([rules], [], inventory("/srv/a", "/srv/b"))
    assert found["p", "spec.file.matchDirectories[0]"].admits.existing == 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("policies") / "redis.yaml"
    request = Request(Options(target=Target.KUBEARMOR_BPFLSM))
    (found,) = generate(open_dataset(DATASETS / "redis"), request)
    assert isinstance(found, Generated)
    write_files(found, place, "audit")
    return place


def test_the_file_beside_a_policy_explains_every_rule(made: Path) -> None:
    answer = explain(made)
    assert len(answer.explained) > 20
    assert all(e.evidence is not None and e.supported for e in answer.explained)
    assert answer.units == 6
    assert all(len(line) > 10 for line in as_lines(answer, whole=False))


def test_recordings_agree_with_the_file_beside(made: Path) -> None:
    beside = {e.rule.where: e.evidence for e in explain(made).explained}
    anew = {e.rule.where: e.evidence for e in explain(made, "", open_dataset(DATASETS / "redis")).explained}
    assert beside.keys() == anew.keys()
    exact = [w for w, e in beside.items() if e and e.why is Why.SEEN and w.startswith("spec.file.matchPaths")]
    assert len(exact) > 10
    for where in exact:
        one, other = beside[where], anew[where]
        assert one is not None
        assert other is not None
        assert (one.units, one.examples) == (other.units, other.examples)


def test_a_rule_by_field_path_value_and_access(made: Path) -> None:
    (one,) = explain(made, "spec.process.matchPaths[0]").explained
    assert explain(made, one.rule.value).explained[0].rule.value == one.rule.value
    network = explain(made, "spec.network").explained
    assert {e.rule.section for e in network} == {"network"}
    answer = explain(made, "/etc/redis/no-such-file")
    assert {what for what, _, _ in answer.decisions} == {"read", "write", "execute"}
    for asked in ("spec.file.matchPaths[9999]", "nothing"):
        with pytest.raises(UsageError) as error:
            explain(made, asked)
        assert error.value.hint


def test_a_path_is_decided_from_each_source_where_that_matters(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    rules = policy(labels={"app": "x"}, **allow({"dir": "/srv/", "fromSource": [{"path": APP}]}, {"path": "/etc/a"}))
    file.write_text(dump_policy(rules))
    with pytest.raises(UsageError, match="no evidence beside"):
        explain(file)
    answer = explain(file, "/srv/x", open_dataset(DATASETS / "redis"))
    reads = {source: d.verdict for what, source, d in answer.decisions if what == "read"}
    assert reads == {"": Verdict.BLOCK, APP: Verdict.ALLOW}
    assert [e.rule.value for e in answer.explained] == ["/srv/"]
    assert not answer.explained[0].supported  # redis never went there
    text = "\n".join(as_lines(answer, whole=True))
    assert f"read from {APP}: allowed by p spec.file.matchDirectories[0]" in text
    assert "nothing that was recorded needs it" in text
    plain = list(as_json(answer))
    assert [p["verdict"] for p in plain if "verdict" in p][:2] == ["block", "allow"]


def test_a_rule_added_by_hand_has_no_evidence(made: Path, tmp_path: Path) -> None:
    (learned,) = read_policies(made)
    tools = (ProcessDirectory(dir="/opt/tools/", action="Allow"),)
    process = replace(learned.spec.process or Process(), match_directories=tools)
    file = tmp_path / "redis.yaml"
    file.write_text(dump_policy(replace(learned, spec=replace(learned.spec, process=process))))
    (tmp_path / "redis.evidence.json").write_text((made.parent / "redis.evidence.json").read_text())
    (one,) = explain(file, "/opt/tools/").explained
    assert (one.rule.action, one.evidence, one.supported) == (Action.ALLOW, None, False)


def test_names_of_workloads_do_not_reach_the_terminal(tmp_path: Path) -> None:
    rows = [row("u\x1b[0m", "open", path="/srv/\x1b[31mred")]
    made = evidence(rows, ["u\x1b[0m"])
    rules_ = policy(**allow({"dir": "/srv/"}))
    found = evidence_of([rules_], accesses(made.behaviours))
    from discover.explain import Answer, Explained

    (rule,) = rules(rules_)
    answer = Answer((Explained("p", rule, found["p", rule.where]),), 1, "here")
    assert "\x1b" not in "".join(as_lines(answer, whole=True))


def test_a_rule_that_lists_several_names_is_one(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    listed = {"matchCapabilities": [{"capability": "net_raw,sys_admin", "action": "Block"}]}
    file.write_text(dump_policy(policy(labels={"app": "x"}, capabilities=listed)))
    (one,) = explain(file, "sys_admin", open_dataset(DATASETS / "redis")).explained
    assert one.rule.value == "net_raw,sys_admin"
    assert one.evidence is not None
    assert one.evidence.units == tuple(sorted(open_dataset(DATASETS / "redis").units()["unit"].to_pylist()))
    assert one.evidence.examples == ("sys_admin",)
