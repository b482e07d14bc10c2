"""What each target can hold, and what the textbook's policies come to on a KubeArmor node."""

from __future__ import annotations

from typing import Any

import pytest
from policy_recorded import SHARED, need

from models.policy import (
    Access,
    Dialect,
    Finding,
    Grade,
    Op,
    Policy,
    Posture,
    Target,
    Verdict,
    check_limits,
    compile,  # noqa: A004
    key_costs,
    key_count,
    read_policies,
)

BPFLSM = Target.KUBEARMOR_BPFLSM


def policy(name: str = "p", **spec: Any) -> Policy:
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": spec})


def files(*rules: dict[str, Any], action: str = "Allow") -> Policy:
    lists = {"matchPaths": [r for r in rules if "path" in r], "matchDirectories": [r for r in rules if "dir" in r]}
    return policy(file={**lists, "action": action})


def limits_of(policies: Policy | list[Policy], target: Target) -> set[str]:
    return {f.limit for f in found(policies, target)}


def found(policies: Policy | list[Policy], target: Target) -> list[Finding]:
    return check_limits(policies if isinstance(policies, list) else [policies], target)


SOURCES = [{"path": "/bin/a"}, {"path": "/bin/b"}]


@pytest.mark.parametrize(
    ("rules", "keys"),
    [
        ([{"path": "/a"}], 1),
        ([{"path": "/a", "fromSource": SOURCES}], 2),
        ([{"dir": "/a/b/c/"}], 2 + 3),  # itself, itself as a file; /, /a/, /a/b/
        ([{"dir": "/a/b/c/", "fromSource": SOURCES}], 2 * (2 + 3)),
        ([{"dir": "/a/b/"}, {"dir": "/a/c/"}], 2 * 2 + 2),  # the directories above are shared
        ([{"dir": "/a/"}, {"path": "/a"}], 3),
        ([{"dir": "/"}], 2),
    ],
)
def test_a_rule_costs_what_kubearmor_makes_of_it(rules: list[dict[str, Any]], keys: int) -> None:
    assert key_count([files(*rules)]) == keys + 1  # one for the allow-list
    assert key_count([files(*rules, action="Block")]) == keys
    assert key_count([files(*rules, action="Audit")]) == 0
    assert sum(key_costs([files(*rules)]).values()) == keys


def test_process_and_file_rules_share_keys_and_words_for_all_sockets_cost_seven() -> None:
    both = policy(process={"matchPaths": [{"path": "/a"}]}, file={"matchPaths": [{"path": "/a"}]})
    assert key_count([both]) == 1
    assert key_count([policy(network={"matchProtocols": [{"protocol": "all"}]})]) == 8


def test_the_257th_key_is_an_error_and_the_256th_is_not() -> None:
    fitting = files(*({"path": f"/{i}"} for i in range(255)))
    (over,) = found(files(*({"path": f"/{i}"} for i in range(256))), BPFLSM)
    assert "keys" not in limits_of(fitting, BPFLSM)
    assert (over.limit, over.value, over.allowed, over.grade) == ("keys", 257, 256, Grade.ERROR)
    assert limits_of([fitting, files({"path": "/more"})], BPFLSM) == {"keys"}
    assert limits_of(files(*({"path": f"/{i}"} for i in range(256))), Target.DISCOVER) == set()


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ({"dir": "/" + "d" * 62 + "/"}, None),
        ({"dir": "/" + "d" * 63 + "/"}, "directory_bytes"),
        ({"dir": "/" + "\u00e9" * 32 + "/"}, "directory_bytes"),
        ({"path": "/" + "f" * 198}, None),
        ({"path": "/" + "f" * 199}, "path_bytes"),
        ({"path": "/x" * 20}, None),
        ({"path": "/x" * 21}, "components"),
        ({"path": "/x", "fromSource": [{"path": "/" + "f" * 199}]}, "path_bytes"),
        ({"path": "/x*"}, "literal-glob"),
        ({"path": "/x", "ownerOnly": True}, "owner-only-overlay"),
        ({"path": "/x", "readOnly": True}, "read-only-names"),
    ],
)
def test_limits_of_bpflsm(rule: dict[str, Any], limit: str | None) -> None:
    assert limits_of(files(rule), BPFLSM) == ({limit} if limit else set())
    assert limits_of(files(rule), Target.DISCOVER) <= {"literal-glob"}


