"""Alerts in KubeArmor's words, what is kept of a policy set, and what `discover enforce logs` shows of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors.cgroups import CgroupRef
from collectors.identity import WorkloadIdentity
from collectors.target import Target
from discover.enforce import gates, logs
from discover.enforce.cover import pod_cgroup
from discover.errors import UsageError
from enforcer import store
from enforcer.bpf_lsm.alerts import Told
from enforcer.bpf_lsm.domains import CLASSES, Totals
from enforcer.compile import compile_tables
from enforcer.errors import EnforceError
from enforcer.store import Enforced
from enforcer.telling import as_alert
from models.policy import Policy, Posture

SPEC = {
    "file": {
        "matchPaths": [{"path": "/etc/shadow", "action": "Block", "severity": 7, "tags": ["T1003"], "message": "no"}]
    }
}
POLICY = Policy.from_document(
    {"kind": "KubeArmorPolicy", "metadata": {"name": "web", "namespace": "shop"}, "spec": SPEC}
)
TOLD = Told(
    domain=1, generation=1, kind=3, rule=1, op="open", policy_class="file", denied=True, reason="policy",
    path="/etc/shadow", source="/bin/cat", parent_source="/bin/sh", comm="cat", pid=12, parent_pid=11, uid=0,
    family=0, type=0, protocol=0, capability=0, cgroup=5, when=1, count=3,
)  # fmt: skip


def alert(**changes: Any) -> dict[str, Any]:
    rules = compile_tables([POLICY], Posture()).rules
    return as_alert(replace(TOLD, **changes), rules, {"NamespaceName": "shop", "ContainerID": "c"}, "node")


def test_a_denial_has_its_rule_in_kubearmors_fields() -> None:
    told = alert()
    wanted = {
        "PolicyName": "web", "Severity": "7", "Tags": "T1003", "Message": "no", "Type": "MatchedPolicy",
        "Source": "/bin/cat",
        "Operation": "File", "Resource": "/etc/shadow", "Action": "Block", "Result": "Permission denied", "Count": 3,
        "NamespaceName": "shop", "ProcessName": "/bin/cat", "ParentProcessName": "/bin/sh", "HostPID": 12,
        "HostName": "node",
    }  # fmt: skip
    assert {k: told[k] for k in wanted} == wanted


def test_a_block_that_only_tells_says_so() -> None:
    assert (alert(denied=False)["Action"], alert(denied=False)["Result"]) == ("Audit (Block)", "Passed")
    assert alert(kind=2, denied=False)["Action"] == "Audit"


def test_the_posture_is_named_and_a_path_that_cannot_be_known_explained() -> None:
    told = alert(rule=0, reason="path-too-long")
    assert told["PolicyName"] == "DefaultPosture"
    assert "4,095" in told["Message"]


def test_sockets_and_capabilities_are_named() -> None:
    told = alert(policy_class="network", op="connect", path="", family=2, type=1, protocol=6)
    assert told["Resource"] == "domain=AF_INET type=SOCK_STREAM protocol=TCP"
    assert alert(policy_class="capabilities", op="capable", capability=13)["Resource"] == "CAP_NET_RAW"


def test_a_process_alert_names_the_parent_as_its_source() -> None:
    told = alert(policy_class="process", op="exec", path="/bin/nc")
    assert (told["Source"], told["ProcessName"], told["Resource"]) == ("/bin/sh", "/bin/nc", "/bin/nc")


def kept(name: str = "web", **fields: Any) -> Enforced:
    return Enforced(name, 1, 1, "container web", store.as_yaml([POLICY]), ("block", "block", "audit"), **fields)


def test_what_is_kept_gives_the_same_tables_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FOLDER", tmp_path / "run")
    store.write(kept(block=("file",)))
    found = store.read("web")
    assert found == kept(block=("file",))
    assert store.read_all() == [found]
    posture = Posture("block", "block", "audit")
    assert found is not None
    assert found.tables().words == compile_tables([POLICY], posture).words
    store.forget("web")
    assert store.read("web") is None
    with pytest.raises(EnforceError):
        store.read("../etc")


def totals(**audited: int) -> Totals:
    nothing = dict.fromkeys(CLASSES, 0)
    return Totals(nothing, nothing | audited, nothing)


def test_block_wants_an_audit_without_violations() -> None:
    gates.audited(kept(audited_since=1.0), totals(network=2), ["file"], accept=False)
    with pytest.raises(UsageError, match="2 violations"):
        gates.audited(kept(audited_since=1.0), totals(network=2), CLASSES, accept=False)
    with pytest.raises(UsageError, match="there was none"):
        gates.audited(None, None, CLASSES, accept=False)
    gates.audited(None, None, CLASSES, accept=True)


def test_block_wants_to_know_how_much_was_seen(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(store.as_yaml([POLICY]))
    with pytest.raises(UsageError, match="how much of the workload was seen"):
        gates.checked([file], None, accept_incomplete=False)
    file.write_text(file.read_text().replace("readOnly", "readonly").replace("matchPaths", "matchPath"))
    with pytest.raises(UsageError, match="matchPath"):
        gates.checked([file], None, accept_incomplete=True)


def test_logs_are_filtered_and_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FOLDER", tmp_path)
    file = tmp_path / "web.alerts.jsonl"
    told = [alert(), alert(rule=0, path="/tmp/\x1b[31mred")]
    file.write_text("".join(json.dumps(a) + "\n" for a in told))
    seen: dict[Path, int] = {}
    assert len(list(logs.lines("web", seen, as_json=True))) == 2
    with file.open("a") as more:
        more.write(json.dumps(alert(policy_class="network", op="connect", path="", type=1)) + "\n")
    (line,) = logs.lines("web", seen, as_json=False)
    assert "network connect" in line
    assert "(3 times)" in line
    (line,) = logs.lines(None, {}, as_json=False, log_filter="system")
    assert "\x1b" not in line
    assert "DefaultPosture" in line
    assert len(list(logs.lines(None, {}, as_json=True, operation="file", policy="web", namespace="shop"))) == 1
    assert not list(logs.lines(None, {}, as_json=True, namespace="other"))


def pod(*paths: str, kind: str = "pod") -> Target:
    return Target(kind, "unified", WorkloadIdentity("web", "Pod"), [CgroupRef(p, n) for n, p in enumerate(paths)])


@pytest.mark.parametrize(
    ("target", "above"),
    [
        (pod("/k.slice/k-pod1.slice/a.scope", "/k.slice/k-pod1.slice/b.scope"), "/k.slice/k-pod1.slice"),
        (pod("/kubepods/burstable/pod1/a"), "/kubepods/burstable/pod1"),
        (pod("/system.slice/a.scope"), None),
        (pod("/a"), None),
        (pod("/kubepods/pod1/a", "/kubepods/pod2/a"), None),
        (pod("/kubepods/pod1/a", kind="container"), None),
    ],
)  # fmt: skip
def test_a_pods_own_cgroup_lies_right_above_its_containers(target: Target, above: str | None) -> None:
    assert pod_cgroup(target) == above
