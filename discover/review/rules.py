"""Each rule of a policy with the accesses that it decided in the recording, and why a person should look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from discover.review.attention import Concern, concerns
from discover.words import in_order
from models.attribution import attribute
from models.evidence import Seen
from models.learn import Admission, RuleEvidence, Why
from models.policy import Rule

if TYPE_CHECKING:
    from discover.review.make import Review

__all__ = ["ReviewedRule", "reviewed_rules"]

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class ReviewedRule:
    """One rule under review."""

    rule: Rule
    evidence: RuleEvidence
    why: str
    """`models.learn.Why`, or empty where nobody wrote down why the rule has its shape."""
    covers: tuple[Seen, ...]
    """The accesses of this recording that the rule decided, the most frequent first."""
    attention: tuple[Concern, ...]
    """Why a person should look at it, the weightiest first."""

    @property
    def where(self) -> str:
        """``POLICY:FIELD``."""
        return f"{self.rule.policy}:{self.rule.where}"

    @property
    def weight(self) -> float:
        """How much it needs a person's eye."""
        return sum(c.weight for c in self.attention)

    @property
    def writes(self) -> bool:
        """Whether it lets files be changed."""
        return self.rule.section == "file" and self.rule.action == "Allow" and not self.rule.read_only


def reviewed_rules(review: Review) -> tuple[ReviewedRule, ...]:
    """The rules in the order of the policies."""
    found = attribute(review.policies, review.seen)
    answer = []
    for (policy, where), told in found.rules.items():
        rule = replace(told[0], value=",".join(r.value for r in told))
        covers = sorted(
            found.seen[policy, where], key=lambda s: (-s.count, s.access.path, s.access.op, s.access.source)
        )
        known = review.known.get(f"{policy}:{where}")
        evidence = _evidence(rule, covers, known, review)
        units = len(review.evidence.units)
        alarming = concerns(rule, evidence, known is not None, covers, units, review.sensitive)
        answer.append(ReviewedRule(rule, evidence, str(evidence.why) if known else "", tuple(covers), alarming))
    return tuple(answer)


def _evidence(rule: Rule, covers: Sequence[Seen], known: RuleEvidence | None, review: Review) -> RuleEvidence:
    """What this recording says; why and note are those that stand beside the policy."""
    admits = _admission(rule, known, review.unseen, review)
    base = known or RuleEvidence(why=Why.SEEN)
    if not covers:
        # a policy may rest on other recordings than this one: their figures stay, and the rule reads as unused here
        return replace(base, admits=admits)
    return replace(
        base,
        behaviours=len(covers),
        count=sum(s.count for s in covers),
        units=tuple(sorted({u for s in covers for u in s.units})),
        phases=in_order(p for s in covers for p in s.phases),
        executables=tuple(sorted({s.access.source for s in covers})),
        first=min(s.first for s in covers),
        last=max(s.last for s in covers),
        examples=tuple(dict.fromkeys(s.access.path for s in covers if s.access.path))[:_EXAMPLES],
        admits=admits,
    )


def _admission(
    rule: Rule, known: RuleEvidence | None, unseen: Mapping[tuple[str, str], tuple[str, ...]], review: Review
) -> Admission:
    if rule.section != "file" or rule.match == "path" or rule.action == "Block":
        return Admission()
    if review.evidence.inventory.num_rows:
        paths = unseen.get((rule.policy, rule.where), ())
        return Admission(len(paths), tuple(review.sensitive.among(paths)[:10]), paths[:_EXAMPLES])
    return known.admits if known else Admission(known=False)
