"""What every method learns from, ours and the baselines alike: the evidence, and what it says about each file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from models.behaviour import Phase
from models.dataset import open_dataset
from models.evidence import Evidence, Seen, accesses, gather, of_units
from models.policy import Access, Op, PolicyClass

__all__ = ["DATASETS", "ROOT", "Material", "Use", "dataset_material", "reads_only"]

ROOT = Path(__file__).parents[2]
_CONTAINERS = ("Container", "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
DATASETS = ("nginx", "postgres", "redis", "pyweb", "nodeweb")
"""The ordinary datasets; ``nginx-idle`` and ``nginx-shell`` are measured apart."""


@dataclass(frozen=True, slots=True)
class Use:
    """How a path was used."""

    reads: bool = False
    writes: bool = False
    """Anything but reading: writes, creations, removals, changes of mode or owner."""

    def __or__(self, other: Use) -> Use:
        return Use(self.reads or other.reads, self.writes or other.writes)


def reads_only(access: Access) -> bool:
    """Whether ``readOnly`` permits an access to a file (docs/policy-semantics.md)."""
    return access.op is Op.OPEN and not (access.write or access.create or access.truncate)


@dataclass(frozen=True)
class Material:
    """The evidence of one workload, read once for all methods."""

    evidence: Evidence
    whole: Material | None = None
    """What it is a part of: the inventory is the same."""

    @cached_property
    def seen(self) -> list[Seen]:
        """The judged accesses, in a fixed order.

        Left out are what neither dialect ever judges, what a person did through ``exec``, and what came before a
        recorded command: there was only the recorder. In a container the runtime's start counts: KubeArmor judges it.
        """
        kind = self.evidence.workload.kind
        before = (Phase.EXEC_SESSION,) if kind in _CONTAINERS else (Phase.EXEC_SESSION, Phase.RUNTIME_INIT)
        seen = accesses(self.evidence.behaviours, leave_out=before)
        return [s for s in seen if s.access.policy_class is not None]

    @cached_property
    def files(self) -> dict[str, Use]:
        """How each file was used, by path, sorted."""
        return self._files(s.access for s in self.seen)

    @cached_property
    def files_by_source(self) -> dict[str, dict[str, Use]]:
        """The same by the executable that used it."""
        sources = sorted({s.access.source for s in self.seen if s.access.policy_class is PolicyClass.FILE})
        return {source: self._files(s.access for s in self.seen if s.access.source == source) for source in sources}

    @cached_property
    def executables(self) -> list[str]:
        """What was executed, by path, sorted."""
        return sorted({s.access.path for s in self.seen if s.access.op is Op.EXEC})

    @cached_property
    def ran(self) -> frozenset[str]:
        """What was executed, or acted and so was executed before the recording began; not the runtime's own."""
        outside = {str(Phase.RUNTIME_INIT), str(Phase.PROBE)}
        acted = {s.access.source for s in self.seen if s.phases - outside}
        return frozenset(acted.union(self.executables))

    @cached_property
    def image_files(self) -> frozenset[str]:
        """The inventory's files that belong to a package."""
        if self.whole is not None:
            return self.whole.image_files
        stock = self.evidence.inventory.select(["path", "package"]).to_pylist()
        return frozenset(r["path"] for r in stock if r["package"])

    @cached_property
    def uids(self) -> frozenset[int]:
        """Whom it ran as."""
        return frozenset(self.evidence.behaviours["uid"].unique().to_pylist())

    def of(self, units: Iterable[str]) -> Material:
        """What some of its units say."""
        names = sorted(units)
        rows = of_units(self.evidence.behaviours, names)
        return Material(replace(self.evidence, units=tuple(names), behaviours=rows), self)

    @staticmethod
    def _files(seen: Iterable[Access]) -> dict[str, Use]:
        found: dict[str, Use] = {}
        for access in seen:
            if access.policy_class is PolicyClass.FILE and access.path.startswith("/"):
                use = Use(access.read or not access.write, not reads_only(access))
                found[access.path] = found.get(access.path, Use()) | use
        return dict(sorted(found.items()))


@lru_cache(maxsize=8)
def dataset_material(
    name: str, stock: str = "", root: Path = ROOT / "datasets"
) -> tuple[Material, dict[str, list[str]]]:
    """The material of a dataset's workload, and the kinds of load that each of its units went through.

    A dataset without an inventory takes that of `stock`, another dataset recorded on the same machine.
    """
    dataset = open_dataset(root / name)
    evidence, *others = gather(dataset)
    if stock and not evidence.inventory.num_rows:
        evidence = replace(evidence, inventory=open_dataset(root / stock).inventory())
    if others:
        raise ValueError(f"{root / name} holds {1 + len(others)} workloads: one is judged at a time")
    loads = {
        row["unit"]: sorted(n.removeprefix("load: ") for n in row["notes"] or () if n.startswith("load: "))
        for row in dataset.units().to_pylist()
    }
    return Material(evidence), loads
