"""Evidence of a made-up workload, row by row."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa

from benchmarks.quality.material import Material
from models.behaviour import BEHAVIOURS, INVENTORY
from models.evidence import Evidence, Workload

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
APP = "/usr/bin/app"


def row(path: str, access: str = "read", **values: Any) -> dict[str, Any]:
    """One open of a file, unless told otherwise."""
    return {
        "workload": "made-up",
        "unit": "one",
        "phase": "steady",
        "exe": APP,
        "uid": 0,
        "tty": False,
        "class": "file",
        "op": "open",
        "access": access,
        "path": path,
        "object": "file",
        "errno": 0,
        "count": 1,
        "first_seen": START,
        "last_seen": START,
        **values,
    }


def material(rows: list[dict[str, Any]], inventory: list[dict[str, Any]] | None = None, kind: str = "") -> Material:
    table = pa.Table.from_pylist(rows, schema=BEHAVIOURS)
    units = sorted({r["unit"] for r in rows})
    stock = pa.Table.from_pylist(
        [{"workload": "made-up", "object": "file", **r} for r in inventory or ()], schema=INVENTORY
    )
    watched = dict.fromkeys(("exec", "file", "socket", "capability"), "watched")
    return Material(Evidence(Workload("made-up", kind), tuple(units), table, inventory=stock, watched=watched))
