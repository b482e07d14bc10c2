"""A test run held against the policy in the repository: what is new, and the rules that would admit it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from discover.generate.comments import reason
from discover.report.markdown import code, plain
from discover.review import open_reviews
from discover.review.difference import rule_words
from discover.review.plain import clean, seen_json
from discover.text import printable
from discover.words import access_words, listed, many
from models.attribution import attribute
from models.dataset import Dataset
from models.evidence import Evidence, Seen
from models.learn import CannotFit, LearnedRule, Options, RuleEvidence, learn
from models.learn.sidecar import places
from models.policy import KubeArmorPolicy, Metadata, Rule, Target

__all__ = ["Need", "Result", "as_json", "as_lines", "as_markdown", "compare_run"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Need:
    """A rule that the policy would need, with the new accesses that it is for."""

    rule: Rule
    evidence: RuleEvidence | None
    seen: tuple[Seen, ...]


@dataclass(frozen=True)
class Result:
    """What a run did that its policy does not admit."""

    evidence: Evidence
    policies: tuple[str, ...]
    assumed: tuple[str, ...]
    judged: int
    """Distinct accesses that the policy judges."""
    needs: tuple[Need, ...]
    unruled: tuple[Seen, ...]
    """New accesses for which no rule could be learned."""

    @property
    def new(self) -> int:
        """How many distinct accesses are new."""
        return sum(len(n.seen) for n in self.needs) + len(self.unruled)

    @property
    def lost(self) -> int:
        """Events that the recording lost: behind them anything may hide."""
        return sum(self.evidence.lost.values())


def compare_run(dataset: Dataset, policy: str | Path, *, select: Sequence[str] = ()) -> list[Result]:
    """Compare each workload of a recorded run with the policy of a file or folder.

    Raises `UsageError` where no policy is for what was recorded.
    """
    answer = []
    for review in open_reviews(dataset, policy, select=select):
        denied = [d.seen for d in review.simulation.denials]
        needs, unruled = _needs(review.evidence, denied, review.target) if denied else ((), ())
        answer.append(
            Result(
                review.evidence,
                tuple(p.name for p in review.policies),
                review.assumed,
                review.simulation.total.accesses,
                needs,
                unruled,
            )
        )
    return answer


def _needs(evidence: Evidence, denied: Sequence[Seen], target: Target) -> tuple[tuple[Need, ...], tuple[Seen, ...]]:
    """The rules that a policy learned from the run itself has for what was denied."""
    try:
        learned = learn(evidence, Options(target=target, keep_outliers=True))
    except CannotFit:
        learned = learn(evidence, replace(Options(), keep_outliers=True))
    policy = KubeArmorPolicy(metadata=Metadata(name="needed"), spec=learned.spec)
    why: dict[str, LearnedRule] = dict(zip(places(learned.rules), learned.rules, strict=True))
    found = attribute([policy], denied)
    needs = [
        Need(told[0], why[where].evidence if where in why else None, tuple(found.seen[name, where]))
        for (name, where), told in found.rules.items()
        if found.seen[name, where] and told[0].action == "Allow"
    ]
    covered = {id(s) for need in needs for s in need.seen}
    return tuple(needs), tuple(s for s in denied if id(s) not in covered)


# -- for programs ----------------------------------------------------------------------------------------------------


def as_json(result: Result) -> dict[str, Any]:
    """All of it as plain values."""
    answer: dict[str, Any] = clean(
        {
            "workload": str(result.evidence.workload),
            "policies": list(result.policies),
            "assumed": list(result.assumed),
            "accesses": result.judged,
            "new": result.new,
            "lost": dict(result.evidence.lost),
            "rules": [{"rule": rule_words(n.rule), "accesses": [seen_json(s) for s in n.seen]} for n in result.needs],
            "without_a_rule": [seen_json(s) for s in result.unruled],
        }
    )
    return answer


# -- for people ------------------------------------------------------------------------------------------------------


def as_lines(results: Sequence[Result]) -> Iterator[str]:
    """A diff of rules, the accesses below each; nothing that a terminal would obey."""
    for result in results:
        yield from map(printable, _lines(result))


def _lines(result: Result) -> Iterator[str]:
    name = f"{result.evidence.workload} under {listed(result.policies)}"
    if result.lost:
        yield f"{name}: {many(result.lost, 'event')} lost while recording: something new may hide behind them"
    for sentence in result.assumed:
        yield f"assumed: {sentence}"
    if not result.new:
        yield f"{name}: nothing new in {many(result.judged, 'distinct access', 'distinct accesses')}"
        return
    yield f"{name}: {result.new:,} of {many(result.judged, 'distinct access', 'distinct accesses')} are new"
    for need in result.needs:
        yield f"+ {rule_words(need.rule)}"
        if need.evidence is not None and (wider := _wider(need)):
            yield f"    {wider}"
        for one in need.seen[:_SHOWN]:
            yield f"    {access_words(one.access)} by {one.access.source or '?'}, {many(one.count, 'time')}"
        if len(need.seen) > _SHOWN:
            yield f"    and {len(need.seen) - _SHOWN:,} more"
    for one in result.unruled:
        yield f"! no rule admits {access_words(one.access)} by {one.access.source or '?'}, {many(one.count, 'time')}"


def _wider(need: Need) -> str:
    if need.evidence is None:
        return ""
    lines = reason(LearnedRule(need.rule.section, "", None, need.evidence), len(need.evidence.units)).split("\n")
    return lines[1] if len(lines) > 1 else ""


def as_markdown(results: Sequence[Result]) -> str:
    """The same for a job's summary or a comment."""
    out: list[str] = []
    for result in results:
        out += [
            f"## {plain(str(result.evidence.workload))}: {f'{result.new:,} new' if result.new else 'nothing new'}",
            "",
        ]
        judged = many(result.judged, "distinct access", "distinct accesses")
        lost = many(result.lost, "event") if result.lost else "nothing"
        out.append(f"{judged} under {listed(map(code, result.policies))}; {lost} lost.")
        out.append("")
        for need in result.needs:
            out.append(f"- {code('+ ' + rule_words(need.rule))}")
            out += [f"  - {code(access_words(s.access))} by {code(s.access.source)}" for s in need.seen[:_SHOWN]]
            if len(need.seen) > _SHOWN:
                out.append(f"  - and {len(need.seen) - _SHOWN:,} more")
        out += [f"- no rule admits {code(access_words(s.access))} by {code(s.access.source)}" for s in result.unruled]
        out.append("")
    return "\n".join(out)
