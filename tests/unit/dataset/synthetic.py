"""Recordings as a web server would leave them, with names that a hostile workload would choose."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from collectors.writer import RecordingWriter
from models.behaviour import INVENTORY, LOSSES, SEGMENT, SEGMENT_COUNTS, UNITS, text_of

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
HOSTILE = [
    b"/srv/a b",
    b"/srv/new\nline",
    b"/srv/'; DROP TABLE behaviours; --",
    b'/srv/"quoted"',
    b"/srv/\x1b[31mred\x1b[0m\x07",
    b"/srv/\xff\xfe-no-utf8",
    "/srv/\u202egnp.exe".encode(),
    b"/srv/[bold]rich[/bold]",
    b"/srv/<script>alert(1)</script>",
    b"/srv/*?[a-z]{x}",
    b"/srv/" + b"x" * 3000,
]
NGINX, SHELL = "/usr/sbin/nginx", "/usr/bin/dash"
MANIFEST: dict[str, Any] = {
    "discover_version": "0.1.0",
    "target": {"kind": "container", "workload": "web"},
    "command": ["discover", "record"],
    "backend": "tracepoint",
    "kernel": "6.1.0",
    "arch": "x86_64",
    "watched": {
        "exec": {"state": "watched", "note": ""},
        "file": {"state": "watched", "note": ""},
        "socket": {"state": "watched", "note": ""},
        "capability": {"state": "unwatched", "note": "no capability tracepoint before Linux 6.14"},
    },
    "options": {},
}


def row(unit: str, op: str, **values: Any) -> dict[str, Any]:
    """One SEGMENT row with everything that is not said filled in."""
    kind = {"exec": "exec", "capable": "capability"}.get(op) or (
        "socket" if op in {"socket", "connect", "bind", "listen", "accept", "send"} else "file"
    )
    path = values.pop("path", None)
    text, raw = text_of(path) if isinstance(path, bytes) else (path, None)
    return {
        "unit": unit,
        "phase": "steady",
        "exe": NGINX,
        "uid": 101,
        "tty": False,
        "class": kind,
        "op": op,
        "path": text,
        "path_raw": raw,
        "errno": 0,
        "count": 1,
        "first_seen": START,
        "last_seen": START,
        **values,
    }


def segment(rows: list[dict[str, Any]], first_key: int = 1) -> pa.Table:
    """A SEGMENT table; rows without a key get one."""
    return pa.Table.from_pylist([{"key": first_key + i, **r} for i, r in enumerate(rows)], schema=SEGMENT)


def unit_rows(unit: str) -> list[dict[str, Any]]:
    """What one replica of the web server does."""
    early = {"phase": "start-up", "uid": 0}
    rows = [
        row(unit, "exec", path=NGINX, argv=[NGINX, "-g", "daemon off;"], parent_exe="/usr/bin/runc", **early),
        row(unit, "open", path="/etc/nginx/nginx.conf", access="read", resolved="kernel", object="file", **early),
        row(unit, "mmap-exec", path="/usr/lib/x86_64-linux-gnu/libc.so.6", resolved="derived", object="file", **early),
        row(unit, "bind", family="inet", type="stream", protocol="tcp", address="0.0.0.0", port=80, **early),
        row(unit, "listen", family="inet", type="stream", protocol="tcp", address="0.0.0.0", port=80, **early),
        row(unit, "capable", capability="CAP_SETUID", **early),
        row(unit, "open", path="/var/log/nginx/access.log", access="write+append+create", object="file", count=900),
        row(unit, "open", path="/etc/nginx/missing.conf", access="read", resolved="asked", errno=2),
        row(unit, "connect", family="unix", type="stream", path="@/tmp/.sock\x1b[2J"),
        row(unit, "accept", family="inet", type="stream", protocol="tcp", address="10.1.2.3", port=41000, count=500),
        row(
            unit,
            "exec",
            path=SHELL,
            exe=SHELL,
            phase="exec-session",
            tty=True,
            uid=0,
            argv=["sh", "-c", "\x1b]0;x\x07"],
        ),
    ]
    rows += [row(unit, "open", path=p, access="read", object="file") for p in HOSTILE]
    return rows


def units_table(units: list[str], workload: str = "web") -> pa.Table:
    rows = [
        {
            "unit": u,
            "workload": workload,
            "workload_kind": "Container",
            "image": "nginx:1.27",
            "image_digest": "sha256:" + "0" * 64,
            "labels": [("app", "web\x1b[0m")],
            "started": START,
            "ready": START + datetime.timedelta(seconds=2),
            "ended": START + datetime.timedelta(minutes=5),
            "drills": ["reload"],
        }
        for u in units
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def losses_table(rows: list[tuple[str, str, int]]) -> pa.Table:
    return pa.Table.from_pylist([{"unit": u, "cause": c, "count": n} for u, c, n in rows], schema=LOSSES)


def counts_table(counts: dict[int, int], when: datetime.datetime = START) -> pa.Table:
    return pa.Table.from_pylist(
        [{"key": k, "count": n, "last_seen": when} for k, n in counts.items()], schema=SEGMENT_COUNTS
    )


def inventory_table(workload: str = "web") -> pa.Table:
    names = [b"/usr/sbin/nginx", b"/etc/shadow", b"/etc/passwd", *HOSTILE]
    rows = [
        {
            "workload": workload,
            "path": text_of(n)[0],
            "path_raw": text_of(n)[1],
            "object": "file",
            "size": 10,
            "mode": 0o644,
        }
        for n in names
    ]
    return pa.Table.from_pylist(rows, schema=INVENTORY)


def record(path: Path, units: list[str], *, finish: str | None = "complete", **manifest: Any) -> RecordingWriter:
    """A small recording of `units`; `finish` None leaves it as a killed recorder would."""
    writer = RecordingWriter.create(path, {**MANIFEST, **manifest})
    for n, unit in enumerate(units):
        writer.append(segment(unit_rows(unit), first_key=1 + 1000 * n))
    writer.units(units_table(units))
    writer.losses(losses_table([(units[0], "ring-full", 3)]))
    writer.inventory(inventory_table())
    if finish:
        writer.finish(finish)
    else:
        writer.close()
    return writer


def many_rows(count: int, seed: int = 7) -> pa.Table:
    """SEGMENT rows of a busy workload: few units and executables, many files; some rows say the same behaviour."""
    rng = np.random.default_rng(seed)
    names = random.Random(seed)
    files = np.array([f"/srv/data/{names.randrange(4096):03x}/{names.getrandbits(64):016x}.dat" for _ in range(count)])

    def pick(values: list[str]) -> pa.Array:
        indices = pa.array(rng.integers(0, len(values), count), pa.int32())
        return pa.DictionaryArray.from_arrays(indices, pa.array(values))

    when = pa.array(rng.integers(1_760_000_000_000_000, 1_760_001_000_000_000, count)).cast(
        SEGMENT.field("first_seen").type
    )
    columns: dict[str, pa.Array] = {
        "key": pa.array(np.arange(count, dtype="u8") + (seed << 40)),
        "unit": pick(["web-1", "web-2", "web-3"]),
        "phase": pick(["start-up", "steady"]),
        "exe": pick([NGINX, SHELL, "/usr/bin/python3.11"]),
        "uid": pa.array(rng.integers(0, 2, count), pa.uint32()),
        "tty": pa.array(np.zeros(count, bool)),
        "class": pick(["file"]),
        "op": pick(["open", "unlink", "rename-to"]),
        "access": pick(["read", "read+write", "write+create"]),
        "path": pa.array(files[rng.integers(0, count // 2, count)]),
        "resolved": pick(["kernel"]),
        "object": pick(["file"]),
        "fs": pick(["overlay"]),
        "owner_match": pa.array(rng.integers(0, 2, count).astype(bool)),
        "errno": pa.array(np.zeros(count, "u2")),
        "count": pa.array(np.ones(count, "u8")),
        "first_seen": when,
        "last_seen": when,
    }
    return pa.table([columns.get(f.name, pa.nulls(count, f.type)) for f in SEGMENT], schema=SEGMENT)
