"""What policies would deny of what was seen."""

from __future__ import annotations

import time
from typing import Any

import pytest
from evidence_made import allow, evidence, inventory, policy, read, row, seen, write

from discover.errors import UsageError
from discover.inputs import choose
from discover.simulate import Result, as_json, as_lines, simulate_one
from models.evidence import Seen
from models.policy import Dialect, Op, Policy, PolicyClass, Posture, Verdict, compile  # noqa: A004
from models.simulate import Simulation, simulate

KUBEARMOR, DISCOVER = Dialect.KUBEARMOR_BPFLSM, Dialect.DISCOVER
IMAGE = {"fs": "overlay"}


def run(policies: list[Policy], what: list[Seen], dialect: Dialect = DISCOVER, **more: Any) -> Simulation:
    ruleset = compile(policies, Posture.all(more.pop("posture", "block")), dialect)
    return simulate(ruleset, what, dialect=dialect, **more)


def test_x_of_y_by_class_rule_and_unit() -> None:
    rules = policy(
        process={"matchPaths": [{"path": "/bin/a", "action": "Allow"}]},
        file={"matchPaths": [{"path": "/etc/shadow", "action": "Block"}]},
    )
    what = [
        seen(Op.EXEC, "/bin/a", units=["u1", "u2"]),
        seen(Op.EXEC, "/bin/b", units=["u2"], phases=["drill"], count=3),
        read("/etc/shadow", count=5),
        read("/etc/passwd", count=100),
        seen(Op.MMAP_EXEC, "/lib/x"),
    ]
    answer = run([rules], what, units=["u1", "u2", "u3"])
    process, file = answer.by_class[PolicyClass.PROCESS], answer.by_class[PolicyClass.FILE]
    assert (process.denied, process.accesses, process.denied_events, process.events) == (1, 2, 3, 4)
    assert (file.denied, file.accesses, file.denied_events, file.events) == (1, 2, 5, 105)
    assert answer.unjudged == 1
    assert answer.units == ("u1", "u2", "u3")
    assert answer.units_hit == {"u1", "u2"}
    by_rule, unlisted = answer.groups
    assert by_rule.rule is not None
    assert by_rule.rule.where == "spec.file.matchPaths[0]"
    assert (by_rule.section, by_rule.count) == (PolicyClass.FILE, 5)
    assert not unlisted.listed
    assert (unlisted.section, unlisted.phases, unlisted.units) == (PolicyClass.PROCESS, {"drill"}, {"u2"})


def test_an_audit_posture_alerts_and_an_audit_rule_is_told_apart() -> None:
    rules = policy(
        file={
            "matchPaths": [{"path": "/a", "action": "Allow"}],
            "matchDirectories": [{"dir": "/etc/", "action": "Audit"}],
        }
    )
    answer = run([rules], [read("/a"), read("/b"), read("/etc/passwd")], posture="audit")
    (alerted,) = answer.groups
    assert (alerted.verdict, [d.path for d in alerted.denials]) == (Verdict.AUDIT, ["/b"])
    assert [d.path for g in answer.audited for d in g.denials] == ["/etc/passwd"]
    assert answer.total.denied == 1


def test_kubearmor_judges_the_executable_as_a_file() -> None:
    rules = policy(
        process={"matchPaths": [{"path": "/bin/a", "action": "Allow"}]},
        file={"matchPaths": [{"path": "/etc/a.conf", "action": "Allow"}]},
    )
    what = [seen(Op.EXEC, "/bin/a", **IMAGE)]
    assert not run([rules], what).groups
    (group,) = run([rules], what, KUBEARMOR).groups
    assert (group.section, group.denials[0].reason) == (PolicyClass.FILE, "exec-file")


@pytest.mark.parametrize(
    ("what", "denied"),
    [
        ([write("/srv/image.db", **IMAGE)], True),
        ([write("/srv/image.db", fs="ext4")], False),
        ([write("/srv/image.db", create=True, **IMAGE)], False),
        ([write("/srv/image.db", **IMAGE), write("/srv/image.db", create=True, count=2, **IMAGE)], False),
        ([write("/srv/image.db", **IMAGE), seen(Op.RENAME_TO, "/srv/image.db", **IMAGE)], False),
        ([write("/srv/unknown.db", **IMAGE)], False),
        ([read("/srv/image.db", **IMAGE)], False),
        ([seen(Op.CHMOD, "/srv/image.db", **IMAGE)], True),
        ([seen(Op.UNLINK, "/srv/image.db", **IMAGE)], False),
    ],
)
def test_the_first_change_of_a_file_of_the_image_is_copied_up(what: list[Seen], denied: bool) -> None:
    rules = policy(**allow({"dir": "/srv/", "recursive": True}))
    image = frozenset({"/srv/image.db"})
    answer = run([rules], what, KUBEARMOR, inventory=image)
    assert [d.reason for d in answer.denials] == (["copy-up"] if denied else [])
    assert not run([rules], what, DISCOVER, inventory=image).groups
    everything = policy(**allow({"dir": "/", "recursive": True}))
    assert not run([everything], what, KUBEARMOR, inventory=image).groups


def test_without_an_inventory_any_file_that_the_workload_did_not_make_is_of_the_image() -> None:
    rules = policy(**allow({"dir": "/srv/", "recursive": True}))
    answer = run([rules], [write("/srv/x", **IMAGE), write("/srv/y", object="device", **IMAGE)], KUBEARMOR)
    assert [(d.path, d.reason) for d in answer.denials] == [("/srv/x", "copy-up")]


