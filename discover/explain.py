"""Why rules are there: from the evidence beside a policy, or anew from recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from discover.check import sidecar_of
from discover.errors import UsageError
from discover.inputs import choose, read_policy_files
from discover.text import printable
from discover.words import listed, many, share
from models.attribution import evidence_of
from models.dataset import Dataset
from models.evidence import accesses, gather
from models.learn import RuleEvidence, Why
from models.policy import (
    Access,
    Action,
    Decision,
    Dialect,
    Op,
    Policy,
    Posture,
    Rule,
    Verdict,
    compile,  # noqa: A004
    rules,
)

__all__ = ["Answer", "Explained", "as_json", "as_lines", "explain", "rule_words"]

_WHY = {
    Why.SEEN: "exactly what was seen",
    Why.SLOT: "a name with a varying part (a process id, a hash, a counter, a temporary suffix)",
    Why.NAMES: "names with a common beginning or end, of which new ones keep coming",
    Why.DIRECTORY: "a directory in which new names keep coming",
    Why.TREE: "a directory below which new directories and names keep coming",
    Why.COMPLETE: "a directory that packages brought, every file of which is read",
    Why.OWN: "a directory of the workload's own, every name in which every unit writes",
    Why.LIMITS: "wider than the evidence asks for: the target cannot hold the rules one by one",
    Why.DECIDED: "people decided it (discover.yaml)",
    Why.CLOSED: "a class that was watched and never used, closed",
}


_VERBS = {Verdict.ALLOW: "allowed", Verdict.AUDIT: "allowed, with an alert,", Verdict.BLOCK: "denied"}


@dataclass(frozen=True, slots=True)
class Explained:
    """One rule with its evidence."""

    policy: str
    rule: Rule
    evidence: RuleEvidence | None
    """None: nothing says why it is there."""

    @property
    def supported(self) -> bool:
        """Whether anything speaks for it; a Block rule needs nothing that was seen."""
        if self.rule.action is Action.BLOCK:
            return True
        return self.evidence is not None and (self.evidence.behaviours > 0 or self.evidence.why is Why.DECIDED)


@dataclass(frozen=True)
class Answer:
    """What was asked for."""

    explained: tuple[Explained, ...]
    units: int
    """How many units the evidence is from."""
    source: str
    """Where the evidence comes from, for people."""
    recomputed: bool = False
    """From recordings: then nobody says why the rule has its shape."""
    decisions: tuple[tuple[str, str, Decision], ...] = ()
    """Of an access path: what is done, from where, and what decides."""
    notes: tuple[str, ...] = field(default=())


def explain(policy_file: Path, asked: str = "", dataset: Dataset | None = None, select: Sequence[str] = ()) -> Answer:
    """Explain the rules of a policy file, or those that `asked` names.

    `asked` is a field path or the beginning of one (``spec.file``), a rule's value, or the path of an access, which
    stands for the rules that decide about it. Raises `UsageError` for a name that nothing has, and where there is no
    evidence to read.
    """
    policies = read_policy_files([policy_file])[policy_file]
    everything = [(p, r) for p in policies for r in rules(p)]
    chosen, decisions = _chosen(policies, everything, asked)
    notes: tuple[str, ...] = ()
    if dataset is not None:
        evidence, units, notes = _recomputed(policies, dataset, select)
        source = "computed from the recordings"
    else:
        evidence, units, source = _beside(policy_file, policies)
    listed_names: dict[tuple[str, str], list[str]] = {}
    for p, r in everything:
        listed_names.setdefault((p.name, r.where), []).append(r.value)
    # a rule that lists several names is one rule, with one evidence
    first = {(p.name, r.where): replace(r, value=",".join(listed_names[p.name, r.where])) for p, r in chosen}
    explained = tuple(Explained(key[0], r, evidence.get(key)) for key, r in first.items())
    return Answer(explained, units, source, dataset is not None, tuple(decisions), notes)


Evidence_ = Mapping[tuple[str, str], RuleEvidence]


def _recomputed(
    policies: Sequence[Policy], dataset: Dataset, select: Sequence[str]
) -> tuple[Evidence_, int, tuple[str, ...]]:
    found: dict[tuple[str, str], RuleEvidence] = {}
    units = 0
    assumed: list[str] = []
    for evidence in gather(dataset):
        choice = choose(policies, evidence, select)
        if not choice.policies:
            continue
        assumed += choice.assumed
        units += len(evidence.units)
        for key, mine in evidence_of(choice.policies, accesses(evidence.behaviours), evidence.inventory).items():
            # of several workloads under one policy, the one that uses the rule most speaks for it
            if key not in found or mine.count > found[key].count:
                found[key] = mine
    if not units:
        raise UsageError("no policy of the file selects what was recorded", "say what it is with --select LABEL=VALUE")
    return found, units, tuple(assumed)


def _beside(file: Path, policies: Sequence[Policy]) -> tuple[Evidence_, int, str]:
    sidecar = sidecar_of(file)
    if sidecar is None:
        hint = "name a recording: discover explain POLICY --dataset RECORDING"
        raise UsageError(f"there is no evidence beside {file} ({file.stem}.evidence.json)", hint)
    names = {p.name for p in policies}
    if sidecar.policy not in names:
        raise UsageError(
            f"the evidence beside {file} is for {sidecar.policy}", "write it anew with `discover generate`"
        )
    found = {(sidecar.policy, where): evidence for where, evidence in sidecar.rules.items()}
    return found, len(sidecar.units), f"written by `discover generate` for {sidecar.target}, from {sidecar.workload}"


def _chosen(
    policies: Sequence[Policy], everything: Sequence[tuple[Policy, Rule]], asked: str
) -> tuple[list[tuple[Policy, Rule]], list[tuple[str, str, Decision]]]:
    if not asked:
        return list(everything), []
    if asked.startswith("spec"):
        found = [(p, r) for p, r in everything if r.where == asked or r.where.startswith((asked + ".", asked + "["))]
        if not found:
            places = sorted({r.where.rpartition("[")[0] for _, r in everything})
            raise UsageError(f"no rule at {asked}", f"there are {', '.join(places)}")
        return found, []
    valued = [(p, r) for p, r in everything if r.value == asked or r.value.lower() == asked.lower()]
    if valued:
        return valued, []
    if not asked.startswith("/"):
        raise UsageError(f"no rule has the value {asked}", "name a field path, a rule's value, or a path: /etc/passwd")
    decisions = _decisions(policies, [r for _, r in everything], asked)
    deciding = {(d.rule.policy, d.rule.where, d.rule.value) for _, _, d in decisions if d.rule}
    return [(p, r) for p, r in everything if (p.name, r.where, r.value) in deciding], decisions


def _decisions(policies: Sequence[Policy], everything: Sequence[Rule], path: str) -> list[tuple[str, str, Decision]]:
    """What decides about reading, writing and executing a path, from anywhere and from each source that rules name."""
    ruleset = compile(policies, Posture.all("block"), Dialect.DISCOVER)
    sources = ["", *sorted({s for r in everything for s in r.sources or () if s})]
    out: list[tuple[str, str, Decision]] = []
    for what in ("read", "write", "execute"):
        general: Decision | None = None
        for source in sources:
            if what == "execute":
                access = Access(op=Op.EXEC, path=path, source=source, parent=source, owner_match=True)
            else:
                reads = what == "read"
                access = Access(op=Op.OPEN, path=path, source=source, read=reads, write=not reads, owner_match=True)
            decision = ruleset.decide(access)
            if general is None:
                general = decision
            elif (decision.verdict, decision.rule) == (general.verdict, general.rule):
                continue  # the source makes no difference
            out.append((what, source, decision))
    return out


# -- words -----------------------------------------------------------------------------------------------------------


def rule_words(rule: Rule) -> str:
    """A rule in a few words: ``Allow /etc/nginx/ and all below it, read only, from /usr/sbin/nginx``."""
    text = f"{rule.action} {rule.value}"
    if rule.recursive:
        text += " and all below it"
    flags = [
        word
        for word, on in (
            ("read only", rule.read_only),
            ("owner only", rule.owner_only),
            ("not from a terminal", rule.no_terminal),
            (f"with the arguments {' '.join(rule.allowed_args)}", bool(rule.allowed_args)),
            (f"from {', '.join(rule.sources or ())}", rule.sources is not None),
        )
        if on
    ]
    return ", ".join([text, *flags])


def as_json(answer: Answer) -> Iterator[dict[str, Any]]:
    """One object a rule; of an access path also one for each thing that can be done with it."""
    for what, source, decision in answer.decisions:
        yield {
            "access": what,
            "from": source or None,
            "verdict": str(decision.verdict),
            "policy": decision.policy or None,
            "rule": decision.rule.where if decision.rule else None,
        }
    for one in answer.explained:
        yield {
            "policy": one.policy,
            "rule": one.rule.where,
            "value": one.rule.value,
            "action": str(one.rule.action),
            "evidence": asdict(one.evidence) if one.evidence else None,
        }


def as_lines(answer: Answer, *, whole: bool) -> Iterator[str]:
    """The report, a line each; `whole` tells everything of each rule. Nothing that a terminal would obey."""
    for line in _lines(answer, whole=whole):
        yield printable(line)


def _lines(answer: Answer, *, whole: bool) -> Iterator[str]:
    for sentence in answer.notes:
        yield f"assumed {sentence}"
    for what, source, decision in answer.decisions:
        yield f"{what}{' from ' + source if source else ''}: {_decided(decision)}"
    if answer.decisions and answer.explained:
        yield ""
    for one in answer.explained:
        yield from _rule_lines(one, answer) if whole else [_rule_line(one, answer.units)]
    if answer.explained:
        yield f"evidence: {answer.source}, {many(answer.units, 'unit')}"


def _decided(decision: Decision) -> str:
    verb = {Verdict.ALLOW: "allowed", Verdict.AUDIT: "allowed, with an alert,", Verdict.BLOCK: "denied"}[
        decision.verdict
    ]
    if decision.rule is not None:
        return f"{verb} by {decision.rule.policy} {decision.rule.where} ({rule_words(decision.rule)})"
    if decision.verdict is Verdict.ALLOW:
        return "allowed: no rule lists this class"
    return f"{verb}, under the posture Block: no Allow rule has it"


def _rule_line(one: Explained, units: int) -> str:
    evidence = one.evidence
    head = f"{one.rule.where}: {rule_words(one.rule)}"
    if evidence is None:
        return f"{head} (no evidence)"
    if not evidence.behaviours:
        return f"{head} ({evidence.note or 'nothing that was recorded needs it'})"
    return (
        f"{head} ({many(evidence.count, 'time')}, {share(len(evidence.units), units)} units, {listed(evidence.phases)})"
    )


def _rule_lines(one: Explained, answer: Answer) -> Iterator[str]:
    evidence = one.evidence
    yield f"{one.policy} {one.rule.where}: {rule_words(one.rule)}"
    if evidence is None:
        yield "  no evidence: it was written by hand, or after the evidence was"
        yield ""
        return
    if not answer.recomputed:
        yield f"  why          {_WHY[evidence.why]}"
    if evidence.behaviours:
        yield (
            f"  seen         {many(evidence.behaviours, 'distinct access', 'distinct accesses')}, "
            f"{many(evidence.count, 'time')}"
        )
        yield f"  units        {share(len(evidence.units), answer.units)}: {listed(evidence.units, 4)}"
        yield f"  phases       {listed(evidence.phases)}"
        if evidence.executables:
            yield f"  by           {listed(evidence.executables)}"
        if evidence.first and evidence.last:
            yield f"  between      {evidence.first:%Y-%m-%d %H:%M:%S} and {evidence.last:%Y-%m-%d %H:%M:%S}"
        if evidence.examples:
            yield f"  for example  {listed(evidence.examples, 5)}"
    elif evidence.why not in (Why.DECIDED, Why.CLOSED):
        yield "  seen         never: nothing that was recorded needs it"
    admits = evidence.admits
    if one.rule.section not in ("process", "file") or one.rule.action is Action.BLOCK:
        pass  # it admits no file
    elif not admits.known:
        yield "  admits       nobody knows what else exists there: no inventory was taken"
    else:
        more = f", as {listed(admits.examples, 3)}" if admits.examples else ""
        yield f"  admits       {many(admits.existing, 'existing file')} beyond those that were seen{more}"
    if admits.sensitive:
        yield f"  SENSITIVE    {listed(admits.sensitive, 5)}"
    if evidence.note:
        yield f"  note         {evidence.note}"
    yield ""
