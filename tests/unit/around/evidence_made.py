"""Evidence made by hand: a few accesses with who, when and where."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from models.behaviour import BEHAVIOURS, INVENTORY
from models.evidence import Evidence, Seen, Workload
from models.policy import Access, Op, Policy

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
APP = "/usr/bin/app"


def policy(name: str = "p", kind: str = "KubeArmorPolicy", labels: dict[str, str] | None = None, **spec: Any) -> Policy:
    chosen = {"selector": {"matchLabels": labels}} if labels else {}
    return Policy.from_document({"kind": kind, "metadata": {"name": name}, "spec": {**chosen, **spec}})


def allow(*items: dict[str, Any], section: str = "file") -> dict[str, Any]:
    """A section of Allow rules."""
    return {
        section: {
            "matchPaths": [{"action": "Allow", **i} for i in items if "path" in i],
            "matchDirectories": [{"action": "Allow", **i} for i in items if "dir" in i],
            "matchPatterns": [{"action": "Allow", **i} for i in items if "pattern" in i],
            "matchProtocols": [{"action": "Allow", **i} for i in items if "protocol" in i],
        }
    }


def seen(
    op: Op,
    path: str = "",
    *,
    count: int = 1,
    units: Iterable[str] = ("u1",),
    phases: Iterable[str] = ("steady",),
    fs: str = "",
    object: str = "file",  # noqa: A002 - the column's name
    **access: Any,
) -> Seen:
    what = Access(op=op, path=path, source=access.pop("source", APP), **access)
    later = START + datetime.timedelta(minutes=1)
    return Seen(what, count, frozenset(units), frozenset(phases), START, later, object, fs)


def read(path: str, **more: Any) -> Seen:
    return seen(Op.OPEN, path, read=True, **more)


def write(path: str, **more: Any) -> Seen:
    return seen(Op.OPEN, path, write=True, **more)


def row(unit: str, op: str, **values: Any) -> dict[str, Any]:
    """One BEHAVIOURS row with everything that is not said filled in."""
    kind = {"exec": "exec", "capable": "capability"}.get(op) or (
        "socket" if op in {"socket", "connect", "bind", "listen", "accept", "send"} else "file"
    )
    return {
        "workload": "web",
        "unit": unit,
        "phase": "steady",
        "exe": APP,
        "uid": 0,
        "tty": False,
        "class": kind,
        "op": op,
        "errno": 0,
        "count": 1,
        "first_seen": START,
        "last_seen": START,
        **({"object": "file"} if kind == "file" else {}),
        **({"access": "read"} if op == "open" else {}),
        **values,
    }


def evidence(rows: list[dict[str, Any]], units: Iterable[str], **more: Any) -> Evidence:
    behaviours = pa.Table.from_pylist(rows, schema=BEHAVIOURS)
    watched = dict.fromkeys(("exec", "file", "socket", "capability"), "watched")
    return Evidence(Workload("web"), tuple(units), behaviours, **{"watched": watched, **more})


def inventory(*paths: str, links: dict[str, str] | None = None, **columns: Any) -> pa.Table:
    rows = [{"workload": "web", "path": p, "object": "file", "mode": 0o644, **columns} for p in paths]
    rows += [
        {"workload": "web", "path": p, "object": "symlink", "link_target": t, "mode": 0o777}
        for p, t in (links or {}).items()
    ]
    return pa.Table.from_pylist(rows, schema=INVENTORY)
