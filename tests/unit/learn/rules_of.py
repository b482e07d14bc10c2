"""What the learner made of some rows, as texts: ``path /etc/app.conf r``, ``pattern /a* rw``, ``dir /data/ r``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from benchmarks.quality.synthetic.rows import evidence_of
from models.behaviour import INVENTORY
from models.evidence import Evidence
from models.learn import Learned, Options, learn
from models.policy import Target

__all__ = ["made", "short", "stock_of", "texts"]


def stock_of(*files: str | Mapping[str, Any]) -> pa.Table:
    """An inventory of ordinary files that no package brought, unless told otherwise."""
    rows = [{"path": f} if isinstance(f, str) else f for f in files]
    return pa.Table.from_pylist(
        [{"workload": "app", "object": "file", "mode": 0o644, "size": 10, **r} for r in rows], INVENTORY
    )


def made(
    rows: Iterable[Mapping[str, Any]],
    target: Target = Target.DISCOVER,
    *,
    inventory: Iterable[str | Mapping[str, Any]] = (),
    kind: str = "Deployment",
    watched: Mapping[str, str] | None = None,
    **options: Any,
) -> Learned:
    """What is learned from some rows."""
    evidence: Evidence = replace(evidence_of(rows, kind), inventory=stock_of(*inventory))
    if watched is not None:
        evidence = replace(evidence, watched=watched)
    return learn(evidence, Options(target=target, **options))


def short(rule: Any) -> str:
    """One rule."""
    access = "r" if getattr(rule, "read_only", None) else "rw"
    if getattr(rule, "pattern", None):
        return f"pattern {rule.pattern} {access}"
    if getattr(rule, "dir", None):
        return f"{'tree' if rule.recursive else 'dir'} {rule.dir} {access}"
    if getattr(rule, "path", None):
        return f"path {rule.path} {access}"
    return str(getattr(rule, "protocol", None) or rule.capability)


def texts(learned: Learned, below: str = "/", section: str = "file") -> set[str]:
    """The rules of a section whose value begins so."""
    return {t for r in learned.rules if r.section == section and (t := short(r.rule)).split(" ")[1].startswith(below)}