@pytest.mark.parametrize(
    "rule",
    [{"dir": "/" + "d" * 63 + "/"}, {"path": "/" + "f" * 199}, {"path": "/x" * 21}],
    ids=["dir", "path", "depth"],
)
def test_a_rule_past_a_limit_really_does_nothing(rule: dict[str, Any]) -> None:
    path = rule.get("path") or rule["dir"] + "x"
    access = Access(op=Op.OPEN, path=path, source="/bin/x", read=True)
    blocked = files(rule, action="Block")
    assert compile([blocked], Posture(), Dialect.KUBEARMOR_BPFLSM).decide(access).verdict is Verdict.ALLOW
    assert compile([blocked], Posture(), Dialect.DISCOVER).decide(access).verdict is Verdict.BLOCK


def test_patterns_are_an_error_where_they_are_ignored() -> None:
    rules = policy(file={"matchPatterns": [{"pattern": "/a*"}]})
    (finding,) = found(rules, BPFLSM)
    assert (finding.limit, finding.grade, finding.where) == ("patterns", Grade.ERROR, "spec.file.matchPatterns[0]")
    assert limits_of(rules, Target.PORTABLE) == {"patterns"}
    assert limits_of(rules, Target.KUBEARMOR_APPARMOR) == limits_of(rules, Target.DISCOVER) == set()


def test_what_apparmor_cannot_do() -> None:
    rules = policy(
        process={"matchPaths": [{"path": "/a", "pts": False}, {"path": "/b", "allowedArgs": ["x"]}]},
        file={"matchPaths": [{"path": "/a*"}]},
        network={"matchDNSQueries": [{"domain": "example.com"}]},
    )
    wanted = {"pts", "allowed_args", "literal_globs", "dns"}
    assert limits_of(rules, Target.KUBEARMOR_APPARMOR) == wanted
    assert wanted <= limits_of(rules, Target.PORTABLE)


def test_a_name_with_a_source_never_matches() -> None:
    rules = policy(process={"matchPaths": [{"execname": "sh", "fromSource": SOURCES}]})
    assert limits_of(rules, BPFLSM) == {"execname-source"}
    access = Access(op=Op.EXEC, path="/bin/sh", source="/bin/a", parent="/bin/a")
    assert compile([rules], Posture(), Dialect.KUBEARMOR_BPFLSM).decide(access).verdict is Verdict.ALLOW
    assert compile([rules], Posture(), Dialect.DISCOVER).decide(access).verdict is Verdict.BLOCK


def test_an_executable_that_the_file_list_does_not_have() -> None:
    rules = policy(
        process={"matchPaths": [{"path": "/bin/a"}, {"path": "/bin/b"}]},
        file={"matchPaths": [{"path": "/bin/a", "readOnly": True}]},
        action="Allow",
    )
    (finding,) = [f for f in found(rules, BPFLSM) if f.limit == "exec-needs-file"]
    assert finding.value == "/bin/b"
    assert "path: /bin/b" in finding.fix


def test_the_last_rule_on_a_key_wins_there() -> None:
    one, two = files({"path": "/a"}), files({"path": "/a"}, action="Block")
    (finding,) = found([one, two], BPFLSM)
    assert (finding.limit, finding.grade, finding.value, finding.allowed) == (
        "last-wins",
        Grade.WARNING,
        "Allow",
        "Block",
    )


def test_what_belongs_to_one_enforcer() -> None:
    rules = policy(apparmor="deny /x rw,", presets=[{"name": "filelessExec"}])
    assert limits_of(rules, BPFLSM) == {"apparmor"}
    assert limits_of(rules, Target.KUBEARMOR_APPARMOR) == {"presets"}
    assert limits_of(rules, Target.DISCOVER) == {"apparmor", "presets"}


