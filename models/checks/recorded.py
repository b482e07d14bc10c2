"""``no-evidence``, ``unused-rule``, ``breaks-workload``, ``low-coverage``: the policy against what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.attribution import attribute
from models.checks.context import Context, Mistake, Severity
from models.completeness import Verdict
from models.policy import PROTOCOLS, Action, Op, PolicyClass
from models.simulate import Denial, Group

__all__ = ["breaks_workload", "low_coverage", "no_evidence", "unused_rule"]

_NAMED = 10
_PROTOCOL_NAMES = {v: k for k, v in PROTOCOLS.items()}


def no_evidence(context: Context) -> Iterator[Mistake]:
    """An allow-list that nobody holds against what the workload does."""
    if context.evidence:
        return
    for policy in context.policies:
        listed = [r for r in context.rules if r.policy == policy.name and r.action is Action.ALLOW]
        if listed and not any((policy.name, r.where) in context.explained for r in listed):
            yield Mistake(
                "no-evidence",
                Severity.WARNING,
                "nothing says that this list holds all that the workload needs: there is neither a recording here nor "
                "the evidence of one beside the policy",
                "record the workload and give the recording with --dataset, or let `discover generate` write the list",
                policy=policy.name,
            )


def unused_rule(context: Context) -> Iterator[Mistake]:
    """Allow rules that decide nothing of what was recorded."""
    if not context.evidence:
        return
    found = attribute(context.policies, context.seen)
    for (_, _), told in found.rules.items():
        rule = told[0]
        if rule.action is Action.ALLOW and not found.seen[rule.policy, rule.where]:
            yield context.mistake(
                "unused-rule",
                Severity.NOTE,
                rule,
                f"nothing that was recorded needs {rule.value}",
                "leave it out, or say in discover.yaml why it is there",
            )


def breaks_workload(context: Context) -> Iterator[Mistake]:
    """What the policy would deny of the recordings."""
    for evidence, simulation in zip(context.evidence, context.simulations, strict=True):
        for group in simulation.groups:
            units = len(simulation.units)
            what = f"{len(group.denials)} distinct accesses that {evidence.workload} was recorded to make"
            told = f"{what} would be denied, in {len(group.units)} of {units} units ({_examples(group.denials)})"
            reasons = {d.reason for d in group.denials}
            if "copy-up" in reasons:
                told += "; files of the image are copied up by overlayfs through a path that no rule but one on / has"
            if "exec-file" in reasons:
                told += "; an executable is judged as a file too when it is opened"
            rule = group.rule
            if rule is not None:
                yield context.mistake(
                    "breaks-workload", Severity.ERROR, rule, told, "leave the rule out, or make it narrower"
                )
            else:
                yield Mistake(
                    "breaks-workload",
                    Severity.ERROR,
                    f"{told}: no Allow rule has them",
                    _fix(group),
                    needed(d for d in group.denials),
                    context.name_of_list(str(_section(group.section))),
                )


def _section(policy_class: PolicyClass) -> str:
    return "network" if policy_class is PolicyClass.DNS else str(policy_class)


def _fix(group: Group) -> str:
    if all(d.reason == "copy-up" for d in group.denials):
        return "mount a volume where these files are (an emptyDir does)"
    if len(group.denials) > _NAMED:
        return f"list them; the first {_NAMED} are below, `discover generate` writes the whole"
    return "list them"


def _examples(denials: Iterable[Denial]) -> str:
    listed = list(denials)
    names = list(dict.fromkeys(_object(d) for d in listed))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _object(denial: Denial) -> str:
    access = denial.seen.access
    return access.path or access.capability or f"{access.op} {_protocol(access.type, access.protocol)}"


def _protocol(kind: int, protocol: int) -> str:
    return _PROTOCOL_NAMES.get(protocol) or {1: "tcp", 2: "udp", 3: "raw", 5: "sctp"}.get(kind, "raw")


def needed(denials: Iterable[Denial]) -> dict[str, Any]:
    """Allow rules for the first of some denials, the narrowest that hold them."""
    paths: dict[tuple[str, str], bool] = {}
    protocols: dict[str, None] = {}
    capabilities: dict[str, None] = {}
    for denial in denials:
        access = denial.seen.access
        if denial.reason == "copy-up":
            continue
        if access.capability:
            capabilities[access.capability] = None
        elif access.path:
            section = "process" if denial.section is PolicyClass.PROCESS else "file"
            reads = access.op is Op.EXEC or (access.op is Op.OPEN and not (access.write or access.create))
            paths[section, access.path] = paths.get((section, access.path), True) and reads
        else:
            protocols[_protocol(access.type, access.protocol)] = None
    out: dict[str, Any] = {}
    for (section, path), read_only in list(paths.items())[:_NAMED]:
        flags = {"readOnly": True} if read_only and section == "file" else {}
        items = out.setdefault(section, {}).setdefault("matchPaths", [])
        items.append({"path": path, **flags, "action": "Allow"})
    if protocols:
        out["network"] = {"matchProtocols": [{"protocol": p, "action": "Allow"} for p in protocols]}
    if capabilities:
        items = [{"capability": c, "action": "Allow"} for c in list(capabilities)[:_NAMED]]
        out["capabilities"] = {"matchCapabilities": items}
    return out


def low_coverage(context: Context) -> Iterator[Mistake]:
    """Block, where too little was seen to know what the workload needs."""
    lists = [c for c in ("process", "file", "network", "capabilities") if context.of(c, Action.ALLOW)]
    if not lists:
        return
    for found in context.assessments:
        if found.verdict is Verdict.COMPLETE:
            continue
        yield Mistake(
            "low-coverage",
            Severity.WARNING,
            f"what was recorded of {found.evidence.workload} is {found.verdict}: {'; '.join(found.reasons[:3])}. Under "
            "the posture Block, what was not seen fails",
            "keep the posture at Audit until `discover coverage` says complete",
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": found.evidence.workload.namespace or "default",
                    "annotations": {
                        f"kubearmor-{c}-posture": "audit"
                        for c in ("file", "network", "capabilities")
                        if c in lists or (c == "file" and "process" in lists)
                    },
                },
            },
            context.name_of_list(lists[0]),
        )
