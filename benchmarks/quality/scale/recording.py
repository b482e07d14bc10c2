"""A recording of many workloads, written a workload at a time.

Each workload is a Deployment of twenty replicas whose behaviour is what the real datasets show, in their proportions:
about half of what it does is the same in every replica (libraries, modules, pages), the rest are names that one
replica alone used (temporary files, sessions, process ids, a cache by hash). One Parquet file holds a workload.
"""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from collectors.whole_files import write_part
from collectors.writer import RecordingWriter
from models import dataset_layout as layout
from models.behaviour import BEHAVIOURS, UNITS

__all__ = ["DISTINCT", "REPLICAS", "ROWS", "WORKLOADS", "written"]

WORKLOADS, REPLICAS = 300, 20
SHARED, OWN = 3_140, 3_860
"""Accesses of every replica, and accesses of one replica alone, of each workload."""
DISTINCT = WORKLOADS * (SHARED + OWN)
ROWS = WORKLOADS * (SHARED * REPLICAS + OWN)
START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
MANIFEST: dict[str, Any] = {
    "discover_version": "0",
    "target": {"kind": "made-up", "workload": "(many)"},
    "command": ["python", "-m", "benchmarks.quality", "--scale"],
    "backend": "tracepoint",
    "kernel": "6.1.0",
    "arch": "x86_64",
    "watched": {name: {"state": "watched", "note": ""} for name in ("exec", "file", "socket", "capability")},
    "options": {},
}
Behaviour = dict[str, Any]
_SYLLABLES = tuple(map("".join, zip("bcdfghjklmnprstvwxyz", "aeiouaeiouaeiouaeiou", strict=True)))


def written(path: Path, workloads: int = WORKLOADS, *, scale: int = 1) -> Path:
    """Write a recording of so many workloads, each with `scale` times the behaviour; memory holds one of them."""
    with RecordingWriter.create(path, MANIFEST) as writer:
        names = [f"app-{n:03}" for n in range(workloads)]
        writer.units(pa.Table.from_pylist([u for name in names for u in _units(name)], schema=UNITS))
        for number, name in enumerate(names):
            folder = path / "behaviours" / f"unit={layout.encoded(name)}"
            folder.mkdir(parents=True)
            write_part(folder / "part-000000.parquet", "behaviours", _table(name, number, scale))
        writer.finish("complete")
    return path


def _units(name: str) -> Iterator[dict[str, Any]]:
    for replica in range(REPLICAS):
        yield {
            "unit": f"{name}/{replica:02}",
            "namespace": "default",
            "workload_kind": "Deployment",
            "workload": name,
            "container": "main",
            "image": f"registry.example/{name}:1",
            "labels": [("app", name)],
            "started": START,
        }


def _opened(path: str, access: str, **values: Any) -> Behaviour:
    return {"class": "file", "op": "open", "path": path, "access": access, "object": "file", **values}


def _shared(scale: int) -> list[Behaviour]:
    exe = {"class": "exec", "op": "exec", "path": "/usr/bin/python3.11", "parent_exe": "/usr/bin/containerd-shim"}
    inet = {"class": "socket", "family": "inet", "type": "stream", "protocol": "tcp"}
    found: list[Behaviour] = [exe, *({**inet, "op": op} for op in ("socket", "bind", "listen", "accept", "connect"))]
    found += [{"class": "capability", "op": "capable", "capability": c} for c in ("CAP_SETUID", "CAP_SETGID")]
    found += [_opened(f"/etc/app/{n}.conf", "read") for n in range(32)]
    wanted = SHARED * scale - len(found)
    modules, libraries = wanted * 45 // 100, wanted // 10
    packages = "/usr/lib/python3/dist-packages"
    found += [_opened(f"{packages}/{_word(n % 40)}/{_word(n)}.py", "read") for n in range(modules)]
    found += [_opened(f"/usr/lib/x86_64-linux-gnu/lib{_word(n)}.so.{n % 7}", "read") for n in range(libraries)]
    pages = wanted - modules - libraries
    return found + [_opened(f"/srv/app/static/{_word(n % 14)}/{_word(n)}.html", "read") for n in range(pages)]


def _word(number: int) -> str:
    """A name as people give them: no shape says which others there are."""
    mixed = (number * 2_654_435_761 + 97) % 20**5
    return "".join(_SYLLABLES[mixed // 20**place % 20] for place in range(4 - mixed % 2))


def _own(rng: random.Random, scale: int) -> list[Behaviour]:
    total = OWN * scale
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    found = []
    for number in range(total):
        bits = rng.getrandbits(128)
        if number % 4 == 0:
            name = "".join(letters[(bits >> (6 * i)) % 62] for i in range(6))
            found.append(_opened(f"/tmp/app-{name}", "read+write+create", owner_match=True))
        elif number % 4 == 1:
            session = f"/var/lib/app/sessions/{uuid.UUID(int=bits, version=4)}.json"
            found.append(_opened(session, "write+create", owner_match=True))
        elif number % 4 == 2:
            digest = f"{bits:032x}"
            found.append(_opened(f"/var/cache/app/{digest[:2]}/{digest}", "read+write+create", owner_match=True))
        else:
            found.append(_opened(f"/proc/{2 + number}/status", "read", owner_match=True))
    return found


def _table(name: str, number: int, scale: int) -> pa.Table:
    shared, own = _shared(scale), _own(random.Random(f"scale/{number}"), scale)
    kinds = [*shared, *own]
    # which behaviour each row is of, and whose
    what = np.concatenate([np.tile(np.arange(len(shared)), REPLICAS), len(shared) + np.arange(len(own))])
    whose = np.concatenate([np.repeat(np.arange(REPLICAS), len(shared)), np.arange(len(own)) % REPLICAS])
    counts = np.random.default_rng(number).integers(1, 1000, len(what))
    constant: dict[str, Any] = {
        "namespace": "default",
        "workload_kind": "Deployment",
        "workload": name,
        "container": "main",
        "image": f"registry.example/{name}:1",
        "phase": "steady",
        "exe": "/usr/bin/python3.11",
        "uid": 1000,
        "tty": False,
        "resolved": "kernel",
        "errno": 0,
        "first_seen": START,
        "last_seen": START + datetime.timedelta(hours=1),
    }
    columns = []
    for field in BEHAVIOURS:
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if field.name == "unit":
            values = pa.DictionaryArray.from_arrays(
                pa.array(whose, pa.int32()), pa.array([f"{name}/{r:02}" for r in range(REPLICAS)])
            )
        elif field.name == "count":
            values = pa.array(counts, pa.uint64())
        elif field.name in constant:
            values = pa.repeat(pa.scalar(constant[field.name], plain), len(what)).cast(field.type)
        else:
            values = pa.array([k.get(field.name) for k in kinds], plain).take(pa.array(what)).cast(field.type)
        columns.append(values)
    return pa.table(columns, schema=BEHAVIOURS)
