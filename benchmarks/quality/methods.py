"""Every method by its name: the learner and the five baselines, each giving a policy for a target."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.quality.baselines import BASELINES
from benchmarks.quality.judge import policy_of
from benchmarks.quality.material import Material
from models.learn import CannotFit, Options
from models.policy import LIMITS, Grade, Spec, Target, check_limits, key_count, rules

__all__ = ["LEARNED", "METHODS", "Made", "Size", "make", "size"]

LEARNED = "learned"
METHODS = (LEARNED, *BASELINES)
_NOT_OF_SIZE = {"exec-needs-file", "owner-only-overlay", "read-only-names"}
"""Findings that say how a target differs, not that it cannot hold the policy."""


@dataclass(frozen=True)
class Made:
    """What a method made of the evidence for a target."""

    spec: Spec
    refused: str = ""
    """Why there is no policy: the method itself said that the target cannot hold one."""
    outliers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Size:
    """How large a policy is for a target."""

    rules: int
    """What a person has to read: entries of the policy, one with several sources once."""
    keys: int | None
    """KubeArmor's rule keys, where the target counts them."""
    fits: bool
    """Whether the target can hold it. If not, its denials are those of a target without limits."""


def size(spec: Spec, target: Target) -> Size:
    """Measure a policy."""
    policies = [policy_of(spec)]
    keys = key_count(policies) if LIMITS[target].keys is not None else None
    broken = [f for f in check_limits(policies, target) if f.grade is Grade.ERROR and f.limit not in _NOT_OF_SIZE]
    return Size(sum(1 for _ in rules(policies[0])), keys, not broken)


def make(method: str, material: Material, target: Target) -> Made:
    """The policy of a method."""
    if method != LEARNED:
        return Made(BASELINES[method](material, LIMITS[target].patterns))
    from models.learn import learn  # noqa: PLC0415 - the baselines do without

    try:
        learned = learn(material.evidence, Options(target=target))
    except CannotFit as error:
        return Made(Spec(), refused=f"{error} ({error.hint})")
    return Made(learned.spec, outliers=tuple(o.unit for o in learned.outliers), warnings=tuple(learned.warnings))
