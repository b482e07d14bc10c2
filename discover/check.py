"""Policies checked: valid or not, what the target makes of them, and the field's common mistakes."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from discover.coverage import learner, must_sees_of
from discover.decisions import FILE_NAME, Decisions, read_decisions
from discover.inputs import choose, labels_of
from discover.simulate import simulate_one
from discover.text import printable
from models.checks import Context, Mistake, Severity, run
from models.completeness import Assessment, assess
from models.dataset import Dataset
from models.evidence import Evidence, gather
from models.learn.sidecar import BadSidecar, Sidecar, from_json
from models.policy import Dialect, Policy, PolicyError, Target, documents, read_policies
from models.policy.reading import KINDS

__all__ = ["Checked", "Finding", "as_json", "as_lines", "check", "fragment_yaml", "sidecar_of"]

_WIDTH = 110
Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, with the place in its file."""

    file: str
    line: int
    """Counted from 1; 0 if unknown."""
    mistake: Mistake


@dataclass(frozen=True, slots=True)
class Checked:
    """All findings of some files."""

    findings: tuple[Finding, ...]
    policies: int
    assumed: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many of a severity."""
        return sum(f.mistake.severity is severity for f in self.findings)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A policy, and where it stands."""

    policy: Policy
    file: Path
    lines: Mapping[Path_, int]

    def line(self, where: str) -> int:
        """The line of a field path, or of the nearest thing around it."""
        path = tuple(_parts(where))
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def _parts(where: str) -> Iterator[str | int]:
    for part in where.split("."):
        name, _, index = part.partition("[")
        if name:
            yield name
        if index:
            yield int(index.rstrip("]"))


def check(
    files: Sequence[Path],
    dataset: Dataset | None = None,
    *,
    target: Target = Target.KUBEARMOR_BPFLSM,
    select: Sequence[str] = (),
    coverage: bool = True,
    today: datetime.date | None = None,
) -> Checked:
    """Check policy files, and hold them against recordings if there are any.

    Policies that select the same are checked together, since a workload is under all of them. `coverage` assesses the
    recordings too, which takes the longest. Decisions (``discover.yaml`` beside a policy) are read, and what expired by
    `today` is told.
    """
    placed, findings = _read(files)
    evidence = gather(dataset) if dataset else []
    assumed: list[str] = []
    groups: dict[tuple[str, ...], list[_Placed]] = {}
    for one in placed:
        policy = one.policy
        groups.setdefault((str(policy.kind), policy.metadata.namespace or "", labels_of(policy)), []).append(one)
    matched = _match(placed, evidence, select, assumed)
    decided = _decisions(files)
    findings += [f for d in decided.values() for f in _expired(d, today or datetime.datetime.now(datetime.UTC).date())]
    rows = dataset.units().to_pylist(maps_as_pydicts="lossy") if dataset and decided else []
    assessments: dict[int, Assessment] = {}
    for members in groups.values():
        mine = [e for n, e in enumerate(evidence) if any(one.policy in matched[n] for one in members)]
        for workload in mine if coverage else ():
            if id(workload) not in assessments:
                units = [r for r in rows if r["unit"] in set(workload.units)]
                must = [m for d in decided.values() for m in must_sees_of(d, workload, units)]
                assessments[id(workload)] = assess(workload, learn=learner(), must_sees=must)
        findings += _group(members, mine, target, [assessments[id(e)] for e in mine] if coverage else [])
    order = [Severity.ERROR, Severity.WARNING, Severity.NOTE]
    findings.sort(key=lambda f: (f.file, order.index(f.mistake.severity), f.line))
    return Checked(tuple(findings), len(placed), tuple(dict.fromkeys(assumed)))


def _decisions(files: Sequence[Path]) -> dict[Path, Decisions]:
    """The decisions beside the policies, by file. Raises `UsageError` for what cannot be read."""
    places = dict.fromkeys(f.parent / FILE_NAME for f in files)
    return {p: read_decisions(p) for p in places if p.is_file()}


def _expired(decisions: Decisions, today: datetime.date) -> Iterator[Finding]:
    """``decision-expired``: what people decided until a date that is over, and `generate` still obeys."""
    for decision in decisions.expired(today):
        mistake = Mistake(
            "decision-expired",
            Severity.WARNING,
            f"{decision.kind} {decision.value} was decided until {decision.expires} ({decision.reason}), and is still "
            "obeyed: a right that vanished on a date would be an outage on that date",
            f"ask {decision.owner}: leave the entry out, or give it another date",
        )
        line = int(decision.where.rpartition(":")[2])
        yield Finding(str(decisions.path), line, mistake)


def _match(
    placed: Sequence[_Placed], evidence: Sequence[Evidence], select: Sequence[str], assumed: list[str]
) -> list[list[Policy]]:
    """For each workload the policies that select it."""
    answer = []
    for one in evidence:
        chosen = choose([p.policy for p in placed], one, select)
        assumed += chosen.assumed
        answer.append(list(chosen.policies))
    return answer


