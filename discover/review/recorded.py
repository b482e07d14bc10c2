"""What was recorded, by unit and phase."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models.evidence import Evidence

__all__ = ["UnitRow", "unit_rows"]


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One unit. `behaviours` and `events` are counts by phase."""

    unit: str
    started: datetime.datetime | None
    seconds: float | None
    drills: tuple[str, ...]
    notes: tuple[str, ...]
    behaviours: Mapping[str, int]
    events: Mapping[str, int]


def unit_rows(evidence: Evidence, told: Iterable[Mapping[str, Any]]) -> tuple[UnitRow, ...]:
    """The units in the order of their start, those without behaviour included; `told` are their UNITS rows."""
    rows = evidence.behaviours
    table = pa.table(
        {"unit": rows["unit"].cast("string"), "phase": rows["phase"].cast("string"), "count": rows["count"]}
    )
    grouped = table.group_by(["unit", "phase"]).aggregate([("count", "count"), ("count", "sum")]).to_pylist()
    behaviours: dict[str, dict[str, int]] = {u: {} for u in evidence.units}
    events: dict[str, dict[str, int]] = {u: {} for u in evidence.units}
    for row in grouped:
        behaviours[row["unit"]][row["phase"]] = int(row["count_count"])
        events[row["unit"]][row["phase"]] = int(row["count_sum"])
    described = {r["unit"]: r for r in told}
    answer = []
    for unit in evidence.units:
        row = described.get(unit, {})
        start, end = row.get("started"), row.get("ended")
        answer.append(
            UnitRow(
                unit,
                start,
                (end - start).total_seconds() if start and end else None,
                tuple(row.get("drills") or ()),
                tuple(row.get("notes") or ()),
                behaviours[unit],
                events[unit],
            )
        )
    earliest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return tuple(sorted(answer, key=lambda u: (u.started or earliest, u.unit)))
