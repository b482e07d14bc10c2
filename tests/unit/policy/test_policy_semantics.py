"""The written semantics, one sentence a test. docs/policy-semantics.md says the same in prose."""

from __future__ import annotations

from typing import Any

import pytest

from models.policy import (
    Access,
    Decision,
    Dialect,
    Op,
    Policy,
    PolicyClass,
    Posture,
    Verdict,
    WrittenRuleset,
    compile,  # noqa: A004
    decide,
)

BLOCK, AUDIT = Posture.all("block"), Posture.all("audit")


def policy(name: str = "p", **spec: Any) -> Policy:
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": spec})


def paths(*rules: dict[str, Any], section: str = "file", **more: Any) -> Policy:
    return policy(**{section: {"matchPaths": list(rules)}, "action": "Allow", **more})


def dirs(*rules: dict[str, Any], section: str = "file", **more: Any) -> Policy:
    return policy(**{section: {"matchDirectories": list(rules)}, "action": "Allow", **more})


def read(path: str, **more: Any) -> Access:
    return Access(op=Op.OPEN, path=path, read=True, **{"source": "/bin/cat", **more})


def write(path: str, **more: Any) -> Access:
    return Access(op=Op.OPEN, path=path, write=True, **{"source": "/bin/cat", **more})


def execute(path: str, **more: Any) -> Access:
    return Access(op=Op.EXEC, path=path, **{"source": "/bin/sh", "parent": "/bin/sh", **more})


def ask(policies: Policy | list[Policy], access: Access, posture: Posture = BLOCK) -> Verdict:
    return answer(policies, access, posture).verdict


def answer(policies: Policy | list[Policy], access: Access, posture: Posture = BLOCK) -> Decision:
    return decide(policies if isinstance(policies, list) else [policies], posture, access)


def test_without_an_allow_rule_nothing_is_listed_and_everything_goes() -> None:
    assert ask(paths({"path": "/a", "action": "Block"}), read("/b")) is Verdict.ALLOW


@pytest.mark.parametrize(("posture", "verdict"), [(BLOCK, Verdict.BLOCK), (AUDIT, Verdict.AUDIT)])
def test_one_allow_rule_makes_its_class_an_allow_list_and_the_posture_decides(
    posture: Posture, verdict: Verdict
) -> None:
    decision = answer(paths({"path": "/a"}), read("/b"), posture)
    assert (decision.verdict, decision.policy) == (verdict, "DefaultPosture")
    assert decision.errno == (13 if verdict is Verdict.BLOCK else 0)
    assert ask(paths({"path": "/a"}), execute("/b"), posture) is Verdict.ALLOW


def test_processes_follow_the_file_posture() -> None:
    rules = paths({"path": "/bin/ls"}, section="process")
    assert ask(rules, execute("/bin/cat"), Posture("block", "audit", "audit")) is Verdict.BLOCK
    assert ask(rules, execute("/bin/cat"), Posture("audit", "block", "block")) is Verdict.AUDIT


def test_namespace_annotations_override_the_global_posture() -> None:
    posture = Posture().for_namespace({"kubearmor-file-posture": "Block", "kubearmor-network-posture": "sometimes"})
    assert posture == Posture("block", "audit", "audit")


def test_a_missing_action_is_block_and_the_nearest_action_counts() -> None:
    assert ask(policy(file={"matchPaths": [{"path": "/a"}]}), read("/a")) is Verdict.BLOCK
    rules = policy(
        file={"action": "Audit", "matchPaths": [{"path": "/a"}, {"path": "/b", "action": "Block"}]}, action="Allow"
    )
    assert [ask(rules, read(p)) for p in ("/a", "/b", "/c")] == [Verdict.AUDIT, Verdict.BLOCK, Verdict.ALLOW]


def test_severity_tags_and_message_are_inherited_into_the_alert() -> None:
    section = {"message": "section", "matchPaths": [{"path": "/a", "severity": 9}]}
    (alert,) = answer(policy(file=section, severity=2, tags=["t"], message="spec"), read("/a")).alerts
    assert (alert.severity, alert.tags, alert.message) == (9, ("t",), "section")
    assert alert.where == "spec.file.matchPaths[0]"


ORDER = [
    {"path": "/d/x", "fromSource": [{"path": "/bin/cat"}]},
    {"dir": "/d/", "fromSource": [{"path": "/bin/cat"}]},
    {"path": "/d/x"},
    {"dir": "/d/"},
]


