"""Sockets as a graph: which executable talked with which peer, in which direction."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import Class
from models.evidence import Evidence

__all__ = ["Link", "links"]

_COLUMNS = ("exe", "op", "family", "type", "protocol", "address", "port", "path", "errno")
_KINDS = {"connect": "connects to", "send": "sends to", "accept": "is called by", "listen": "listens on"}


@dataclass(frozen=True, slots=True)
class Link:
    """One executable and one peer. `kind`: ``connects to``, ``sends to``, ``listens on``, ``is called by``."""

    exe: str
    kind: str
    peer: str
    count: int
    units: int
    failed: bool
    """Whether no attempt succeeded."""


def links(evidence: Evidence) -> tuple[Link, ...]:
    """The links, by executable, kind and peer. Callers are one peer for each port that they came to."""
    rows = evidence.behaviours
    rows = rows.filter(pc.equal(rows["class"].cast("string"), str(Class.SOCKET)))
    if not rows.num_rows:
        return ()
    text = {n: rows[n] if n in ("port", "errno") else rows[n].cast("string") for n in (*_COLUMNS, "unit")}
    table = pa.table({**text, "count": rows["count"]})
    found: dict[tuple[str, str, str], tuple[int, set[str], bool]] = {}
    for row in table.to_pylist():
        kind = _KINDS.get(row["op"])
        if kind is None:
            continue
        key = (row["exe"], kind, _peer(row))
        count, units, failed = found.get(key, (0, set(), True))
        found[key] = (count + int(row["count"]), units | {row["unit"]}, failed and row["errno"] != 0)
    return tuple(Link(*key, count, len(units), failed) for key, (count, units, failed) in sorted(found.items()))


def _peer(row: dict[str, object]) -> str:
    protocol = str(row["protocol"] or row["family"] or "socket")
    port = row["port"]
    if row["op"] == "accept":
        return f"clients of {protocol} :{port}" if port else f"clients of unix {row['path'] or 'sockets'}"
    if row["path"]:
        return f"unix {row['path']}"
    if row["address"] is None:
        return f"{protocol} (no address)"
    address = f"[{row['address']}]" if ":" in str(row["address"]) else str(row["address"])
    return f"{protocol} {address}" + (f":{port}" if port is not None else "")