def test_the_runtime_at_an_exec_is_foretold_unless_a_probe_was_recorded() -> None:
    rules = policy(**allow({"path": "/a"}))
    assert {d.path for d in run([rules], [read("/a")], KUBEARMOR).runtime} >= {"/proc/4711/fd", "/proc/filesystems"}
    assert not run([rules], [read("/a", phases=["probe"])], KUBEARMOR).runtime
    assert not run([rules], [read("/a")], DISCOVER).runtime
    assert not run([policy(**allow({"dir": "/", "recursive": True}))], [read("/a")], KUBEARMOR).runtime
    networked = policy(**allow({"protocol": "udp"}, section="network"))
    assert {d.path for d in run([networked], [], KUBEARMOR).runtime} == {"a unix stream socket", "a netlink socket"}


def test_a_denied_rename_is_silent_there() -> None:
    rules = policy(**allow({"path": "/a"}))
    (denial,) = run([rules], [seen(Op.RENAME_FROM, "/b")], KUBEARMOR).denials
    assert denial.silent
    (denial,) = run([rules], [seen(Op.RENAME_FROM, "/b")]).denials
    assert not denial.silent


def test_the_start_of_the_container_is_not_judged() -> None:
    rules = policy(**allow({"path": "/a"}))
    what = [read("/proc/1/fd", phases=["runtime-init"]), read("/b", phases=["runtime-init", "steady"])]
    for dialect in Dialect:
        answer = run([rules], what, dialect)
        assert [d.path for d in answer.denials] == ["/b"]
        assert answer.at_start == 1


def test_a_hundred_thousand_decisions_a_second() -> None:
    rules = policy(**allow({"dir": "/srv/", "recursive": True}, *({"path": f"/etc/{i}"} for i in range(100))))
    what = [read(f"/srv/{i % 300}/{i}") for i in range(20_000)]
    for dialect in Dialect:
        ruleset = compile([rules], Posture.all("block"), dialect)
        spent = []
        for _ in range(3):
            start = time.process_time()
            simulate(ruleset, what, dialect=dialect)
            spent.append(time.process_time() - start)
        rate = len(what) / min(spent)
        print(f"{dialect}: {rate:,.0f} accesses/s")
        assert rate > 40_000  # of a shared, slow machine; alone it is above 100,000


# -- which policies are for which workload ------------------------------------------------------------


def names(*policies: Policy, select: tuple[str, ...] = (), **more: Any) -> tuple[list[str], int]:
    chosen = choose(policies, evidence([], ["u1"], **more), select)
    return [p.name for p in chosen.policies], len(chosen.assumed)


WEB, DB = policy("web", labels={"app": "web"}, **allow({"path": "/a"})), policy("db", labels={"app": "db"})


def test_labels_select() -> None:
    assert names(WEB, DB, labels={"app": "web", "tier": "1"}) == (["web"], 0)
    assert names(WEB, DB, select=("app=db",)) == (["db"], 0)
    assert names(WEB, DB, policy("all"), labels={"app": "db"}) == (["db", "all"], 0)
    assert names(WEB, labels={"app": "other"}) == ([], 0)


def test_without_labels_one_selector_is_assumed_and_two_are_not() -> None:
    assert names(WEB) == (["web"], 1)
    with pytest.raises(UsageError, match="select different things") as error:
        names(WEB, DB)
    assert "--select" in error.value.hint
    assert names(WEB, DB, select=("d*",)) == (["db"], 1)
    with pytest.raises(UsageError, match="no policy is named nope"):
        names(WEB, select=("nope",))


def test_a_host_policy_is_for_hosts() -> None:
    host = policy("host", kind="KubeArmorHostPolicy")
    assert names(host, WEB) == (["web"], 2)


def test_expressions_namespaces_and_containers() -> None:
    where = {"selector": {"matchExpressions": [{"key": "label", "operator": "NotIn", "values": ["app=db"]}]}}
    others = policy("others", kind="KubeArmorClusterPolicy", **where)
    assert names(others, labels={"app": "web"}) == (["others"], 0)
    assert names(others, labels={"app": "db"}) == ([], 0)
    one = policy("one", labels={"app": "web", "kubearmor.io/container.name": "[app,side]"})
    made = evidence([], ["u"], labels={"app": "web"})
    assert choose([one], made).policies == (one,)


# -- the report ------------------------------------------------------------


def test_the_report_says_what_the_figures_say() -> None:
    rows = [row(u, "open", path="/srv/a") for u in ("u1", "u2")]
    rows += [row("u1", "open", path="/srv/\x1b[31mb", access="write", fs="overlay", count=7)]
    rows += [row("u1", "exec", path="/bin/sh", phase="exec-session")]
    made = evidence(rows, ["u1", "u2"], inventory=inventory("/srv/\x1b[31mb"))
    rules = policy("web", labels={"app": "web"}, **allow({"dir": "/srv/"}))
    simulation = simulate_one([rules], made, dialect=KUBEARMOR)
    result = Result(made.workload, choose([rules], made), KUBEARMOR, "block", simulation)
    text = "\n".join(as_lines([result]))
    assert "1 of 2 distinct accesses, 7 of 9 events, in 1 of 2 units" in text
    assert "has no labels: taken to be what the policy selects (app=web)" in text
    assert "copies it up" in text
    assert "\x1b" not in text
    plain = as_json(result)
    assert (plain["denied"], plain["accesses"], plain["units_denied"], plain["units"]) == (1, 2, 1, 2)
    assert plain["groups"][0]["accesses"][0]["reason"] == "copy-up"
    with_sessions = simulate_one([rules], made, dialect=KUBEARMOR, sessions=True)
    assert with_sessions.total.accesses == 3