@pytest.mark.parametrize("first", range(4))
def test_the_order_of_look_ups_for_files(first: int) -> None:
    found = [dict(r, action="Block" if i == first else "Allow") for i, r in enumerate(ORDER) if i >= first]
    rules = policy(
        file={
            "matchPaths": [r for r in found if "path" in r],
            "matchDirectories": [r for r in found if "dir" in r],
        }
    )
    assert ask(rules, read("/d/x")) is Verdict.BLOCK


def test_a_name_comes_after_the_path_and_before_the_directory() -> None:
    def rules(path: str, name: str, directory: str) -> Policy:
        return policy(
            process={
                "matchPaths": [{"path": "/d/x", "action": path}, {"execname": "x", "action": name}],
                "matchDirectories": [{"dir": "/d/", "action": directory}],
            }
        )

    assert ask(rules("Allow", "Block", "Block"), execute("/d/x")) is Verdict.ALLOW
    assert ask(rules("Block", "Allow", "Allow"), execute("/d/x")) is Verdict.BLOCK
    assert ask(rules("Allow", "Block", "Allow"), execute("/d/e/x")) is Verdict.BLOCK
    assert ask(rules("Allow", "Allow", "Block"), execute("/d/y")) is Verdict.BLOCK


def test_the_deepest_directory_decides() -> None:
    rules = dirs({"dir": "/d/", "recursive": True}, {"dir": "/d/e/", "recursive": True, "action": "Block"})
    assert ask(rules, read("/d/x")) is Verdict.ALLOW
    assert ask(rules, read("/d/e/f/x")) is Verdict.BLOCK


def test_a_directory_is_its_children_and_itself() -> None:
    rules = dirs({"dir": "/d/"})
    assert [ask(rules, read(p)) for p in ("/d", "/d/x", "/d/e/x", "/dx")] == [
        Verdict.ALLOW,
        Verdict.ALLOW,
        Verdict.BLOCK,
        Verdict.BLOCK,
    ]
    assert ask(dirs({"dir": "/d/", "recursive": True}), read("/d/e/f/x")) is Verdict.ALLOW
    assert ask(dirs({"dir": "/", "recursive": True}), read("/")) is Verdict.ALLOW


@pytest.mark.parametrize("op", [Op.UNLINK, Op.TRUNCATE, Op.CHMOD, Op.RENAME_FROM, Op.LINK_FROM, Op.RMDIR, Op.CHOWN])
def test_read_only_is_decided_at_the_open_and_in_every_change(op: Op) -> None:
    allow, block = ({"path": "/a", "readOnly": True, "action": a} for a in ("Allow", "Block"))
    for rule in (allow, block):
        assert ask(paths(rule), read("/a")) is Verdict.ALLOW
        assert ask(paths(rule), write("/a")) is Verdict.BLOCK
        assert ask(paths(rule), Access(op=op, path="/a", source="/bin/cat")) is Verdict.BLOCK
        assert ask(paths(rule), Access(op=Op.WRITE, path="/a", source="/bin/cat")) is Verdict.ALLOW


def test_a_write_to_a_read_only_allow_follows_the_posture() -> None:
    assert ask(paths({"path": "/a", "readOnly": True}), write("/a"), AUDIT) is Verdict.AUDIT


def test_owner_only() -> None:
    for action in ("Allow", "Block"):
        rule = {"path": "/a", "ownerOnly": True, "action": action}
        assert ask(paths(rule), read("/a", owner_match=True)) is Verdict.ALLOW
        assert ask(paths(rule), read("/a", owner_match=False)) is Verdict.BLOCK
        assert ask(paths(rule), read("/a")) is Verdict.BLOCK


@pytest.mark.parametrize("op", [Op.MKDIR, Op.MKNOD, Op.SYMLINK, Op.LINK_TO, Op.RENAME_TO, Op.OPEN])
def test_who_owns_the_directory_owns_a_new_name(op: Op) -> None:
    rules = dirs({"dir": "/d/", "ownerOnly": True})
    for owner in (True, False):
        access = Access(op=op, path="/d/new", source="/bin/x", create=op is Op.OPEN, parent_owner_match=owner)
        assert ask(rules, access) is (Verdict.ALLOW if owner else Verdict.BLOCK)
    assert ask(rules, Access(op=Op.UNLINK, path="/d/old", source="/bin/x", parent_owner_match=True)) is Verdict.BLOCK


