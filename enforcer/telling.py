"""Alerts in KubeArmor's Alert format (v1.7.4), one JSON object each, so that what reads KubeArmor's reads ours.

``Count`` is ours: how many equal decisions the line stands for. They are aggregated by process, object, rule and
verdict, with exact counts; nothing is muted.
"""

from __future__ import annotations

import datetime
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from enforcer.bpf_lsm.alerts import Told
from models.policy import CAPABILITIES, DEFAULT_POSTURE, Rule
from models.policy.names import PROTOCOLS, SOCKET_TYPES

__all__ = ["as_alert"]

_OPERATIONS = {"process": "Process", "file": "File", "network": "Network", "capabilities": "Capabilities"}
_BLOCK = 3
_PROTOCOLS = {number: name.upper() for name, number in PROTOCOLS.items()}
_TYPES = {number: f"SOCK_{name.upper()}" for name, number in SOCKET_TYPES.items()}
_FAMILIES = {number: name for name, number in vars(socket).items() if name.startswith("AF_")}
_REASONS = {
    "path-too-long": "the path is longer than 4,095 bytes or deeper than 256 names",
    "raced": "the path was being renamed whenever it was read",
    "no-room": "judgements were preempted too often",
}


def as_alert(told: Told, rules: Sequence[Rule], workload: Mapping[str, str], host: str) -> dict[str, Any]:
    """One alert; `rules` are those of the tables that decided, `workload` fields that say whose it is."""
    rule = rules[told.rule - 1] if 0 < told.rule <= len(rules) else None
    now = datetime.datetime.now(datetime.UTC)
    happened = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - told.when / 1e9)
    message = rule.message if rule else _REASONS.get(told.reason, "")
    process = told.policy_class == "process"
    alert: dict[str, Any] = {
        "Timestamp": int(happened),
        "UpdatedTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "HostName": host,
        **workload,
        "HostPPID": told.parent_pid,
        "HostPID": told.pid,
        "PPID": told.parent_pid,
        "PID": told.pid,
        "UID": told.uid,
        "ParentProcessName": told.parent_source,
        "ProcessName": told.path if process else told.source,
        "PolicyName": rule.policy if rule else DEFAULT_POSTURE,
        "Severity": str(rule.severity or 1) if rule else "",
        "Tags": ",".join(rule.tags) if rule else "",
        "ATags": list(rule.tags) if rule else [],
        "Message": message,
        "Type": _type(rule, workload),
        "Source": told.parent_source if process else told.source,
        "Operation": _OPERATIONS[told.policy_class],
        "Resource": _resource(told),
        "Data": f"op={told.op}",
        "Enforcer": "discover",
        "Action": "Block" if told.kind == _BLOCK and told.denied else "Audit",
        "Result": "Permission denied" if told.denied else "Passed",
        "Count": told.count,
    }
    if told.kind == _BLOCK and not told.denied:
        alert["Action"] = "Audit (Block)"  # as KubeArmor says it where it cannot or may not enforce
    return alert


def _type(rule: Rule | None, workload: Mapping[str, str]) -> str:
    if rule is None:
        return "MatchedPolicy" if workload.get("ContainerID") else "MatchedHostPolicy"
    return "MatchedPolicy" if workload else "MatchedHostPolicy"


def _resource(told: Told) -> str:
    if told.policy_class == "capabilities":
        known = told.capability < len(CAPABILITIES)
        return f"CAP_{CAPABILITIES[told.capability].upper()}" if known else f"CAP_{told.capability}"
    if told.policy_class == "network":
        family = _FAMILIES.get(told.family, told.family)
        kind, protocol = _TYPES.get(told.type, told.type), _PROTOCOLS.get(told.protocol, told.protocol)
        return f"domain={family} type={kind} protocol={protocol}"
    return told.path
