"""Policies over recordings: what would be denied, told for people and as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from discover.inputs import Chosen, choose
from discover.text import printable
from discover.words import access_words, listed, many, share
from models.behaviour import Phase
from models.dataset import Dataset
from models.evidence import Evidence, Workload, accesses, gather
from models.policy import Dialect, Policy, Posture, Verdict, compile  # noqa: A004
from models.policy.posture import PostureMode
from models.simulate import Denial, Group, Simulation, images_files, simulate

__all__ = ["Result", "as_json", "as_lines", "run", "simulate_one"]

_REASONS = {
    "copy-up": "the first change of a file of the image: overlayfs copies it up through a path that no rule names",
    "exec-file": "opening an executable to run it is judged as a file",
}


@dataclass(frozen=True)
class Result:
    """The simulation of one workload."""

    workload: Workload
    chosen: Chosen
    dialect: Dialect
    posture: PostureMode
    simulation: Simulation

    @property
    def denies(self) -> bool:
        """Whether anything would be denied, or alerted by posture."""
        return bool(self.simulation.groups)


def run(
    policies: Sequence[Policy],
    dataset: Dataset,
    *,
    dialect: Dialect = Dialect.DISCOVER,
    posture: PostureMode = "block",
    select: Sequence[str] = (),
    sessions: bool = False,
) -> list[Result]:
    """Simulate every workload of a dataset under the policies that select it.

    `sessions` judges also what people did through ``exec`` into a container.
    """
    results = []
    for evidence in gather(dataset):
        chosen = choose(policies, evidence, select)
        simulation = simulate_one(chosen.policies, evidence, dialect=dialect, posture=posture, sessions=sessions)
        results.append(Result(evidence.workload, chosen, dialect, posture, simulation))
    return results


def simulate_one(
    policies: Sequence[Policy],
    evidence: Evidence,
    *,
    dialect: Dialect,
    posture: PostureMode = "block",
    sessions: bool = False,
) -> Simulation:
    """Simulate one workload."""
    seen = accesses(evidence.behaviours, leave_out=() if sessions else (Phase.EXEC_SESSION,))
    stock = evidence.inventory
    files = images_files(stock["path"].to_pylist(), stock["object"].to_pylist()) if stock.num_rows else None
    ruleset = compile(policies, Posture.all(posture), dialect)
    return simulate(ruleset, seen, dialect=dialect, units=evidence.units, inventory=files)


# -- for programs ----------------------------------------------------------------------------------------------------


def as_json(result: Result) -> dict[str, Any]:
    """All of it as plain values."""
    simulation = result.simulation
    total = simulation.total
    return {
        "workload": str(result.workload),
        "target": str(result.dialect),
        "posture": result.posture,
        "policies": [p.name for p in result.chosen.policies],
        "assumed": list(result.chosen.assumed),
        "accesses": total.accesses,
        "denied": total.denied,
        "events": total.events,
        "denied_events": total.denied_events,
        "units": len(simulation.units),
        "units_denied": len(simulation.units_hit),
        "classes": {
            str(c): {"accesses": t.accesses, "denied": t.denied, "events": t.events, "denied_events": t.denied_events}
            for c, t in simulation.by_class.items()
        },
        "groups": [_group_json(g) for g in simulation.groups],
        "audited": [_group_json(g) for g in simulation.audited],
        "at_an_exec": [d.path for d in simulation.runtime],
        "not_judged": {"no_policy_judges": simulation.unjudged, "start_of_the_container": simulation.at_start},
    }


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "class": str(group.section),
        "verdict": str(group.verdict),
        "policy": group.policy,
        "rule": group.rule.where if group.rule else None,
        "value": group.rule.value if group.rule else None,
        "events": group.count,
        "units": sorted(group.units),
        "phases": sorted(group.phases),
        "accesses": [_denial_json(d) for d in group.denials],
    }


def _denial_json(denial: Denial) -> dict[str, Any]:
    access = denial.seen.access
    return {
        "op": str(access.op),
        "access": access_words(access),
        "path": access.path,
        "by": access.source,
        "parent": access.parent or None,
        "errno": denial.decision.errno,
        "reason": denial.reason or None,
        "silent": denial.silent,
        "count": denial.seen.count,
        "units": sorted(denial.seen.units),
        "phases": sorted(denial.seen.phases),
        "first": denial.seen.first,
        "last": denial.seen.last,
    }


# -- for people ------------------------------------------------------------------------------------------------------


def as_lines(results: Iterable[Result], limit: int = 10) -> Iterator[str]:
    """The report, a line each; `limit` accesses of a group are named, 0 for all. Nothing that a terminal would obey."""
    for n, result in enumerate(results):
        if n:
            yield ""
        for line in _lines(result, limit):
            yield printable(line)


def _lines(result: Result, limit: int) -> Iterator[str]:
    simulation = result.simulation
    total = simulation.total
    yield f"{result.workload}: {many(total.accesses, 'distinct access', 'distinct accesses')} in " + many(
        len(simulation.units), "unit"
    )
    names = listed(p.name for p in result.chosen.policies)
    yield f"  under   {names or 'no policy: none selects it, so nothing is denied'}"
    yield f"  as      {result.dialect} decides, with the posture {result.posture}"
    for sentence in result.chosen.assumed:
        yield f"  assumed {sentence}"
    word = "denied" if result.posture == "block" or _blocked(simulation) else "alerted"
    yield (
        f"  {word}  {share(total.denied, total.accesses)} distinct accesses, "
        f"{share(total.denied_events, total.events)} events, "
        f"in {len(simulation.units_hit)} of {many(len(simulation.units), 'unit')}"
    )
    for policy_class, tally in simulation.by_class.items():
        yield f"    {policy_class + ':':14}{share(tally.denied, tally.accesses)} distinct accesses"
    for group in simulation.groups:
        yield ""
        yield from _group_lines(group, limit, len(simulation.units))
    for group in simulation.audited:
        yield ""
        yield from _group_lines(group, limit, len(simulation.units))
    if simulation.runtime:
        yield ""
        yield "no probe was recorded; if one comes, or a `kubectl exec`, the container runtime would be denied"
        yield "  " + listed((d.path for d in simulation.runtime), 8) + ": it fails before it begins"
    if simulation.at_start:
        yield ""
        yield f"not judged: {many(simulation.at_start, 'access', 'accesses')} of the start of the container itself"


def _folder(denial: Denial) -> str:
    path = denial.path
    return f"in {path[: path.rfind('/') + 1]}" if path.startswith("/") else str(denial.seen.access.op)


def _blocked(simulation: Simulation) -> bool:
    return any(g.verdict is Verdict.BLOCK for g in simulation.groups)


def _group_lines(group: Group, limit: int, units: int) -> Iterator[str]:
    if group.verdict is Verdict.AUDIT:
        what = "alerted by" if group.listed or group.policy != "DefaultPosture" else "alerted, not listed:"
    else:
        what = "denied by" if group.listed else "denied, not listed:"
    rule = group.rule
    if rule is not None:
        what += f" {group.policy} {rule.where} ({rule.action} {rule.value})"
    else:
        what += " no Allow rule has it" if group.policy == "DefaultPosture" else f" {group.policy}"
    yield f"{group.section}, {what}"
    yield (
        f"  {many(len(group.denials), 'distinct access', 'distinct accesses')}, {many(group.count, 'event')}, "
        f"{len(group.units)} of {many(units, 'unit')}, {listed(sorted(group.phases))}"
    )
    shown = group.denials[:limit] if limit else group.denials
    for denial in shown:
        seen = denial.seen
        yield (
            f"    {access_words(seen.access)} by {seen.access.source or '?'} "
            f"({many(seen.count, 'time')}, {many(len(seen.units), 'unit')}, {listed(sorted(seen.phases))})"
            + (", without an alert" if denial.silent else "")
        )
    rest = group.denials[len(shown) :]
    if rest:
        folders = Counter(_folder(d) for d in rest)
        most = listed((f"{folder} ({n:,})" for folder, n in folders.most_common()), 3)
        yield f"    and {len(rest):,} more, {most}; --limit 0 shows all"
    for reason in sorted({d.reason for d in group.denials if d.reason}):
        count = sum(d.reason == reason for d in group.denials)
        yield f"    {count} of them: {_REASONS[reason]}"
