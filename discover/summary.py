"""A recording told as a report: units, what each executable did, what was lost, how much has been seen."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from discover.query import confined
from discover.text import printable
from models.coverage import by_class
from models.dataset import Dataset

__all__ = ["as_lines", "summarise"]

_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "busybox")

_EXECUTABLES = """
SELECT exe,
  count(DISTINCT unit) AS units,
  list(DISTINCT phase ORDER BY phase) AS phases,
  list(DISTINCT path ORDER BY path) FILTER (op = 'exec' AND errno = 0) AS executed,
  count(DISTINCT path) FILTER (op = 'open' AND errno = 0 AND access LIKE '%read%') AS files_read,
  count(DISTINCT parent) FILTER (op = 'open' AND errno = 0 AND access LIKE '%read%') AS folders_read,
  count(DISTINCT path) FILTER (written AND errno = 0) AS files_written,
  list(DISTINCT parent ORDER BY parent) FILTER (written AND errno = 0) AS folders_written,
  count(DISTINCT path) FILTER (op = 'mmap-exec' AND errno = 0) AS libraries,
  list(DISTINCT endpoint ORDER BY endpoint) FILTER (op = 'listen' AND errno = 0) AS listens,
  list(DISTINCT endpoint ORDER BY endpoint) FILTER (op IN ('connect', 'send') AND errno = 0) AS connects,
  coalesce(sum(count) FILTER (op = 'accept' AND errno = 0), 0)::UBIGINT AS accepted,
  list(DISTINCT capability ORDER BY capability) FILTER (op = 'capable' AND errno = 0) AS capabilities,
  count(*) FILTER (errno <> 0) AS failures,
  sum(count)::UBIGINT AS count
FROM (
  SELECT *,
    coalesce(nullif(regexp_replace(path, '/[^/]*$', ''), ''), '/') AS parent,
    "class" = 'file' AND op NOT IN ('mmap-exec', 'mprotect-exec')
      AND (op <> 'open' OR regexp_matches(access, 'write|append|create|truncate')) AS written,
    CASE WHEN path IS NOT NULL THEN 'unix:' || path
      WHEN address IS NULL THEN family
      WHEN contains(address, ':') THEN coalesce(protocol || ' ', '') || '[' || address || ']:' || coalesce(port, 0)
      ELSE coalesce(protocol || ' ', '') || address || ':' || coalesce(port, 0) END AS endpoint
  FROM behaviours
) GROUP BY exe ORDER BY count(*) DESC, exe
"""
_UNITS = """
SELECT u.unit, u.workload, u.workload_kind, u.image, u.started, u.ready, u.ended, u.drills, u.notes, behaviours
FROM units AS u LEFT JOIN (SELECT unit, count(*) AS behaviours FROM behaviours GROUP BY unit) AS b USING (unit)
ORDER BY u.started, u.unit
"""
_PHASES = (
    "SELECT phase, count(*) AS behaviours, sum(count)::UBIGINT AS count FROM behaviours GROUP BY phase ORDER BY phase"
)
_CLASSES = 'SELECT "class", count(*) AS behaviours, sum(count)::UBIGINT AS count FROM behaviours GROUP BY "class"'
_FAILED = "SELECT errno, count(*) AS behaviours FROM behaviours WHERE errno <> 0 GROUP BY errno ORDER BY 2 DESC, 1"
_LOSSES = "SELECT cause, sum(count)::UBIGINT AS count FROM losses GROUP BY cause ORDER BY cause"


def summarise(dataset: Dataset) -> dict[str, Any]:
    """All that the report says, as plain values; the names are those of the schema where there is one."""
    with confined(dataset) as connection:

        def rows(sql: str) -> list[dict[str, Any]]:
            return list(connection.sql(sql).to_arrow_table().to_pylist())

        summary: dict[str, Any] = {
            "recordings": [
                {
                    "path": str(r.path),
                    "id": r.id,
                    "status": r.status,
                    "backend": r.manifest.get("backend"),
                    "kernel": r.manifest.get("kernel"),
                }
                for r in dataset.recordings
            ],
            "units": rows(_UNITS),
            "phases": rows(_PHASES),
            "classes": {row.pop("class"): row for row in rows(_CLASSES)},
            "executables": rows(_EXECUTABLES),
            "failed": rows(_FAILED),
            "losses": rows(_LOSSES),
            "inventory": rows("SELECT count(*) AS files FROM inventory")[0]["files"],
        }
    summary["watched"] = dataset.watched
    summary["coverage"] = _coverage(dataset, summary["units"])
    return summary


def _coverage(dataset: Dataset, units: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By workload and class; a unit that nobody described belongs to the workload of its rows."""
    table = dataset.behaviours()
    owner = dict(
        zip(table["unit"].cast("string").to_pylist(), table["workload"].cast("string").to_pylist(), strict=True)
    )
    owner |= {u["unit"]: u["workload"] for u in units}
    members: dict[str, list[str]] = {}
    for unit, workload in sorted(owner.items()):
        members.setdefault(workload, []).append(unit)
    return {
        workload: {name: _finite(asdict(estimate)) for name, estimate in by_class(table, names).items()}
        for workload, names in sorted(members.items())
    }


