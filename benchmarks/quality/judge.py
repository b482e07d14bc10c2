"""Judging a policy: what it denies of accesses that it was not learned from, in its target's dialect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from models.evidence import Seen
from models.policy import (  # fmt: skip
    Access,
    Dialect,
    KubeArmorPolicy,
    Metadata,
    PolicyClass,
    Posture,
    Ruleset,
    Spec,
    Target,
    compile,  # noqa: A004 - as in re.compile
)
from models.policy.kubearmor import KubeArmorRuleset
from models.policy.kubearmor_alerts import AlertMatcher

__all__ = ["DIALECTS", "Denials", "Tally", "compiled", "judge", "policy_of"]

DIALECTS = {
    Target.DISCOVER: Dialect.DISCOVER,
    Target.KUBEARMOR_BPFLSM: Dialect.KUBEARMOR_BPFLSM,
    Target.PORTABLE: Dialect.KUBEARMOR_BPFLSM,
    Target.KUBEARMOR_APPARMOR: Dialect.DISCOVER,
}
"""Who decides for a target. Nobody has recorded what KubeArmor's AppArmor enforcer does, so the written semantics,
which have its patterns, stand in for it; ``portable`` is judged by the narrower of its two."""
STEADY = "steady"
EXAMPLES = 12
_CLASSES = (PolicyClass.PROCESS, PolicyClass.FILE, PolicyClass.NETWORK, PolicyClass.CAPABILITIES)


@dataclass
class Tally:
    """Accesses, and how many of them were denied; distinct ones, and weighted by how often they happened."""

    denied: int = 0
    of: int = 0
    denied_count: int = 0
    of_count: int = 0

    def add(self, count: int, *, denied: bool) -> None:
        """Count one distinct access that happened `count` times."""
        self.of += 1
        self.of_count += count
        if denied:
            self.denied += 1
            self.denied_count += count

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.denied + other.denied,
            self.of + other.of,
            self.denied_count + other.denied_count,
            self.of_count + other.of_count,
        )

    @property
    def share(self) -> float:
        """Denied of all distinct ones."""
        return self.denied / self.of if self.of else 0.0

    @property
    def share_count(self) -> float:
        """The same, weighted."""
        return self.denied_count / self.of_count if self.of_count else 0.0


@dataclass
class Denials:
    """What a policy denies of some accesses."""

    steady: Tally = field(default_factory=Tally)
    """Of what happened in the steady phase, whether or not it happened in others too."""
    all: Tally = field(default_factory=Tally)
    classes: dict[str, Tally] = field(default_factory=lambda: {str(c): Tally() for c in _CLASSES})
    examples: list[str] = field(default_factory=list)
    """Some of what was denied, in order."""

    def __add__(self, other: Denials) -> Denials:
        return Denials(
            self.steady + other.steady,
            self.all + other.all,
            {name: tally + other.classes[name] for name, tally in self.classes.items()},
            sorted({*self.examples, *other.examples}),
        )


def policy_of(spec: Spec, name: str = "learned") -> KubeArmorPolicy:
    """A policy with this body."""
    return KubeArmorPolicy(metadata=Metadata(name=name), spec=spec)


def compiled(spec: Spec, target: Target) -> Ruleset:
    """The body of a policy, ready to decide under the posture that blocks."""
    posture = Posture.all("block")
    ruleset = compile([policy_of(spec)], posture, DIALECTS[target])
    if isinstance(ruleset, KubeArmorRuleset):  # most of its time goes to whom it would tell, which nobody asks here
        return replace(ruleset, matcher=AlertMatcher.build([], posture))
    return ruleset


def judge(ruleset: Ruleset, seen: Iterable[Seen]) -> Denials:
    """What it denies."""
    found = Denials()
    examples = set()
    for one in seen:
        name = one.access.policy_class
        if name is None:
            continue
        denied = not ruleset.decide(one.access).allowed
        found.all.add(one.count, denied=denied)
        if STEADY in one.phases:
            found.steady.add(one.count, denied=denied)
        found.classes[str(name)].add(one.count, denied=denied)
        if denied:
            examples.add(described(one.access))
    found.examples = sorted(examples)[:EXAMPLES]
    return found


def described(access: Access) -> str:
    """An access in one line."""
    what = access.path or access.capability or f"family {access.family} type {access.type} protocol {access.protocol}"
    how = "+".join(n for n in ("read", "write", "create", "truncate", "directory") if getattr(access, n))
    return f"{access.op} {what}{f' ({how})' if how else ''} by {access.source}"
