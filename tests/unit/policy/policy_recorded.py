"""The recorded verdicts of a real KubeArmor as accesses: what each command of the recording did to the kernel.

The recording's container is Docker on overlayfs with ``/data`` as a bind mount; its agents run as root and, for an
access of another user, call setgid twice and setuid once first. Those calls are part of what was judged and alerted,
so they are part of the translation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from models.policy import Access, Op, Policy, Posture

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("DISCOVER_SHARED") or ROOT.parent / "shared")
VERDICTS = SHARED / "conformance" / "verdicts"
OWNERS = {"/data/f2": 1000, "/data/dir/sub/f4": 1000, "/var/log/app.log": 1000}
SOCKET_TYPES = {"1": 1, "2": 2}
CAPABILITY_DENIED = 1
NET_RAW_FAMILIES = (2, 10, 17)


@dataclass(frozen=True)
class Recorded:
    """One access of the recording, and what came of it."""

    place: str
    op: str
    accesses: tuple[Access, ...]
    errno: int
    alerts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Session:
    """One policy set with the accesses tried under it."""

    policies: tuple[Policy, ...]
    posture: Posture
    recorded: tuple[Recorded, ...]


def sessions() -> Iterator[Session]:
    for file in sorted(VERDICTS.glob("*.jsonl")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            document = json.loads(line)
            policies = tuple(
                Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": p["name"]}, "spec": p["spec"]})
                for p in document["policies"]
            )
            recorded = tuple(
                Recorded(
                    f"{file.name}:{number}:{i}",
                    r["op"],
                    tuple(translate(r)),
                    r["errno"],
                    tuple(map(alert, r["alerts"])),
                )
                for i, r in enumerate(document["accesses"])
            )
            yield Session(policies, Posture.all(document["posture"]), recorded)


def alert(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(record[k] for k in ("policyName", "operation", "resource", "source", "action", "result", "data"))


def translate(record: dict[str, Any]) -> Iterator[Access]:
    """Yield what one command does, in order. The last access is the one whose errno was recorded."""
    op, path, uid = record["op"], record["a"], record["uid"]
    base = Access(op=Op.STAT, source=record["agent"], parent=record["agent"], uid=0)
    if uid:
        for name in ("setgid", "setgid", "setuid"):
            yield replace(base, op=Op.CAPABLE, capability=name)
    overlay = path.startswith("/") and not path.startswith("/data")
    owner = OWNERS.get(path, 0)
    base = replace(base, path=path, uid=uid, owner_match=owner == uid, parent_owner_match=uid == 0, overlay=overlay)
    match op:
        case "exec":
            yield replace(base, op=Op.EXEC)
        case "read" | "list" | "write" | "append" | "rdwr":
            # The agents only open: a write would show lsm=FILE_PERMISSION, and no recorded one does.
            yield replace(base, op=Op.OPEN, read=True, directory=op == "list")
            if overlay and owner:  # O_NOATIME on a layer's file that root does not own: asked, and no harm if refused
                yield replace(base, op=Op.CAPABLE, capability="fowner")
        case "create":
            yield replace(base, op=Op.OPEN, create=True, owner_match=True)
        case "chown":
            yield replace(base, op=Op.CHOWN)
            if owner and not uid:  # root may give its own files to itself; another's need CAP_CHOWN, for user and group
                yield replace(base, op=Op.CAPABLE, capability="chown")
                yield replace(base, op=Op.CAPABLE, capability="chown")
        case "symlink" | "mkdir" | "mknod":
            yield replace(base, op=Op(op), owner_match=None)
        case "link" | "rename":
            yield replace(base, op=Op(op), target=record["b"])
        case "socket":
            kind, protocol = map(int, record["b"].split("/"))
            family = int(path)
            yield replace(base, op=Op.SOCKET, path="", family=family, type=kind, protocol=protocol)
            if kind == 3 and family in NET_RAW_FAMILIES:
                yield replace(base, op=Op.CAPABLE, path="", capability="net_raw")
        case "connect" | "bind":
            kind = SOCKET_TYPES[path]
            yield replace(base, op=Op.SOCKET, path="", type=kind)
            yield replace(base, op=Op(op), path="", type=kind, protocol={1: 6, 2: 17}[kind])
        case _:
            yield replace(base, op=Op(op))


def need(path: Path) -> Path:
    """Return a path of the reference data, or skip and say what is missing."""
    if not path.exists():
        pytest.skip(f"{path} does not exist; set DISCOVER_SHARED to the reference data")
    return path