def test_audit_rules_are_about_what_their_flags_permit() -> None:
    rule = {"path": "/a", "readOnly": True, "action": "Audit"}
    assert ask(paths(rule), read("/a")) is Verdict.AUDIT
    assert ask(paths(rule), write("/a")) is Verdict.ALLOW


def test_an_audit_rule_lists() -> None:
    rules = paths({"path": "/a"}, {"path": "/b", "action": "Audit"})
    assert ask(rules, read("/b")) is Verdict.AUDIT


def test_a_block_rule_never_lists() -> None:
    rules = paths({"path": "/a"}, {"path": "/b", "readOnly": True, "action": "Block"})
    decision = answer(rules, read("/b"))
    assert (decision.verdict, decision.policy) == (Verdict.BLOCK, "DefaultPosture")


def test_deny_wins_on_one_key_whatever_the_order_and_says_so() -> None:
    one, two = paths({"path": "/a"}), paths({"path": "/a", "action": "Block"})
    for order in ([one, two], [two, one]):
        assert ask(order, read("/a")) is Verdict.BLOCK
        ruleset = WrittenRuleset.compile(order, BLOCK)
        (conflict,) = ruleset.conflicts
        assert (conflict.wins.action, conflict.loses.action) == ("Block", "Allow")


def test_patterns_work() -> None:
    rules = policy(
        file={"matchPatterns": [{"pattern": "/etc/*hado?"}, {"pattern": "**/python[23]"}, {"pattern": "/{a,b}/x"}]}
    )
    blocked = ["/etc/shadow", "/etc/gshadow", "/usr/bin/python3", "/a/x", "/b/x"]
    allowed = ["/etc/x/shadow", "/etc/shado", "/usr/bin/python", "/c/x"]
    assert [p for p in blocked + allowed if ask(rules, read(p)) is Verdict.BLOCK] == blocked


def test_from_source_of_a_process_rule_is_the_parent() -> None:
    rules = paths({"path": "/bin/ls", "fromSource": [{"path": "/bin/dash"}], "action": "Block"}, section="process")
    assert ask(rules, execute("/bin/ls", parent="/bin/dash", source="/bin/x")) is Verdict.BLOCK
    assert ask(rules, execute("/bin/ls", parent="/bin/x", source="/bin/dash")) is Verdict.ALLOW


def test_a_memfd_exec_is_unlisted_and_a_file_without_path_is_not_judged() -> None:
    assert ask(dirs({"dir": "/", "recursive": True}, section="process"), execute("memfd:x")) is Verdict.BLOCK
    assert ask(paths({"path": "/a", "action": "Block"}, section="process"), execute("memfd:x")) is Verdict.ALLOW
    assert ask(paths({"path": "/a"}), read("memfd:x")) is Verdict.ALLOW


def test_an_exec_needs_no_file_rule_but_a_file_block_stops_it() -> None:
    assert ask(paths({"path": "/etc/x"}), execute("/bin/ls")) is Verdict.ALLOW
    assert ask(paths({"path": "/bin/ls", "action": "Block"}), execute("/bin/ls")) is Verdict.BLOCK


def test_both_names_of_a_rename_are_judged() -> None:
    rules = paths({"path": "/a"}, {"path": "/b", "action": "Audit"})

    def rename(path: str, target: str) -> Decision:
        return answer(rules, Access(op=Op.RENAME, path=path, target=target, source="/bin/mv"))

    assert rename("/a", "/a").verdict is Verdict.ALLOW
    assert rename("/a", "/b").verdict is Verdict.AUDIT
    assert rename("/a", "/c").path == "/c"
    assert rename("/c", "/a").path == "/c"


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "word"),
    [
        (2, 1, 6, "tcp"),
        (2, 1, 0, "tcp"),
        (1, 1, 0, "tcp"),
        (1, 2, 0, "udp"),
        (10, 2, 17, "udp"),
        (16, 3, 0, "raw"),
        (2, 3, 1, "icmp"),
        (2, 2, 1, "icmp"),
        (10, 3, 58, "icmpv6"),
        (1, 5, 0, "sctp"),
        (2, 1, 262, "tcp"),
    ],
)
def test_which_socket_is_which_word(family: int, kind: int, protocol: int, word: str) -> None:
    rules = policy(network={"matchProtocols": [{"protocol": word}]}, action="Allow")
    for op in (Op.SOCKET, Op.CONNECT, Op.BIND, Op.LISTEN, Op.ACCEPT):
        access = Access(op=op, family=family, type=kind, protocol=protocol, source="/x")
        assert ask(rules, access) is Verdict.ALLOW
        others = policy(network={"matchProtocols": [{"protocol": "rdm"}]}, action="Allow")
        assert ask(others, access) is Verdict.BLOCK


