"""What one recording of a workload shows that another does not.

Two recordings never show the same paths: random names differ. So what is only in one of them is held against a policy
learned from the other: what that policy allows is no difference, only another name of the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.behaviour import Class
from models.completeness import class_of
from models.evidence import Evidence, Seen, accesses
from models.policy import Ruleset

__all__ = ["ClassDifference", "Difference", "difference"]


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """One class. `only_old` and `only_new` count distinct accesses that the other side does not have at all."""

    name: Class
    old: int
    new: int
    only_old: int
    only_new: int
    gone: tuple[Seen, ...]
    """Of `only_old`, what a policy learned from the new recording would deny; the most frequent first."""
    came: tuple[Seen, ...]
    """The same the other way round."""
    comparable: bool
    """Whether both sides watched the class: if not, nothing follows from what is missing."""


@dataclass(frozen=True)
class Difference:
    """Two recordings of one workload."""

    old: Evidence
    new: Evidence
    classes: Mapping[Class, ClassDifference]

    @property
    def differs(self) -> bool:
        """Whether anything came or went, by the policies learned."""
        return any(c.gone or c.came for c in self.classes.values())


def difference(old: Evidence, new: Evidence, learn: Callable[[Evidence], Ruleset] | None = None) -> Difference:
    """Compare two recordings. Without `learn` every access that only one of them has is a difference."""
    before, after = _by_access(old), _by_access(new)
    only_old = [s for a, s in before.items() if a not in after]
    only_new = [s for a, s in after.items() if a not in before]
    gone = _denied(only_old, new, learn)
    came = _denied(only_new, old, learn)
    classes = {}
    for name in Class:
        sides = [e.watched.get(str(name)) == "watched" for e in (old, new)]
        classes[name] = ClassDifference(
            name,
            sum(class_of(s) is name for s in before.values()),
            sum(class_of(s) is name for s in after.values()),
            sum(class_of(s) is name for s in only_old),
            sum(class_of(s) is name for s in only_new),
            tuple(s for s in gone if class_of(s) is name) if sides[1] else (),
            tuple(s for s in came if class_of(s) is name) if sides[0] else (),
            all(sides),
        )
    return Difference(old, new, classes)


def _by_access(evidence: Evidence) -> dict[object, Seen]:
    return {s.access: s for s in accesses(evidence.behaviours) if s.access.policy_class is not None}


def _denied(only: list[Seen], other: Evidence, learn: Callable[[Evidence], Ruleset] | None) -> list[Seen]:
    if only and learn is not None:
        ruleset = learn(other)
        only = [s for s in only if not ruleset.decide(s.access).allowed]
    return sorted(only, key=lambda s: (-s.count, s.access.path, s.access.op, s.access.source))
