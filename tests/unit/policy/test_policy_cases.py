"""The `discover` dialect against KubeArmor's own cases; each divergence is listed here with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from policy_cases import accesses
from policy_recorded import SHARED, need

from models.policy import Dialect, Posture, compile, read_policies  # noqa: A004

CONFORMANCE = SHARED / "conformance"
NATIVE = "a raw AppArmor profile: there are no rules to decide by"
ELSEWHERE = "the policy names files of SELinux's test directory, the command uses others"
CAPABILITY = "the alert is of class Capabilities; upstream's AppArmor enforcer files net_raw under Network"
HOME = "su changes to the home directory, so ./readwrite is not the rule's source, /readwrite"
LISTED = "an Allow rule with a source makes the class an allow-list for everybody, and bash itself is not listed"
OWNER = "ownerOnly Block denies everybody but the owner; upstream's comment allows root what its other cases deny"
TWICE = "one command stands there with two opposite expectations"

UNDECIDABLE = dict.fromkeys(
    ("scenarios/github_test_11", "scenarios/multiubuntu_test_10", "examples/nsp-group-1-file-dir-recursive-block"),
    NATIVE,
)
DIVERGENT = {
    ("scenarios/github_test_10", "arping -c 1 127.0.0.1"): CAPABILITY,
    ("scenarios/multiubuntu_test_03", "arping -c 1 127.0.0.1"): CAPABILITY,
    ("host_scenarios/kubearmor-dev-next_test_05", "bash -c date"): LISTED,
    ("host_scenarios/kubearmor-dev_test_01", "diff --help"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_03", "cat /etc/hostname"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_04", "bash -c date"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_05", "bash -c date"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_06", "head -n 1 /etc/hostname"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_07", "head -n 1 /etc/hostname"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_08", "head -n 1 /etc/default/useradd"): ELSEWHERE,
    ("host_scenarios/kubearmor-dev_test_09", "head -n 1 /etc/default/useradd"): ELSEWHERE,
    ("examples/hsp-k8s-kubearmor-dev-proc-path-allow-fromSource", "bash -c date"): LISTED,
    ("examples/ksp-ubuntu-2-file-dir-owner-block", "cat /home/user1/secret_data1.txt"): OWNER,
    (
        "examples/ksp-ubuntu-3-file-dir-readonly-audit-from-source-path",
        "./readwrite -r /credentials/password",
    ): TWICE,
    (
        "examples/ksp-ubuntu-5-file-path-owner-readonly-allow-from-source-path",
        'su - user1 -c "./readwrite -r /home/user1/secret_data1.txt"',
    ): HOME,
    (
        "examples/ksp-ubuntu-5-file-path-owner-readonly-allow-from-source-path",
        'su - user1 -c "./readwrite -w /home/user1/secret_data1.txt"',
    ): HOME,
}


def cases() -> list[dict[str, Any]]:
    file = CONFORMANCE / "cases.json"
    return json.loads(file.read_text())["cases"] if file.exists() else []


def differences(case: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (command, what differs) for one case, under every posture that it speaks of."""
    policies = read_policies(CONFORMANCE / case["policy"])
    modes = ("block",) if case["posture"] == "block" else ("audit", "block")
    found = []
    for mode in modes:
        ruleset = compile(policies, Posture.all(mode), Dialect.DISCOVER)
        for command in case["commands"]:
            decisions = [ruleset.decide(a) for a in accesses(command["cmd"])]
            denied = any(not d.allowed for d in decisions)
            alerts = [a for d in decisions for a in d.alerts]
            expect = command["expect"]
            if expect == "default-posture":
                posture = any(a.policy == "DefaultPosture" and a.action.lower() == mode for a in alerts)
                if denied != (mode == "block") or not posture:
                    found.append((command["cmd"], f"{mode}: denied={denied}, DefaultPosture alert={posture}"))
                continue
            if denied != (expect == "deny"):
                found.append((command["cmd"], f"{mode}: expected {expect}, denied={denied}"))
            wanted = command.get("alert") or {}
            if wanted.get("found") in (True, False):
                there = any(_alike(a, wanted) for a in alerts)
                if there != wanted["found"]:
                    found.append((command["cmd"], f"{mode}: alert {wanted}, there={there}: {alerts}"))
    return found


def _alike(alert: Any, wanted: dict[str, Any]) -> bool:
    return (
        alert.operation == wanted.get("Operation", alert.operation)
        and alert.action == wanted.get("Action", alert.action)
        and wanted.get("ResourceContains", "") in alert.resource
    )


@pytest.mark.shared
@pytest.mark.parametrize("case", cases(), ids=lambda c: c["id"])
def test_case(case: dict[str, Any]) -> None:
    if case["id"] in UNDECIDABLE:
        pytest.skip(UNDECIDABLE[case["id"]])
    unlisted = [d for d in differences(case) if (case["id"], d[0]) not in DIVERGENT]
    assert not unlisted


@pytest.mark.shared
def test_every_listed_divergence_still_occurs() -> None:
    need(CONFORMANCE)
    by_id = {c["id"]: c for c in cases()}
    stale = [key for key in DIVERGENT if key[1] not in {command for command, _ in differences(by_id[key[0]])}]
    assert not stale


@pytest.mark.shared
def test_how_many_cases_are_decided() -> None:
    need(CONFORMANCE)
    everything = [(c, k) for c in cases() for k in c["commands"]]
    decided = [(c, k) for c, k in everything if c["id"] not in UNDECIDABLE]
    equal = [k for c, k in decided if (c["id"], k["cmd"]) not in DIVERGENT]
    print(f"cases: {len(equal)} of {len(decided)} commands as expected, {len(everything) - len(decided)} undecidable")
    assert len(equal) >= 0.9 * len(everything)