def test_protocol_and_type_of_a_socket_are_one_key() -> None:
    rules = policy(network={"matchProtocols": [{"protocol": "raw", "action": "Allow"}, {"protocol": "icmp"}]})
    assert ask(rules, Access(op=Op.SOCKET, type=3, protocol=1)) is Verdict.BLOCK
    assert ask(rules, Access(op=Op.SOCKET, type=3, protocol=255)) is Verdict.ALLOW
    turned = policy(network={"matchProtocols": [{"protocol": "icmp", "action": "Allow"}, {"protocol": "raw"}]})
    assert ask(turned, Access(op=Op.SOCKET, type=3, protocol=1)) is Verdict.BLOCK


def test_dns_queries_are_a_list_of_their_own() -> None:
    rules = policy(network={"matchDNSQueries": [{"domain": "example.com"}]}, action="Allow")
    assert ask(rules, Access(op=Op.SEND, dns="www.Example.com.")) is Verdict.ALLOW
    assert ask(rules, Access(op=Op.SEND, dns="badexample.com")) is Verdict.BLOCK
    assert ask(rules, Access(op=Op.SOCKET, type=1)) is Verdict.ALLOW
    assert ask(rules, Access(op=Op.SEND)) is Verdict.ALLOW


def test_capabilities() -> None:
    rules = policy(capabilities={"matchCapabilities": [{"capability": "cap_net_raw,chown"}]}, action="Allow")
    assert ask(rules, Access(op=Op.CAPABLE, capability="net_raw")) is Verdict.ALLOW
    assert ask(rules, Access(op=Op.CAPABLE, capability="kill")) is Verdict.BLOCK


def test_system_calls_are_only_ever_audited() -> None:
    rules = policy(
        syscalls={
            "matchSyscalls": [{"syscall": ["ptrace"], "fromSource": [{"dir": "/tmp/", "recursive": True}]}],
            "matchPaths": [{"syscall": ["unlink"], "path": "/etc/", "recursive": True}],
        },
        action="Block",
    )

    def call(name: str, **more: Any) -> Verdict:
        return ask(rules, Access(op=Op.SYSCALL, syscall=name, **more))

    assert call("ptrace", source="/tmp/a/b") is Verdict.AUDIT
    assert call("ptrace", source="/bin/b") is Verdict.ALLOW
    assert call("unlink", path="/etc/a/b", source="/x") is Verdict.AUDIT
    assert call("unlink", path="/var/a", source="/x") is Verdict.ALLOW


def test_no_terminal() -> None:
    rules = paths({"path": "/bin/sh", "pts": False, "action": "Block"}, section="process")
    assert ask(rules, execute("/bin/sh", tty=True)) is Verdict.BLOCK
    assert ask(rules, execute("/bin/sh")) is Verdict.ALLOW


def test_allowed_arguments() -> None:
    rules = paths({"path": "/bin/x", "allowedArgs": ["-a", "-b"]}, section="process")
    assert ask(rules, execute("/bin/x", argv=("x", "-a"))) is Verdict.ALLOW
    assert ask(rules, execute("/bin/x", argv=("x", "-c"))) is Verdict.BLOCK
    assert ask(rules, execute("/bin/x")) is Verdict.BLOCK


@pytest.mark.parametrize("op", [Op.STAT, Op.MMAP_EXEC, Op.MPROTECT_EXEC])
def test_what_nobody_judges(op: Op) -> None:
    for dialect in Dialect:
        ruleset = compile([paths({"path": "/a", "action": "Block"})], BLOCK, dialect)
        assert ruleset.decide(Access(op=op, path="/a", source="/x")).verdict is Verdict.ALLOW


def test_kubearmor_s_audit_rules_alert_where_its_monitor_watches() -> None:
    rules = paths({"path": "/a", "action": "Audit"}, {"path": "/r", "readOnly": True, "action": "Audit"})
    for visibility, verdict in (((), Verdict.ALLOW), ((PolicyClass.FILE,), Verdict.AUDIT)):
        ruleset = compile([rules], BLOCK, Dialect.KUBEARMOR_BPFLSM, visibility=visibility)
        assert ruleset.decide(read("/a")).verdict is verdict
        assert ruleset.decide(write("/r")).verdict is verdict
        assert ruleset.decide(read("/r")).verdict is Verdict.ALLOW


