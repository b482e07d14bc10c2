"""The field's common mistakes: each found where it is, and not where it is not."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from evidence_made import APP, allow, evidence, inventory, policy, row
from places import ROOT

from discover.check import as_lines, check, fragment_yaml
from discover.simulate import simulate_one
from models.checks import IDS, Context, Mistake, Severity, run
from models.checks.context import item_of
from models.checks.links import resolve
from models.completeness import assess
from models.policy import Dialect, Limits, Policy, Target, validate
from models.rule_cover import covers

BPFLSM, DISCOVER = Target.KUBEARMOR_BPFLSM, Target.DISCOVER
EVERYTHING = {"dir": "/", "recursive": True}


def found(*policies: Policy, target: Target = BPFLSM, **more: Any) -> list[Mistake]:
    return run(Context(policies, target, **more))


def recorded(rows: list[dict[str, Any]], policies: tuple[Policy, ...], **more: Any) -> Context:
    made = evidence(rows, sorted({r["unit"] for r in rows}), **more)
    simulation = simulate_one(policies, made, dialect=Dialect.KUBEARMOR_BPFLSM)
    return Context(policies, BPFLSM, (made,), (simulation,))


def ids(mistakes: list[Mistake]) -> set[str]:
    return {m.id for m in mistakes}


def one(mistakes: list[Mistake], check_id: str) -> Mistake:
    (mistake,) = [m for m in mistakes if m.id == check_id]
    return mistake


def process(*paths: str, action: str = "Block", **more: Any) -> dict[str, Any]:
    return {"process": {"matchPaths": [{"path": p, "action": action, **more} for p in paths]}}


# -- names that are not judged


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/bin/sh", "/bin/busybox"),
        ("/var/run/x/token", "/run/x/now/token"),
        ("/srv/loop", "/srv/loop"),
        ("/etc/passwd", "/etc/passwd"),
        ("/up/etc", "/etc"),
    ],
)
def test_links_are_followed_as_the_kernel_does(path: str, wanted: str) -> None:
    links = {
        "/bin/sh": "busybox",
        "/var/run": "../run",
        "/run/x/token": "now/token",
        "/srv/loop": "loop",
        "/up": "/srv/../",
    }
    assert resolve(path, links) == wanted


def test_a_rule_on_a_link_that_every_image_has() -> None:
    rules = policy(file={"matchDirectories": [{"dir": "/var/run/secrets/", "recursive": True, "action": "Block"}]})
    mistake = one(found(rules), "symlink-path")
    assert mistake.severity is Severity.ERROR
    assert mistake.corrected["file"]["matchDirectories"] == [
        {"dir": "/run/secrets/", "recursive": True, "action": "Block"}
    ]
    assert "symlink-path" not in ids(found(policy(file={"matchDirectories": [{"dir": "/run/secrets/"}]})))
    assert "symlink-path" not in ids(found(policy(file={"matchDirectories": [{"dir": "/var/runtime/"}]})))


def test_a_merged_usr_is_a_warning_and_none_if_both_names_are_there() -> None:
    assert one(found(policy(**process("/bin/bash"))), "symlink-path").severity is Severity.WARNING
    assert "symlink-path" not in ids(found(policy(**process("/bin/bash", "/usr/bin/bash"))))


def test_an_inventory_knows_the_links() -> None:
    rules = (policy(**process("/bin/bash", "/usr/bin/sh")),)
    stock = inventory("/usr/bin/dash", "/bin/bash", links={"/usr/bin/sh": "dash"})
    mistakes = run(recorded([row("u", "open", path="/x")], rules, inventory=stock))
    mistake = one(mistakes, "symlink-path")
    assert mistake.where == "spec.process.matchPaths[1]"
    assert mistake.corrected["process"]["matchPaths"] == [{"path": "/usr/bin/dash", "action": "Block"}]
    assert "busybox-applet" not in ids(mistakes)  # this image has none


def test_applets_of_busybox() -> None:
    mistake = one(found(policy(**process("/usr/bin/wget", "/usr/bin/git"))), "busybox-applet")
    assert "/usr/bin/git" not in mistake.message
    assert mistake.corrected["process"]["matchPaths"][0] == {"path": "/bin/busybox", "action": "Block"}
    assert "busybox-applet" not in ids(found(policy(**process("/usr/bin/wget", "/bin/busybox"))))
    assert "busybox-applet" not in ids(found(policy(**process("/usr/bin/wget", action="Allow"))))


# -- limits of the target


def test_patterns_get_the_paths_that_exist() -> None:
    rules = (policy(file={"matchPatterns": [{"pattern": "/srv/*.key", "action": "Block"}]}),)
    made = recorded([row("u", "open", path="/srv/b.key")], rules, inventory=inventory("/srv/a.key", "/srv/c.txt"))
    wanted = one(run(made), "patterns").corrected["file"]["matchPaths"]
    assert [w["path"] for w in wanted] == ["/srv/a.key", "/srv/b.key"]
    alone = one(found(*rules), "patterns").corrected
    assert alone == {"file": {"matchDirectories": [{"dir": "/srv/", "recursive": True, "action": "Block"}]}}


def test_a_star_in_a_path_is_an_error_unless_a_file_has_that_name() -> None:
    rules = (policy(**process("/opt/*/bin/x", action="Allow")),)
    mistake = one(found(*rules), "literal-glob")
    assert mistake.severity is Severity.ERROR
    assert mistake.corrected["process"]["matchDirectories"][0]["dir"] == "/opt/"
    assert "exec-needs-file" not in ids(
        found(policy(**process("/opt/*/bin/x", action="Allow"), **allow({"path": "/a"})))
    )
    odd = (policy(**allow({"path": "/srv/*?"})),)
    assert "literal-glob" not in ids(run(recorded([row("u", "open", path="/srv/*?")], odd)))


def test_what_is_true_of_every_read_only_rule_is_one_note() -> None:
    rules = policy(**allow(*({"path": f"/{n}", "readOnly": True} for n in range(9))))
    assert one(found(rules), "read-only-names").severity is Severity.NOTE


@pytest.mark.parametrize(
    ("rule", "check_id", "wanted"),
    [
        ({"dir": "/" + "d" * 70 + "/"}, "directory-bytes", {}),
        ({"dir": "/a/" + "d" * 70 + "/"}, "directory-bytes", {"dir": "/a/", "recursive": True, "action": "Allow"}),
        ({"path": "/" + "x/" * 21 + "f"}, "components", {"dir": "/" + "x/" * 20, "recursive": True, "action": "Allow"}),
        ({"path": "/x", "ownerOnly": True}, "owner-only-overlay", {"path": "/x", "action": "Allow"}),
    ],
)
def test_what_does_not_fit_gets_what_does(rule: dict[str, Any], check_id: str, wanted: dict[str, Any]) -> None:
    corrected = one(found(policy(**allow(rule))), check_id).corrected
    items = [i for lists in corrected.get("file", {}).values() for i in lists]
    assert items == ([wanted] if wanted else [])


# -- what nearly everything needs


def test_an_allow_list_of_files_without_what_programs_need() -> None:
    bare = policy(**allow({"path": "/srv/a"}))
    general = {"needs-libraries", "needs-tmp", "needs-names", "needs-users", "needs-devices"}
    assert general <= ids(found(bare))
    assert not general & ids(found(policy(**allow(EVERYTHING))))
    assert not general & ids(found(policy(file={"matchPaths": [{"path": "/srv/a", "action": "Block"}]})))
    assert not general & ids(run(recorded([row("u", "open", path="/srv/a")], (bare,))))  # a recording knows
    explained = frozenset({("p", "spec.file.matchPaths[0]")})
    assert not general & ids(found(bare, explained=explained))
    assert one(found(bare, explained=explained), "exec-probe").severity is Severity.NOTE
    musl = policy(**allow({"dir": "/lib/"}))
    assert "needs-libraries" not in ids(found(musl))
    some = one(found(policy(**allow({"path": "/etc/hosts"}))), "needs-names")
    assert "/etc/hosts" not in [i["path"] for i in some.corrected["file"]["matchPaths"]]


def test_software_that_everybody_knows() -> None:
    rules = policy(**process("/usr/sbin/nginx", action="Allow"), **allow({"dir": "/etc/nginx/"}))
    assert "/run/nginx.pid" in one(found(rules), "needs-of-software").message
    listed = policy(**process("/usr/sbin/nginx", action="Allow"), **allow({"path": "/run/nginx.pid"}))
    assert "needs-of-software" not in ids(found(listed))


def test_dns_needs_udp_where_names_are_asked_for() -> None:
    rules = (policy(**allow({"protocol": "tcp"}, section="network")),)
    assert one(found(*rules), "needs-dns-udp").corrected == {
        "network": {"matchProtocols": [{"protocol": "udp", "action": "Allow"}]}
    }
    quiet = recorded([row("u", "socket", family="inet", type="stream", protocol="tcp")], rules)
    assert "needs-dns-udp" not in ids(run(quiet))
    asks = recorded([row("u", "socket", family="inet", type="dgram", protocol="udp")], rules)
    assert "needs-dns-udp" in ids(run(asks))


def test_the_runtime_at_an_exec() -> None:
    rules = policy(**allow({"path": "/a"}))
    mistake = one(found(rules), "exec-probe")
    assert mistake.severity is Severity.WARNING
    repaired = policy("q", file=dict(mistake.corrected["file"]))
    assert "exec-probe" not in ids(found(rules, repaired))
    assert "exec-probe" not in ids(found(rules, target=DISCOVER))
    unprobed = recorded([row("u", "open", path="/a")], (rules,))
    assert one(run(unprobed), "exec-probe").severity is Severity.NOTE
    probed = recorded([row("u", "open", path="/a", phase="probe")], (rules,))
    assert one(run(probed), "exec-probe").severity is Severity.WARNING
    host = policy("h", kind="KubeArmorHostPolicy", **allow({"path": "/a"}))
    assert "exec-probe" not in ids(found(host))
    sockets = one(found(policy(**allow({"protocol": "tcp"}, section="network"))), "exec-probe")
    assert (sockets.severity, sockets.corrected) == (
        Severity.NOTE,
        {"network": {"matchProtocols": [{"protocol": "raw", "action": "Allow"}]}},
    )


# -- rules that let too much through


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ({"matchPaths": [{"path": "/bin/bash", "action": "Allow"}]}, Severity.WARNING),
        ({"matchPaths": [{"path": "/bin/bash", "action": "Allow", "fromSource": [{"path": APP}]}]}, Severity.NOTE),
        ({"matchPaths": [{"execname": "sh", "action": "Allow"}]}, Severity.WARNING),
        ({"matchDirectories": [{"dir": "/usr/bin/", "action": "Allow"}]}, Severity.WARNING),
        ({"matchPatterns": [{"pattern": "/bin/*sh", "action": "Allow"}]}, Severity.WARNING),
        ({"matchPaths": [{"path": "/usr/sbin/nginx", "action": "Allow"}]}, None),
        ({"matchPaths": [{"path": "/bin/bash", "action": "Block"}]}, None),
    ],
)
def test_a_rule_that_admits_a_shell(rule: dict[str, Any], severity: Severity | None) -> None:
    shells = [m for m in found(policy(process=rule), target=DISCOVER) if m.id == "admits-shell"]
    assert [m.severity for m in shells] == ([severity] if severity else [])


def test_a_shell_that_was_recorded_is_bound_to_who_calls_it() -> None:
    rules = (policy(**process("/bin/sh", action="Allow")),)
    made = recorded([row("u", "exec", path="/bin/sh", parent_exe=APP)], rules)
    mistake = one(run(made), "admits-shell")
    assert mistake.severity is Severity.NOTE
    assert mistake.corrected["process"]["matchPaths"][0]["fromSource"] == [{"path": APP}]


def test_a_rule_that_admits_secrets() -> None:
    wide = found(policy(**allow({"dir": "/etc/", "recursive": True, "readOnly": True}, EVERYTHING)))
    shadow, token = one(wide, "admits-shadow"), one(wide, "admits-token")
    assert (shadow.where, token.where) == ("spec.file.matchDirectories[0]", "spec.file.matchDirectories[1]")
    closed = policy("closed", file=dict(shadow.corrected["file"]))
    again = found(policy(**allow({"dir": "/etc/"})), closed)
    assert "/etc/shadow may" not in " ".join(m.message for m in again)
    assert not {"admits-shadow", "admits-token"} & ids(found(policy(**allow({"path": "/etc/passwd"}))))
    bound = policy(**allow({"dir": "/etc/", "fromSource": [{"path": APP}]}))
    assert "admits-shadow" in ids(found(bound))


def test_executables_without_files_and_tcp_to_anywhere() -> None:
    rules = policy(labels={"app": "x"}, **process(APP, action="Allow"), **allow({"protocol": "TCP"}, section="network"))
    mistakes = found(rules)
    assert one(mistakes, "files-open").severity is Severity.NOTE
    tcp = one(mistakes, "tcp-any-destination")
    assert tcp.corrected["spec"]["podSelector"] == {"matchLabels": {"app": "x"}}
    closed = policy(**allow({"protocol": "udp"}, section="network"))
    assert not {"tcp-any-destination", "files-open"} & ids(found(closed))


# -- dead rules


@pytest.mark.parametrize(
    ("items", "dead"),
    [
        ([{"dir": "/a/", "recursive": True}, {"path": "/a/b"}], [1]),
        ([{"path": "/a/b"}, {"dir": "/a/", "recursive": True}], [0]),
        ([{"dir": "/a/"}, {"path": "/a/b/c"}], []),
        ([{"dir": "/a/", "recursive": True, "readOnly": True}, {"path": "/a/b"}], []),
        ([{"dir": "/a/", "recursive": True}, {"path": "/a/b", "readOnly": True}], []),
        ([{"dir": "/a/", "recursive": True, "fromSource": [{"path": APP}]}, {"path": "/a/b"}], []),
        ([{"dir": "/a/", "recursive": True}, {"dir": "/a/b/", "action": "Block"}, {"path": "/a/b/c"}], []),
        ([{"dir": "/a/", "recursive": True}, {"dir": "/a/b/", "readOnly": True}, {"path": "/a/b/c"}], []),
        (
            [{"dir": "/a/", "recursive": True}, {"dir": "/", "recursive": True, "action": "Block"}, {"path": "/a/b"}],
            [2],
        ),
        ([{"pattern": "/a/*"}, {"path": "/a/b"}], [1]),
        ([{"path": "/a"}, {"path": "/a"}], [1]),
        ([{"path": "/a"}, {"path": "/a", "action": "Block"}], [0]),
    ],
)
def test_rules_that_another_makes_dead(items: list[dict[str, Any]], dead: list[int]) -> None:
    policies = [policy(f"p{n}", **allow(item)) for n, item in enumerate(items)]
    named = {m.policy for m in found(*policies, target=DISCOVER) if m.id == "dead-rule"}
    for mistake in found(*policies):
        assert (mistake.id, mistake.severity) != ("dead-rule", Severity.WARNING)  # KubeArmor: `last-wins`
    assert named == {f"p{n}" for n in dead}


# -- against recordings


def test_what_it_would_break_gets_the_rules_that_it_needs() -> None:
    rules = (policy(**process(APP, action="Allow"), **allow({"path": APP}, {"path": "/srv/a"})),)
    rows = [
        row("u1", "exec", path=APP),
        row("u1", "open", path="/srv/a"),
        row("u2", "open", path="/srv/b"),
        row("u2", "open", path="/srv/c", access="write+create"),
        row("u2", "exec", path="/bin/x"),
    ]
    context = recorded(rows, rules)
    broken = [m for m in run(context) if m.id == "breaks-workload"]
    assert {m.severity for m in broken} == {Severity.ERROR}
    extra = []
    for n, mistake in enumerate(broken):
        extra.append(policy(f"q{n}", **{k: dict(v) for k, v in mistake.corrected.items()}))
    text = yaml.safe_dump([p.to_document() for p in extra])
    assert "{path: /srv/b, readOnly: true" in text.replace("\n", " ") or "/srv/b" in text
    repaired = (*rules, *extra)
    again = simulate_one(repaired, context.evidence[0], dialect=Dialect.KUBEARMOR_BPFLSM)
    assert again.total.denied <= 1  # the executable's own file, if the exec was denied first
    assert "breaks-workload" not in ids(run(recorded(rows, (policy(**allow(EVERYTHING)),))))


def test_files_of_the_image_are_not_repaired_by_a_rule() -> None:
    rules = (policy(**allow({"dir": "/srv/"})),)
    context = recorded(
        [row("u", "open", path="/srv/a", access="write", fs="overlay")], rules, inventory=inventory("/srv/a")
    )
    mistake = one(run(context), "breaks-workload")
    assert "volume" in mistake.fix
    assert not mistake.corrected


def test_image_writes_without_a_recording_are_a_note() -> None:
    mistakes = found(policy(**allow({"dir": "/app/"}, {"dir": "/tmp/"}, {"path": "/etc/x", "readOnly": True})))
    assert "/app/" in one(mistakes, "image-write").message
    assert "image-write" not in ids(found(policy(**allow({"dir": "/app/"})), target=DISCOVER))
    assert "image-write" not in ids(found(policy(**allow({"dir": "/app/"}, EVERYTHING))))


def test_evidence_or_none() -> None:
    rules = policy(**allow({"path": "/a"}, {"path": "/b"}))
    assert one(found(rules), "no-evidence").severity is Severity.WARNING
    explained = frozenset({("p", "spec.file.matchPaths[0]")})
    assert "no-evidence" not in ids(found(rules, explained=explained))
    assert "no-evidence" not in ids(found(policy(**process("/bin/x"))))
    mistakes = run(recorded([row("u", "open", path="/a")], (rules,)))
    assert "no-evidence" not in ids(mistakes)
    assert one(mistakes, "unused-rule").where == "spec.file.matchPaths[1]"


def test_block_where_too_little_was_seen() -> None:
    rules = (policy(**process(APP, action="Allow")),)
    made = evidence([row("u", "exec", path=APP)], ["u"])
    context = Context(rules, BPFLSM, (made,), (simulate_one(rules, made, dialect=Dialect.DISCOVER),), (assess(made),))
    mistake = one(run(context), "low-coverage")
    assert mistake.corrected["metadata"]["annotations"] == {"kubearmor-file-posture": "audit"}
    blocking = (policy(**process("/bin/x")),)
    assert "low-coverage" not in ids(run(Context(blocking, BPFLSM, (made,), context.simulations, context.assessments)))


# -- the report


def test_every_corrected_rule_is_valid_and_its_yaml_says_the_same() -> None:
    policies = [
        policy("a", **process("/bin/sh", "/usr/bin/wget"), **allow({"path": "/srv/*"}, {"dir": "/var/run/x/"})),
        policy("b", **allow({"protocol": "tcp"}, section="network")),
        policy("c", process={"matchPatterns": [{"pattern": "**/python*", "action": "Block"}]}),
    ]
    shown = 0
    for mistake in found(*policies):
        assert mistake.message
        assert mistake.fix
        if not mistake.corrected:
            continue
        shown += 1
        assert yaml.safe_load("\n".join(fragment_yaml(mistake.corrected))) == mistake.corrected
        if "kind" not in mistake.corrected:
            document = policy("x").to_document()
            document["spec"] |= mistake.corrected
            assert validate(document) == []
    assert shown > 8


def test_names_cannot_change_the_yaml() -> None:
    wanted = {"file": {"matchPaths": [{"path": "/a: b\n- x", "action": "Allow"}, {"path": "/NO", "readOnly": True}]}}
    assert yaml.safe_load("\n".join(fragment_yaml(wanted))) == wanted


def test_files_with_lines_problems_and_expired_decisions(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: good}\nspec:\n"
        "  selector: {matchLabels: {app: x}}\n  file:\n    matchPaths:\n    - path: /etc/a\n      action: Block\n"
        "    - path: /var/run/b\n      action: Block\n"
    )
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: b}\nspec: {fil: 1}\n"
    )
    (tmp_path / "discover.yaml").write_text(
        "version: 1\nadditions:\n- {path: /x, reason: r, owner: o, expires: 2026-01-31}\n"
        "- {path: /y, reason: r, owner: o, expires: 2026-02-28}\n"
    )
    checked = check([good, bad], today=datetime.date(2026, 2, 28))
    places = {(Path(f.file).name, f.line, f.mistake.id) for f in checked.findings}
    assert places == {
        ("good.yaml", 10, "symlink-path"),
        ("bad.yaml", 4, "crd"),
        ("discover.yaml", 3, "decision-expired"),
    }
    text = "\n".join(as_lines(checked))
    assert f"{good}:10: error symlink-path" in text
    assert "1 policy: 2 errors, 1 warning, 0 notes" in text


def test_policies_for_different_workloads_are_checked_apart(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    rules = {"a": allow({"path": "/x"}), "b": {"file": {"matchPaths": [{"path": "/x", "action": "Block"}]}}}
    texts = [yaml.safe_dump(policy(n, labels={"app": n}, **spec).to_document()) for n, spec in rules.items()]
    file.write_text("---\n".join(texts))
    assert "last-wins" not in {f.mistake.id for f in check([file]).findings}
    file.write_text("---\n".join(texts).replace("app: b", "app: a"))
    assert "last-wins" in {f.mistake.id for f in check([file]).findings}


def test_one_rule_covers_another() -> None:
    from models.policy import rules

    def first(**spec: Any) -> Any:
        return next(rules(policy(**spec)))

    network = first(**allow({"protocol": "ALL"}, section="network"))
    assert covers(network, first(**allow({"protocol": "tcp"}, section="network")))
    assert not covers(first(**allow({"protocol": "tcp"}, section="network")), network)
    assert covers(first(**allow({"pattern": "/a/**"})), first(**allow({"dir": "/a/b/"})))
    assert covers(first(**allow({"dir": "/a/"})), first(**allow({"pattern": "/a/x*"})))
    assert not covers(first(**allow({"dir": "/a/"})), first(**allow({"pattern": "/a/x**"})))
    assert not covers(first(**allow({"dir": "/a/"})), first(**process("/a/b", action="Allow")))


def test_a_field_path_leads_to_its_entry() -> None:
    rules = policy(**allow({"path": "/a"}, {"path": "/b"}))
    assert item_of(rules, "spec.file.matchPaths[1]")[2]["path"] == "/b"
    assert item_of(rules, "spec.file.matchPaths[7]")[2] == {}
    assert item_of(rules, "spec.apparmor") == ("", "", {})


def test_the_page_lists_every_finding() -> None:
    page = (ROOT / "docs" / "check.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", page, re.MULTILINE))
    assert {k: v for k, v in listed.items() if k not in ("error", "warning", "note")} == IDS
    limits = {f.name.replace("_", "-") for f in dataclasses.fields(Limits)}
    assert limits <= IDS.keys()
    sources = "".join(f.read_text() for f in (ROOT / "models" / "checks").glob("*.py") if f.name != "__init__.py")
    named = set(
        re.findall(
            r"\"((?:needs|admits|exec|image|dead|files|tcp|no|unused|low|breaks|symlink|busybox)-[a-z-]+)\"", sources
        )
    )
    assert named - {"exec-needs-file", "exec-file"} <= IDS.keys()
