"""The comments of a generated policy: at its head what it rests on, beside each rule why it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from discover.decisions import MustSee
from models.coverage import Estimate
from models.evidence import Evidence
from models.learn import ClassState, Learned, LearnedRule, RuleEvidence, Why
from models.learn.kinds import Kind
from models.learn.sidecar import positions
from models.policy import PolicyClass, printable

__all__ = ["comments_of", "header_of", "reason"]

_CLASS = {"process": "exec", "file": "file", "network": "socket", "capabilities": "capability"}
_WHY = {
    Why.SLOT: "a part of the name varies",
    Why.NAMES: "new names of this ending keep coming",
    Why.DIRECTORY: "new names keep coming here",
    Why.TREE: "new names keep coming below",
    Why.COMPLETE: "every file of it is read, and packages brought them all",
    Why.OWN: "the workload's own: every unit writes every name in it",
    Why.LIMITS: "wider than what was seen: the target, or the number of rules asked for, cannot hold it one by one",
    Why.CLOSED: "watched and never used",
    Why.DECIDED: "decided",
}
WIDTH = 110


def comments_of(learned: Learned) -> dict[tuple[str | int, ...], str]:
    """For `models.policy.dump_policy`: a comment above each rule."""
    units = len(learned.units)
    return {place: reason(r, units) for place, r in zip(positions(learned.rules), learned.rules, strict=True)}


def reason(rule: LearnedRule, units: int) -> str:
    """Why a rule is there, in a line or two."""
    evidence = rule.evidence
    if evidence.why is Why.DECIDED:
        return f"decided: {evidence.note}"
    if evidence.why is Why.CLOSED:
        return evidence.note
    seen = f"{len(evidence.units)}/{units} units; {evidence.count} times"
    line = seen + _when(evidence.phases) + _by(evidence.executables)
    wider = _wider(evidence)
    return f"{line}\n{wider}" if wider else line


@lru_cache(maxsize=1024)
def _when(phases: tuple[str, ...]) -> str:
    return f"; {', '.join(phases)}" if phases else ""


@lru_cache(maxsize=1024)
def _by(executables: tuple[str, ...]) -> str:
    return f"; by {_some([e.rpartition('/')[2] for e in executables], 3)}" if executables else ""


def _wider(evidence: RuleEvidence) -> str:
    if evidence.why is Why.SEEN:
        return evidence.note
    parts = [evidence.note] if evidence.note else []
    if evidence.why in _WHY:
        parts.insert(0, _WHY[evidence.why])
    admits = evidence.admits
    if not admits.known:
        parts.append("what else exists there is not known")
    elif admits.existing:
        parts.append(f"also admits {_count(admits.existing, 'existing file')} not used so far")
    else:
        parts.append("admits no other existing file")
    if admits.sensitive:
        parts.append(f"SENSITIVE: {_some(list(admits.sensitive), 3)}")
    return "; ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _some(names: Sequence[str], most: int) -> str:
    shown = ", ".join(printable(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def header_of(
    evidence: Evidence,
    learned: Learned,
    coverage: Mapping[str, Estimate],
    must_see: Iterable[MustSee],
    assumed: Iterable[str],
    kinds: Sequence[Kind] = (),
) -> str:
    """The head of the file: what was recorded, how much of it is known, and what a person has to look at."""
    units = _count(len(learned.units), "unit")
    lines = [f"Learned by discover from {units} of {evidence.workload}, for the target {learned.options.target}"]
    for image, digest in evidence.images:
        lines.append(f"image {image} {digest}".rstrip())
    if evidence.recordings:
        lines.append(f"recordings {_some(list(evidence.recordings), 4)}")
    if len(kinds) > 1:
        told = (f"{len(k.units)}" + (f" (they alone: {_some(k.only, 2)})" if k.only else "") for k in kinds)
        lines.append(f"{len(kinds)} kinds of unit, and the policy holds for all: {', '.join(told)}")
    for policy_class, state in learned.classes.items():
        lines.append(f"{policy_class}: {_state(policy_class, state, coverage)}")
    lost = ", ".join(f"{n} {cause}" for cause, n in sorted(evidence.lost.items()) if n)
    lines.append(f"lost while recording: {lost or 'nothing'}")
    if learned.keys is not None:
        lines.append(f"rule keys of KubeArmor: {learned.keys} of 256")
    lines += [f"assumed: {a}" for a in assumed]
    lines += [f"{'met' if m.met else 'NOT MET'}: must see {m.text}" for m in must_see]
    lines += [f"warning: {w}" for w in learned.warnings]
    return "".join(f"# {line}\n" for text in lines for line in _wrapped(printable(text)))


def _state(policy_class: PolicyClass, state: ClassState, coverage: Mapping[str, Estimate]) -> str:
    if state is ClassState.UNWATCHED:
        return "unwatched: nobody looked, so there are no rules and the class stays open"
    if state is ClassState.OPEN:
        return "watched and unused, and the CRD cannot close it: it stays open"
    if state is ClassState.CLOSED:
        return "watched and nothing of it used that is allowed: closed"
    estimate = coverage.get(_CLASS[str(policy_class)])
    if estimate is None or estimate.units < 2:
        return "one unit: how much is still unseen cannot be told"
    once = f", {estimate.once} of them on one unit alone" if estimate.once else ""
    return (
        f"{_count(estimate.behaviours, 'rule')}{once}; one more unit is expected to need {estimate.new_count:.1f} more "
        f"(chance of any: {estimate.new:.0%}, at most {estimate.high:.0%})"
    )


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = "  " + word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return lines