def _finite(estimate: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in estimate.items()}


def as_lines(summary: dict[str, Any]) -> Iterator[str]:
    """The report, a line each; nothing in it that a terminal would obey."""
    for text in _lines(summary):
        yield printable(text)


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    workloads = sorted({str(u["workload"]) for u in summary["units"]})
    total = sum(c["behaviours"] for c in summary["classes"].values())
    events = sum(c["count"] for c in summary["classes"].values())
    yield f"{', '.join(workloads) or '(no unit described)'}: {total:,} behaviours in {events:,} events"
    for r in summary["recordings"]:
        yield f"  recording {r['path']}: {r['status']}, {r['backend']}, Linux {r['kernel']}"
    yield ""
    yield f"Units: {len(summary['units'])}"
    for unit in summary["units"][:20]:
        yield f"  {unit['unit']}: {_life(unit)}"
    if len(summary["units"]) > 20:
        yield f"  and {len(summary['units']) - 20} more"
    yield "Phases: " + _listed(f"{p['phase']} {p['behaviours']:,}" for p in summary["phases"])
    yield ""
    yield f"Executables: {len(summary['executables'])}"
    for row in summary["executables"]:
        yield from _executable(row)
    if summary["failed"]:
        told = (f"{errno.errorcode.get(f['errno'], f['errno'])} {f['behaviours']:,}" for f in summary["failed"])
        yield "Failed attempts: " + _listed(told)
    if summary["inventory"]:
        yield f"Files that exist: {summary['inventory']:,}"
    yield ""
    yield "Lost: " + (_listed(f"{x['count']:,} {x['cause']}" for x in summary["losses"] if x["count"]) or "nothing")
    yield "Seen so far:"
    for workload, estimates in summary["coverage"].items():
        for name, state in summary["watched"].items():
            whose = f"{workload}, {name}" if len(summary["coverage"]) > 1 else name
            yield f"  {whose}: {_seen(estimates[name], state)}"


def _life(unit: dict[str, Any]) -> str:
    parts = [f"{unit['behaviours'] or 0:,} behaviours"]
    if unit["started"]:
        parts.append(f"from {unit['started']:%Y-%m-%d %H:%M:%S}")
        if unit["ended"]:
            parts.append(f"for {_duration((unit['ended'] - unit['started']).total_seconds())}")
    if unit["drills"]:
        parts.append("drilled " + ", ".join(unit["drills"]))
    return ", ".join([*parts, *(unit["notes"] or [])])


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _executable(row: dict[str, Any]) -> Iterator[str]:
    shell = " (a shell)" if row["exe"].rpartition("/")[2] in _SHELLS else ""
    phases = _listed(row["phases"])
    yield f"  {row['exe']}{shell}: {_many(row['units'], 'unit')}, {phases}"
    did = []
    if row["executed"]:
        did.append(f"executed {_listed(row['executed'], 5)}")
    if row["files_read"]:
        did.append(f"read {_many(row['files_read'], 'file')} in {_many(row['folders_read'], 'folder')}")
    if row["libraries"]:
        did.append(f"mapped {_many(row['libraries'], 'executable file')}")
    if row["files_written"]:
        did.append(f"changed {_many(row['files_written'], 'file')} in {_listed(row['folders_written'], 5)}")
    if row["listens"]:
        did.append(f"listened on {_listed(row['listens'], 5)}")
    if row["accepted"]:
        did.append(f"accepted {_many(row['accepted'], 'connection')}")
    if row["connects"]:
        did.append(f"connected or sent to {_listed(row['connects'], 5)}")
    if row["capabilities"]:
        did.append(f"used {_listed(row['capabilities'], 8)}")
    if row["failures"]:
        did.append(f"failed attempts: {row['failures']:,}")
    for line in did:
        yield f"    {line}"


def _seen(estimate: dict[str, Any], state: dict[str, str]) -> str:
    if state["state"] != "watched":
        return "UNWATCHED" + (f" ({state['note']})" if state["note"] else "") + ": nothing follows from its absence"
    behaviours = estimate["behaviours"]
    if estimate["units"] < 2:
        return f"{behaviours:,} behaviours; one unit says nothing of the next: record more units"
    chance = f"{estimate['new']:.0%} ({estimate['low']:.0%} to {estimate['high']:.0%})"
    if not behaviours:
        return f"watched, and unused in {estimate['units']} units (which leaves up to {estimate['clean']:.0%})"
    return f"{behaviours:,} behaviours; the chance that one more unit shows a new one is {chance}"


def _listed(items: Any, limit: int = 50) -> str:
    texts = [str(i) for i in items]
    more = f" and {len(texts) - limit:,} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
