"""Decisions of an enforcer as a dataset, so that `discover generate` learns from them beside the recordings.

An alert does not say whether a file was opened for reading or for writing. The policy that decided does: what it would
let be read was to be written. The rest counts as read, so that a candidate rule never permits more than is known; if
it was a write, the next Audit says so.
"""

from __future__ import annotations

import datetime
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from collectors.writer import RecordingWriter
from discover.errors import UsageError
from discover.version import VERSION
from models.behaviour import SEGMENT, UNITS, Class, Object, Operation, Phase, Resolution, text_of
from models.dataset import Dataset
from models.policy import Access, Op, Ruleset

__all__ = ["rows", "write"]

_SOCKET = re.compile(r"domain=(\S+) type=(\S+) protocol=(\S+)")
_CLASSES = {"Process": Class.EXEC, "File": Class.FILE, "Network": Class.SOCKET, "Capabilities": Class.CAPABILITY}
_NOTE = "decisions of an enforcer: what was denied stands here like what happened"


def rows(alerts: Iterable[Mapping[str, Any]], unit: str, ruleset: Ruleset) -> Iterator[dict[str, Any]]:
    """SEGMENT rows of alerts in KubeArmor's format. What cannot be a behaviour (a mount) is left out."""
    for key, alert in enumerate(alerts, 1):
        op = str(alert["Data"]).removeprefix("op=")
        kind = _CLASSES.get(str(alert["Operation"]))
        if kind is None or op not in set(Operation):
            continue
        when = datetime.datetime.fromtimestamp(int(alert["Timestamp"]), datetime.UTC)
        row = {
            "key": key,
            "unit": unit,
            "phase": str(Phase.STEADY),
            "exe": alert["Source"],
            "uid": int(alert["UID"]),
            "tty": False,
            "class": str(kind),
            "op": op,
            "errno": 0,
            "count": int(alert.get("Count", 1)),
            "first_seen": when,
            "last_seen": when,
        }
        resource = str(alert["Resource"])
        if kind is Class.SOCKET:
            row |= _socket(resource)
        elif kind is Class.CAPABILITY:
            row["capability"] = resource
        else:
            text, raw = text_of(resource.encode("utf-8", "surrogateescape"))
            row |= {"path": text, "path_raw": raw, "resolved": str(Resolution.KERNEL), "object": str(Object.UNKNOWN)}
            if kind is Class.EXEC:
                row["parent_exe"] = alert["Source"]
            elif op == Operation.OPEN:
                row["access"] = _access(alert, ruleset)
        yield row


def _access(alert: Mapping[str, Any], ruleset: Ruleset) -> str:
    read = Access(op=Op.OPEN, path=alert["Resource"], source=alert["Source"], read=True, owner_match=True)
    listed = ruleset.decide(read)
    return "read+write" if listed.allowed and listed.rule is not None else "read"


def _socket(resource: str) -> dict[str, str]:
    found = _SOCKET.fullmatch(resource)
    if found is None:
        return {}
    family, kind, protocol = found.groups()
    return {
        "family": family.removeprefix("AF_").lower(),
        "type": kind.removeprefix("SOCK_").lower(),
        "protocol": protocol.lower(),
    }


def write(name: str, alerts: Path, output: Path, like: Dataset, ruleset: Ruleset) -> int:
    """Write the alerts of a policy set as a recording of the workload that `like` is of. How many decisions."""
    units = like.units().to_pylist()
    workloads = {(u["namespace"], u["workload_kind"], u["workload"], u["container"]) for u in units}
    if len(workloads) != 1:
        listed = ", ".join(sorted(str(w[2]) for w in workloads))
        raise UsageError(f"the recordings are of several workloads: {listed}", "name a recording of the one enforced")
    unit = f"decisions-{name}"
    lines = alerts.read_bytes().splitlines() if alerts.exists() else []
    found = list(rows(map(json.loads, lines), unit, ruleset))
    if not found:
        raise UsageError(f"nothing was told of {name} yet", f"discover enforce logs {name}")
    identity = {n: units[0][n] for n in ("cluster", "node", "namespace", "workload_kind", "workload", "container")}
    times = [r["first_seen"] for r in found]
    one = {"unit": unit, **identity, "started": min(times), "ended": max(times), "notes": [_NOTE]}
    manifest = {
        "discover_version": VERSION,
        "target": {"kind": "decisions", "workload": identity["workload"]},
        "command": ["discover", "enforce", "learn", name],
        "backend": "enforcer",
        "kernel": platform.release(),
        "arch": platform.machine(),
        "watched": {str(c): {"state": "watched", "note": _NOTE} for c in Class},
        "options": {},
    }
    with RecordingWriter.create(output, manifest) as writer:
        writer.append(pa.Table.from_pylist(found, schema=SEGMENT))
        writer.units(pa.Table.from_pylist([one], schema=UNITS))
        writer.finish("complete")
    return sum(r["count"] for r in found)