def _group(
    members: Sequence[_Placed], evidence: Sequence[Evidence], target: Target, assessments: Sequence[Assessment]
) -> list[Finding]:
    policies = tuple(m.policy for m in members)
    dialect = Dialect.DISCOVER if target in (Target.DISCOVER, Target.KUBEARMOR_APPARMOR) else Dialect.KUBEARMOR_BPFLSM
    context = Context(
        policies=policies,
        target=target,
        evidence=tuple(evidence),
        simulations=tuple(simulate_one(policies, e, dialect=dialect) for e in evidence),
        assessments=tuple(assessments),
        explained=frozenset(_explained(members)),
    )
    found = []
    for mistake in run(context):
        place = next((m for m in members if m.policy.name == mistake.policy), members[0])
        found.append(Finding(str(place.file), place.line(mistake.where), mistake))
    return found


def sidecar_of(file: Path) -> Sidecar | None:
    """The evidence beside a policy file (``web.yaml``: ``web.evidence.json``), if there is any. Raises `BadSidecar`."""
    place = file.with_name(f"{file.stem}.evidence.json")
    if not place.is_file():
        return None
    return from_json(place.read_text(encoding="utf-8"), str(place))


def _explained(members: Sequence[_Placed]) -> Iterator[tuple[str, str]]:
    for member in members:
        try:
            sidecar = sidecar_of(member.file)
        except BadSidecar:
            continue  # evidence that cannot be read is none
        if sidecar is not None and sidecar.policy == member.policy.name:
            yield from ((sidecar.policy, where) for where in sidecar.rules)


def _read(files: Sequence[Path]) -> tuple[list[_Placed], list[Finding]]:
    """The policies that are valid, and findings for what is not."""
    placed: list[_Placed] = []
    findings: list[Finding] = []
    for file in files:
        try:
            policies = read_policies(file)
        except PolicyError as error:
            for problem in error.problems:
                mistake = Mistake(
                    "crd",
                    Severity.ERROR,
                    f"{problem.field}: {problem.message}" if problem.field else problem.message,
                    problem.hint or "write what the CRD has (docs/policy-semantics.md)",
                    where=problem.field,
                )
                findings.append(Finding(str(file), problem.line, mistake))
            continue
        placed += [_Placed(p, file, lines) for p, lines in zip(policies, _lines_of(file, len(policies)), strict=True)]
    return placed, findings


def _lines_of(file: Path, count: int) -> list[Mapping[Path_, int]]:
    """The lines of each policy of a file; of a ``kind: List`` none are known."""
    found = [
        d.lines
        for d in documents(file.read_text(encoding="utf-8-sig"), str(file))
        if isinstance(d.data, dict) and d.data.get("kind") in KINDS
    ]
    return found if len(found) == count else [{}] * count


# -- for programs ----------------------------------------------------------------------------------------------------


def as_json(finding: Finding) -> dict[str, Any]:
    """One finding as plain values."""
    mistake = finding.mistake
    return {
        "file": finding.file,
        "line": finding.line or None,
        "id": mistake.id,
        "severity": str(mistake.severity),
        "policy": mistake.policy or None,
        "rule": mistake.where or None,
        "message": mistake.message,
        "fix": mistake.fix,
        "corrected": dict(mistake.corrected) or None,
    }


# -- for people ------------------------------------------------------------------------------------------------------


def fragment_yaml(data: Mapping[str, Any]) -> list[str]:
    """Plain data as lines of YAML that say what it says, with every name that could be mistaken quoted."""
    text = yaml.dump(
        dict(data), Dumper=_Plain, sort_keys=False, default_flow_style=False, allow_unicode=False, width=110
    )
    return str(text).splitlines()


class _Plain(yaml.SafeDumper):
    """Without aliases: the same list twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def as_lines(checked: Checked) -> Iterator[str]:
    """The report, a line each; nothing that a terminal would obey."""
    for line in _lines(checked):
        yield printable(line)


def _lines(checked: Checked) -> Iterator[str]:
    for sentence in checked.assumed:
        yield f"assumed {sentence}"
    for finding in checked.findings:
        mistake = finding.mistake
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        yield f"{place}: {mistake.severity} {mistake.id}"
        if mistake.policy:
            yield f"  {mistake.policy}{' ' + mistake.where if mistake.where else ''}"
        yield from textwrap.wrap(mistake.message, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        yield from textwrap.wrap(f"fix: {mistake.fix}", _WIDTH, initial_indent="  ", subsequent_indent="  ")
        for line in fragment_yaml(mistake.corrected) if mistake.corrected else ():
            yield f"    {line}"
        yield ""
    counts = ", ".join(f"{checked.count(s):,} {s}{'' if checked.count(s) == 1 else 's'}" for s in Severity)
    yield f"{checked.policies:,} polic{'y' if checked.policies == 1 else 'ies'}: {counts}"
