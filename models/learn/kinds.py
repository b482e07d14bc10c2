"""Replicas that work alike: a primary and its standbys are two kinds of one workload, and one policy holds for both.

The units are clustered by the rules that they need (hierarchical, average linkage on Jaccard distances, by
scikit-learn), so that names which vary from run to run set nothing apart. Kinds are told to people; the policy is
learned from all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.learn.result import Learned

__all__ = ["Kind", "kinds"]

_APART = 0.5
"""Two kinds share less than half of the rules that either needs."""
_FEWEST = 4
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """Units that work alike."""

    units: tuple[str, ...]
    only: tuple[str, ...]
    """Some of what each of them does and none of the others: executables first, then files and the rest."""


def kinds(learned: Learned) -> tuple[Kind, ...]:
    """The kinds of units, the largest first; one where all work alike, none with fewer than four units."""
    units = learned.units
    rules = [r for r in learned.rules if r.evidence.units]
    if len(units) < _FEWEST or not rules:
        return ()
    # loaded here: it takes a second, and one workload with few units never needs it
    from sklearn.cluster import AgglomerativeClustering  # noqa: PLC0415

    number = {unit: n for n, unit in enumerate(units)}
    having: dict[tuple[str, ...], np.ndarray[Any, np.dtype[np.bool_]]] = {}
    for rule in rules:
        # many rules have the same units
        if rule.evidence.units not in having:
            flags = having[rule.evidence.units] = np.zeros(len(units), bool)
            flags[[number[u] for u in rule.evidence.units]] = True
    needs = np.stack([having[rule.evidence.units] for rule in rules], axis=1)
    numbers = needs.astype(np.float64)
    shared = numbers @ numbers.T
    sizes = np.diag(shared)
    either = sizes[:, None] + sizes[None, :] - shared
    distances = np.divide(either - shared, either, out=np.zeros_like(either), where=either > 0)
    model = AgglomerativeClustering(n_clusters=None, metric="precomputed", linkage="average", distance_threshold=_APART)
    labels = model.fit(distances).labels_
    answer = []
    for label in sorted(set(labels.tolist())):
        inside = labels == label
        alone = needs[inside].all(axis=0) & ~needs[~inside].any(axis=0)
        only = [rules[n] for n in np.flatnonzero(alone)] if not inside.all() else []
        names = [f"{r.section} {(r.evidence.examples or (_value(r.rule),))[0]}" for r in only]
        order = {"process": 0, "file": 1}
        names.sort(key=lambda n: (order.get(n.split(" ")[0], 2), n))
        answer.append(Kind(tuple(u for u, kept in zip(units, inside, strict=True) if kept), tuple(names[:_TOLD])))
    return tuple(sorted(answer, key=lambda k: (-len(k.units), k.units)))


def _value(rule: object) -> str:
    for name in ("path", "dir", "pattern", "protocol", "capability"):
        if value := getattr(rule, name, None):
            return str(value)
    return ""
