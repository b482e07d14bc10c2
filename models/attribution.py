"""Which rule allows which behaviour: evidence for rules that are there already, whoever wrote them.

Decided by the written semantics (`models.policy.WrittenRuleset`), where every allowed access has its rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from models.behaviour import Phase
from models.evidence import Seen
from models.learn.result import Admission, RuleEvidence, Why
from models.learn.sensitive import Sensitive
from models.policy import Access, Action, Decision, Dialect, Op, Policy, Posture, Rule, Ruleset, compile, rules  # noqa: A004

__all__ = ["Attributed", "attribute", "decide_path", "evidence_of"]

Key = tuple[str, str]
"""(policy, field path)."""
_EXAMPLES = 5
_START = frozenset({str(Phase.RUNTIME_INIT)})


@dataclass(frozen=True)
class Attributed:
    """Every rule of some policies with what it decided."""

    rules: dict[Key, list[Rule]]
    """A rule that lists several names is several `Rule`s."""
    seen: dict[Key, list[Seen]]
    """What a rule decided, in the order of the accesses."""
    unlisted: list[Seen] = field(default_factory=list)
    """What no rule decided though its class is an allow-list."""


def attribute(policies: Sequence[Policy], seen: Iterable[Seen]) -> Attributed:
    """Decide every access and file it under the rule that decided."""
    ruleset = compile(policies, Posture.all("block"), Dialect.DISCOVER)
    named: dict[Key, list[Rule]] = {}
    for policy in policies:
        for rule in rules(policy):
            named.setdefault((rule.policy, rule.where), []).append(rule)
    answer = Attributed(named, {key: [] for key in named})
    for one in seen:
        decision = ruleset.decide(one.access)
        if decision.rule is not None:
            if decision.rule.action is Action.BLOCK and one.phases == _START:
                continue  # the runtime's own, which is not judged
            answer.seen[decision.rule.policy, decision.rule.where].append(one)
        elif not decision.allowed:
            answer.unlisted.append(one)
    return answer


def evidence_of(
    policies: Sequence[Policy], seen: Iterable[Seen], inventory: pa.Table | None = None
) -> dict[Key, RuleEvidence]:
    """The evidence of each rule, in the policies' order: what was seen of it, and what else it admits."""
    found = attribute(policies, seen)
    admitted = _admitted(policies, found, inventory)
    return {key: _evidence(found.rules[key], mine, admitted.get(key)) for key, mine in found.seen.items()}


def _evidence(told: Sequence[Rule], mine: Sequence[Seen], admits: Admission | None) -> RuleEvidence:
    objects = sorted({object_of(s.access) for s in mine})
    return RuleEvidence(
        why=_why(told[0]),
        behaviours=len(mine),
        count=sum(s.count for s in mine),
        units=tuple(sorted({u for s in mine for u in s.units})),
        phases=tuple(sorted({p for s in mine for p in s.phases})),
        executables=tuple(sorted({s.access.source for s in mine if s.access.source})),
        first=min((s.first for s in mine), default=None),
        last=max((s.last for s in mine), default=None),
        examples=tuple(objects[:_EXAMPLES]),
        admits=admits if admits is not None else Admission(known=False),
    )


def object_of(access: Access) -> str:
    """What an access is about, in one word."""
    return access.path or access.capability or access.dns or f"socket type {access.type} protocol {access.protocol}"


def _why(rule: Rule) -> Why:
    if rule.match == "pattern":
        return Why.NAMES
    if rule.match == "dir":
        return Why.TREE if rule.recursive else Why.DIRECTORY
    return Why.SEEN


def _admitted(policies: Sequence[Policy], found: Attributed, inventory: pa.Table | None) -> dict[Key, Admission]:
    """What exists and a rule admits beyond what was seen: every file of the inventory is asked for."""
    if inventory is None or not inventory.num_rows:
        return {}
    ruleset = compile(policies, Posture.all("block"), Dialect.DISCOVER)
    sensitive = Sensitive()
    used = {s.access.path for mine in found.seen.values() for s in mine}
    beyond: dict[Key, list[str]] = {key: [] for key, (rule, *_) in found.rules.items() if _is_wide(rule)}
    sources = {s for told in found.rules.values() for r in told for s in r.sources or ()}
    for path, kind in zip(inventory["path"].to_pylist(), inventory["object"].to_pylist(), strict=True):
        if kind == "directory" or path in used:
            continue
        for source in ("", *sorted(sources)):
            decision = ruleset.decide(Access(op=Op.OPEN, path=path, source=source, read=True, owner_match=True))
            if decision.rule is not None and decision.allowed:
                key = (decision.rule.policy, decision.rule.where)
                if key in beyond and path not in beyond[key][-1:]:
                    beyond[key].append(path)
    return {
        key: Admission(
            existing=len(paths),
            sensitive=tuple(sorted(sensitive.among(paths))[:10]),
            examples=tuple(sorted(paths)[:_EXAMPLES]),
        )
        for key, paths in beyond.items()
    } | {key: Admission() for key, (rule, *_) in found.rules.items() if not _is_wide(rule)}


def _is_wide(rule: Rule) -> bool:
    return rule.section == "file" and rule.match in ("dir", "pattern")


def decide_path(ruleset: Ruleset, path: str, *, write: bool = False, source: str = "") -> Decision:
    """What is decided about opening a path."""
    return ruleset.decide(Access(op=Op.OPEN, path=path, source=source, read=not write, write=write, owner_match=True))