KUBEARMOR = Dialect.KUBEARMOR_BPFLSM


def test_kubearmor_lets_a_recursive_directory_beat_a_deeper_one_that_is_not_recursive() -> None:
    above, below = {"dir": "/a/", "recursive": True}, {"dir": "/a/b/", "action": "Block"}
    for order in ((above, below), (below, above)):
        assert decide([dirs(*order)], BLOCK, read("/a/b/x"), KUBEARMOR).verdict is Verdict.ALLOW
    deeper = {"dir": "/a/b/", "recursive": True, "action": "Block"}
    for order in ((above, deeper), (deeper, above)):
        assert decide([dirs(*order)], BLOCK, read("/a/b/x"), KUBEARMOR).verdict is Verdict.BLOCK


def test_kubearmor_takes_root_for_the_owner_of_a_name_that_does_not_exist_yet() -> None:
    rules = [dirs({"dir": "/a/", "ownerOnly": True})]
    for uid, verdict in ((0, Verdict.ALLOW), (1000, Verdict.BLOCK)):
        link = Access(op=Op.SYMLINK, path="/a/new", source="/x", uid=uid, parent_owner_match=True)
        assert decide(rules, BLOCK, link, KUBEARMOR).verdict is verdict


def test_kubearmor_reports_a_listed_socket_under_a_block_posture_and_an_audit_rule_can_claim_it() -> None:
    rules = policy(
        network={"matchProtocols": [{"protocol": "raw", "action": "Audit"}, {"protocol": "raw"}]}, action="Allow"
    )
    for posture, verdict in ((BLOCK, Verdict.AUDIT), (AUDIT, Verdict.ALLOW)):
        ruleset = compile([rules], posture, KUBEARMOR, visibility=())
        assert ruleset.decide(Access(op=Op.SOCKET, type=3, protocol=255, source="/x")).verdict is verdict


def test_what_only_kubearmor_does() -> None:
    def kubearmor(rules: Policy | list[Policy], access: Access) -> Verdict:
        return decide(rules if isinstance(rules, list) else [rules], BLOCK, access, Dialect.KUBEARMOR_BPFLSM).verdict

    assert kubearmor(paths({"path": "/etc/x"}), execute("/bin/ls")) is Verdict.BLOCK
    assert kubearmor(policy(file={"matchPatterns": [{"pattern": "/a"}]}), read("/a")) is Verdict.ALLOW
    assert kubearmor(paths({"path": "/a", "readOnly": True}), Access(op=Op.UNLINK, path="/a")) is Verdict.ALLOW
    assert kubearmor(paths({"path": "/a", "readOnly": True}), write("/a")) is Verdict.BLOCK
    assert kubearmor([paths({"path": "/a", "action": "Block"}), paths({"path": "/a"})], read("/a")) is Verdict.ALLOW
    assert kubearmor(dirs({"dir": "/", "recursive": True}, section="process"), execute("memfd:x")) is Verdict.ALLOW
    assert kubearmor(paths({"path": "/a"}), Access(op=Op.CHOWN, path="/b")) is Verdict.ALLOW
    assert kubearmor(paths({"path": "/a"}), read("/")) is Verdict.ALLOW
    deep = "/" + "/".join("abcdefghijklmnopqrstu")
    assert kubearmor(paths({"path": deep}), read(deep)) is Verdict.BLOCK
    long = "/" + "d" * 63 + "/"
    assert kubearmor(dirs({"dir": long}), read(long + "x")) is Verdict.BLOCK
    assert kubearmor(dirs({"dir": long[1:].join(("/", ""))[:63] + "/"}), read(long[:63] + "/x")) is Verdict.ALLOW
    argued = paths({"path": "/bin/x", "allowedArgs": ["-a"], "action": "Block"}, section="process")
    verdicts = [kubearmor(argued, execute("/bin/x", argv=v)) for v in (("x", "-a"), ("x", "-b"), ("x",), None)]
    assert verdicts == [Verdict.ALLOW, Verdict.BLOCK, Verdict.BLOCK, Verdict.BLOCK]
    copied = write("/a", overlay=True, copy_up=True)
    assert kubearmor(paths({"path": "/a"}), copied) is Verdict.BLOCK
    assert ask(paths({"path": "/a"}), copied) is Verdict.ALLOW