def run(path: str) -> Access:
    return Access(op=Op.EXEC, path=path, source="/bin/x", parent="/bin/x", overlay=True, owner_match=True)


def read(path: str) -> Access:
    return Access(op=Op.OPEN, path=path, source="/bin/x", read=True, owner_match=True)


def write(path: str) -> Access:
    return Access(op=Op.OPEN, path=path, source="/bin/x", write=True, owner_match=True)


def socket(kind: int, protocol: int) -> Access:
    return Access(op=Op.SOCKET, source="/bin/x", type=kind, protocol=protocol)


SEEN = [
    ("web-app-audit", read("/etc/passwd"), Verdict.AUDIT),
    ("web-app-audit", run("/bin/busybox"), Verdict.ALLOW),
    ("web-app-hardened", read("/etc/nginx/nginx.conf"), Verdict.ALLOW),
    ("web-app-hardened", run("/bin/busybox"), Verdict.BLOCK),
    ("web-app-hardened", read("/etc/shadow"), Verdict.BLOCK),
    ("web-app-hardened", read("/proc/17/fd"), Verdict.BLOCK),
    ("web-app-hardened", write("/run/nginx.pid"), Verdict.BLOCK),
    ("nodejs-minimal", run("/bin/busybox"), Verdict.BLOCK),
    ("nodejs-minimal", write("/usr/bin/dropped"), Verdict.BLOCK),
    ("nodejs-minimal", run("/tmp/dropped"), Verdict.BLOCK),
    ("checkout-lockdown", run("/tmp/miner"), Verdict.BLOCK),
    ("checkout-lockdown", write("/root/.config/miner.json"), Verdict.BLOCK),
    ("checkout-lockdown", read("/etc/hosts"), Verdict.BLOCK),
    ("checkout-lockdown", read("/etc/passwd"), Verdict.BLOCK),
    ("checkout-lockdown", socket(1, 6), Verdict.ALLOW),
    ("postgres-hardened", write("/dev/shm/PostgreSQL.1804289383"), Verdict.BLOCK),
    ("postgres-hardened", run("/usr/lib/postgresql/15/bin/postgres"), Verdict.BLOCK),
    ("block-shells", run("/bin/busybox"), Verdict.ALLOW),
    ("block-shells", run("/usr/bin/python3"), Verdict.ALLOW),
    ("protect-tokens", read("/run/secrets/kubernetes.io/serviceaccount/..data/token"), Verdict.ALLOW),
    ("frontend-network", socket(1, 6), Verdict.ALLOW),
    ("frontend-network", socket(2, 17), Verdict.ALLOW),
    ("frontend-network", socket(3, 255), Verdict.BLOCK),
    ("frontend-network", socket(3, 1), Verdict.BLOCK),
]
"""What a real KubeArmor did under each of the textbook's policies (``textbook/README.md``)."""


@pytest.mark.shared
@pytest.mark.parametrize(("name", "access", "verdict"), SEEN, ids=lambda v: v if isinstance(v, str) else None)
def test_the_textbook_is_foretold(name: str, access: Access, verdict: Verdict) -> None:
    policies = read_policies(need(SHARED / "textbook" / f"{name}.yaml"))
    ruleset = compile(policies, Posture.all("block"), Dialect.KUBEARMOR_BPFLSM)
    assert ruleset.decide(access).verdict is verdict


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("block-shells", "patterns"),
        ("postgres-hardened", "literal-glob"),
        ("web-app-hardened", "exec-needs-file"),
        ("nodejs-minimal", "exec-needs-file"),
        ("checkout-lockdown", "exec-needs-file"),
    ],
)
def test_the_textbook_s_mistakes_are_named(name: str, limit: str) -> None:
    assert limit in limits_of(read_policies(need(SHARED / "textbook" / f"{name}.yaml")), BPFLSM)
