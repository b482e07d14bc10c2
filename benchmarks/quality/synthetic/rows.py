"""Made-up behaviour: rows of the dataset's schema, and evidence from them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from models.behaviour import BEHAVIOURS
from models.evidence import Evidence, Workload

__all__ = ["APP", "app", "evidence_of", "executed", "opened", "row", "with_rows"]

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
APP = "/usr/bin/app"
WATCHED = dict.fromkeys(("exec", "file", "socket", "capability"), "watched")


def row(unit: str, **values: Any) -> dict[str, Any]:
    """One row; what is not said is as ordinary as can be."""
    return {
        "workload": "app",
        "workload_kind": "Deployment",
        "unit": unit,
        "phase": "steady",
        "exe": APP,
        "uid": 1000,
        "tty": False,
        "errno": 0,
        "count": 3,
        "first_seen": START,
        "last_seen": START,
        **values,
    }


def opened(unit: str, path: str, access: str = "read", **values: Any) -> dict[str, Any]:
    """A file that was opened."""
    return row(unit, **{"class": "file"}, op="open", path=path, access=access, object="file", **values)


def executed(unit: str, path: str, **values: Any) -> dict[str, Any]:
    """A binary that was executed, and opened for it, as a recording has it."""
    return row(unit, **{"class": "exec"}, op="exec", path=path, parent_exe=values.get("exe", APP), **values)


def app(unit: str) -> list[dict[str, Any]]:
    """What every unit of a small application does."""
    reads = ["/etc/app.conf", "/etc/passwd", "/usr/lib/libc.so.6", "/etc/ld.so.cache", APP]
    return [
        executed(unit, APP, phase="start-up"),
        *(opened(unit, path, phase="start-up") for path in reads),
        opened(unit, "/var/log/app.log", "write+append+create"),
        row(unit, **{"class": "socket"}, op="accept", family="inet", type="stream", protocol="tcp", port=80),
    ]


def evidence_of(rows: Iterable[Mapping[str, Any]], kind: str = "Deployment") -> Evidence:
    """The evidence of one workload that did this."""
    listed = [dict(r) for r in rows]
    units = tuple(sorted({r["unit"] for r in listed}))
    table = pa.Table.from_pylist(listed, schema=BEHAVIOURS)
    return Evidence(Workload("app", kind), units, table, watched=WATCHED)


def with_rows(evidence: Evidence, rows: Iterable[Mapping[str, Any]]) -> Evidence:
    """Real evidence with rows added, of units that it has; who they are is taken from its first row."""
    first = evidence.behaviours.slice(0, 1).to_pylist()[0]
    identity = {n: first[n] for n in BEHAVIOURS.names[:8]}
    added = pa.Table.from_pylist([{**r, **identity} for r in rows], schema=BEHAVIOURS)
    plain = [pa.schema([f.with_type(_plain(f.type)) for f in BEHAVIOURS])] * 2
    tables = [t.cast(s) for t, s in zip((evidence.behaviours, added), plain, strict=True)]
    return replace(evidence, behaviours=pa.concat_tables(tables))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
