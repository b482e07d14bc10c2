"""Every method by its name: the learner and the five baselines, each giving a policy for a target."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from benchmarks.quality.baselines import BASELINES
from benchmarks.quality.judge import policy_of
from benchmarks.quality.material import Material
from models.learn import CannotFit, Options
from models.policy import LIMITS, Grade, Spec, Target, check_limits, key_count, rules

__all__ = ["LEARNED", "METHODS", "Made", "has_learner", "make", "rule_count"]

LEARNED = "learned"
METHODS = (LEARNED, *BASELINES)
_NOT_OF_SIZE = {"exec-needs-file", "owner-only-overlay", "read-only-names"}
"""Findings that say how a target differs, not that it cannot hold the policy."""


@dataclass(frozen=True)
class Made:
    """What a method made of the evidence for a target."""

    spec: Spec
    rules: int
    keys: int | None
    """KubeArmor's rule keys, where the target counts them."""
    fits: bool
    """Whether the target can hold it. If not, its denials are those of a target without limits."""
    refused: str = ""
    """Why there is no policy: the method itself said that the target cannot hold one."""
    outliers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def has_learner() -> bool:
    """Whether this tree has `models.learn.learn` at all."""
    import models.learn  # noqa: PLC0415

    return hasattr(models.learn, "learn") and importlib.util.find_spec("models.learn") is not None


def rule_count(spec: Spec) -> int:
    """How many rules a person has to read: entries of the policy, one with several sources once."""
    return sum(1 for _ in rules(policy_of(spec)))


def make(method: str, material: Material, target: Target) -> Made:
    """The policy of a method."""
    outliers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    if method == LEARNED:
        from models.learn import learn  # type: ignore[attr-defined, unused-ignore]  # noqa: PLC0415

        try:
            learned = learn(material.evidence, Options(target=target))
        except CannotFit as error:
            return Made(Spec(), 0, None, False, refused=f"{error} ({error.hint})")
        spec, warnings = learned.spec, tuple(learned.warnings)
        outliers = tuple(o.unit for o in learned.outliers)
    else:
        spec = BASELINES[method](material, LIMITS[target].patterns)
    policies = [policy_of(spec)]
    keys = key_count(policies) if LIMITS[target].keys is not None else None
    broken = [f for f in check_limits(policies, target) if f.grade is Grade.ERROR and f.limit not in _NOT_OF_SIZE]
    return Made(spec, rule_count(spec), keys, not broken, outliers=outliers, warnings=warnings)
