"""How much of a workload a learned policy has seen, from the policy itself.

A rule that rests on one unit alone would be missing had that unit not been recorded. So the rules are the species and
the units the samples of `models.coverage`: names that vary were already made one rule, and do not read as never-ending
news. It costs nothing; learning again without each unit in turn (`models.completeness`) is the slower, sharper answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.behaviour import Class
from models.coverage import Estimate, estimate_pairs
from models.learn.result import Learned, Why

__all__ = ["rule_estimates"]

_CLASS = {"process": Class.EXEC, "file": Class.FILE, "network": Class.SOCKET, "capabilities": Class.CAPABILITY}


def rule_estimates(learned: Learned) -> dict[str, Estimate]:
    """For each class of behaviour what one more unit is expected to show that the policy has no rule for."""
    numbers: dict[tuple[str, ...], np.ndarray[Any, np.dtype[np.int64]]] = {}
    place = {unit: n for n, unit in enumerate(learned.units)}
    for rule in learned.rules:
        # many rules have the same units
        if rule.evidence.units not in numbers:
            numbers[rule.evidence.units] = np.array([place[u] for u in rule.evidence.units if u in place], np.int64)
    answer = {}
    for section, name in _CLASS.items():
        rules = [r for r in learned.rules if r.section == section and r.evidence.why not in (Why.DECIDED, Why.CLOSED)]
        units = [numbers[r.evidence.units] for r in rules]
        behaviours = np.repeat(np.arange(len(units)), np.array([len(u) for u in units], np.int64))
        answer[str(name)] = estimate_pairs(
            np.concatenate([np.zeros(0, np.int64), *units]), behaviours, len(learned.units)
        )
    return answer
