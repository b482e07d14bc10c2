"""The evidence of a workload: everything that was recorded of it, as the learner takes it.

`gather` groups a dataset by workload, in an order that does not depend on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from models.accesses import Seen, accesses
from models.behaviour import BEHAVIOURS, INVENTORY
from models.dataset import Dataset
from models.distinct import Distinct, distinct

__all__ = [
    "WORKLOAD",
    "Evidence",
    "Rows",
    "Seen",
    "Workload",
    "accesses",
    "described",
    "gather",
    "of_units",
]

WORKLOAD = ("cluster", "namespace", "workload_kind", "workload", "container")


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """Whose behaviour it is."""

    name: str
    kind: str = ""
    namespace: str = ""
    container: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        kind = f"{self.kind.lower()}/" if self.kind else ""
        return f"{where}{kind}{self.name}" + (f" ({self.container})" if self.container else "")


class Rows(Protocol):
    """Rows that are not held in memory."""

    def read(self) -> Iterator[pa.Table]:
        """Read them, part by part, with the columns `models.distinct.COLUMNS`."""
        ...  # pragma: no cover


@dataclass(frozen=True)
class Evidence:
    """Everything known about one workload: the learner's input."""

    workload: Workload
    units: tuple[str, ...]
    """The units that were recorded, in order of their names, those without behaviour included."""
    behaviours: pa.Table = field(default_factory=BEHAVIOURS.empty_table, repr=False)
    """Its rows, with the columns of `models.behaviour.BEHAVIOURS`."""
    inventory: pa.Table = field(default_factory=INVENTORY.empty_table, repr=False)
    watched: Mapping[str, str] = field(default_factory=dict)
    """For each class ``watched`` or ``unwatched``; a class that is missing is unwatched."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Events lost, by cause."""
    images: tuple[tuple[str, str], ...] = ()
    """(image, digest) of its units."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that all its units share."""
    recordings: tuple[str, ...] = ()
    """Ids of the recordings it came from."""
    stored: Rows | None = field(default=None, repr=False)
    """Where its rows are if they are not held here (`behaviours` is then empty)."""

    def distinct(self, leave_out: Sequence[str] = (), units: Sequence[str] | None = None) -> Distinct:
        """The distinct rows, without some phases, and of some units alone."""
        rows = self._distinct if units is None else distinct(self._tables(), units)
        return rows.without(leave_out)

    def phases(self) -> frozenset[str]:
        """The phases in which anything was recorded."""
        return self._distinct.phases

    @cached_property
    def _distinct(self) -> Distinct:
        return distinct(self._tables(), self.units)

    def _tables(self) -> Iterable[pa.Table]:
        return [self.behaviours] if self.stored is None else self.stored.read()

    @property
    def is_host(self) -> bool:
        """Whether the host itself was recorded: its policy is a KubeArmorHostPolicy."""
        return self.workload.kind == "Host"


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def of_units(behaviours: pa.Table, units: Iterable[str]) -> pa.Table:
    """The rows of some units."""
    return behaviours.filter(pc.is_in(_text(behaviours["unit"]), pa.array(sorted(units), pa.string())))


def gather(dataset: Dataset, *, containers: bool = True) -> list[Evidence]:
    """The evidence of each workload in a dataset, ordered by workload; `containers` keeps those of a pod apart.

    All rows are in memory; `models.evidence_stream` serves where they do not fit.
    """
    names = WORKLOAD if containers else WORKLOAD[:-1]
    behaviours = dataset.behaviours()
    owners = [pc.fill_null(_text(behaviours[name]), "") for name in names]
    whose = pa.table(owners, names=list(names)).group_by(list(names)).aggregate([])
    keys = [tuple(r[n] for n in names) for r in whose.to_pylist()]
    answer = []
    for key, evidence in described(dataset, keys, names):
        rows = behaviours
        if len(keys) > 1 or key not in keys:
            kept = pa.array([True] * behaviours.num_rows)
            for owner, value in zip(owners, key, strict=True):
                kept = pc.and_(kept, pc.equal(owner, value))
            rows = behaviours.filter(kept)
        units = sorted({*evidence.units, *_text(rows["unit"]).unique().to_pylist()})
        answer.append(replace(evidence, behaviours=rows, units=tuple(units)))
    return answer


def described(
    dataset: Dataset, whose: Sequence[tuple[str, ...]], names: Sequence[str] = WORKLOAD
) -> list[tuple[tuple[str, ...], Evidence]]:
    """The workloads of a dataset, those in `whose` included, with all that is known of each but its behaviours."""
    told: dict[tuple[str, ...], list[dict[str, Any]]] = {key: [] for key in whose}
    for unit in dataset.units().to_pylist():
        told.setdefault(tuple(unit[n] or "" for n in names), []).append(unit)
    inventory = dataset.inventory()
    stocks = inventory["workload"].cast(pa.string()) if inventory.num_rows else None
    losses: dict[str, dict[str, int]] = {}
    for loss in dataset.losses().to_pylist():
        causes = losses.setdefault(loss["unit"], {})
        causes[loss["cause"]] = causes.get(loss["cause"], 0) + int(loss["count"])
    watched = {name: w["state"] for name, w in dataset.watched.items()}
    recordings = tuple(sorted(r.id for r in dataset.recordings))
    answer = []
    for key in sorted(told):
        units = told[key]
        parts = dict(zip(names, key, strict=True))
        lost: dict[str, int] = {}
        for unit in units:
            for cause, count in losses.get(unit["unit"], {}).items():
                lost[cause] = lost.get(cause, 0) + count
        digests = {(u["image"] or "", u["image_digest"] or "") for u in units if u["image"] or u["image_digest"]}
        workload = Workload(
            name=parts["workload"],
            kind=parts["workload_kind"],
            namespace=parts["namespace"],
            container=parts.get("container", ""),
            cluster=parts["cluster"],
        )
        evidence = Evidence(
            workload=workload,
            units=tuple(sorted(u["unit"] for u in units)),
            inventory=inventory.filter(pc.equal(stocks, workload.name)) if stocks is not None else inventory,
            watched=watched,
            lost=lost,
            images=tuple(sorted(digests)),
            labels=_shared_labels(units),
            recordings=recordings,
        )
        answer.append((key, evidence))
    return answer


def _shared_labels(units: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    sets = [dict(u["labels"]) for u in units if u["labels"]]
    if not sets or len(sets) < len(units):
        return {}
    return {k: v for k, v in sorted(sets[0].items()) if all(s.get(k) == v for s in sets)}
