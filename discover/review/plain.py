"""A review as plain values: for ``--json``, for the page, for whoever reads it elsewhere. Names are made printable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from discover.coverage import as_json as coverage_json
from discover.review.difference import change_words, rule_words, sign
from discover.review.files import FileNode
from discover.simulate import Result
from discover.simulate import as_json as simulation_json
from discover.text import printable
from discover.words import access_words, in_order
from models.evidence import Seen

if TYPE_CHECKING:
    from discover.review.make import Review
    from discover.review.rules import ReviewedRule

__all__ = ["as_json", "clean", "file_json", "rule_json", "seen_json"]


def clean(value: Any) -> Any:
    """The same values with every text made printable, keys included."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(k)): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value


def as_json(review: Review, accesses: int = 20) -> dict[str, Any]:
    """Everything, with at most `accesses` examples of what a rule covers or a change allows."""
    simulation = simulation_json(
        Result(review.evidence.workload, _chosen(review), review.dialect, "block", review.simulation)
    )
    return {
        "workload": str(review.evidence.workload),
        "policies": [p.name for p in review.policies],
        "target": str(review.target),
        "images": [{"image": i, "digest": d} for i, d in review.evidence.images],
        "recordings": list(review.evidence.recordings),
        "assumed": list(review.assumed),
        "lost": dict(review.evidence.lost),
        "watched": dict(review.evidence.watched),
        "warnings": list(review.generated.learned.warnings) if review.generated else [],
        "must_see": [{"what": m.text, "met": m.met} for m in review.must_see],
        "units": [
            {
                "unit": u.unit,
                "started": u.started.isoformat() if u.started else None,
                "seconds": u.seconds,
                "drills": list(u.drills),
                "notes": list(u.notes),
                "behaviours": dict(u.behaviours),
                "events": dict(u.events),
            }
            for u in review.units
        ],
        "processes": [
            {
                "path": p.path,
                "depth": p.depth,
                "parent": p.parent or None,
                "executions": p.executions,
                "units": len(p.units),
                "phases": list(p.phases),
                "did": list(p.did),
                "marks": list(p.marks),
            }
            for p in review.processes
        ],
        "peers": [
            {"by": x.exe, "kind": x.kind, "peer": x.peer, "count": x.count, "units": x.units, "failed": x.failed}
            for x in review.links
        ],
        "rules": [rule_json(r, accesses) for r in review.rules],
        "first": [r.where for r in review.first],
        "files": dict(review.files.totals),
        "coverage": coverage_json(review.coverage),
        "outliers": [{"unit": o.unit, "score": o.score, "reasons": list(o.reasons)} for o in review.outliers],
        "simulation": simulation,
        "difference": _difference(review, accesses),
    }


def _chosen(review: Review) -> Any:
    from discover.inputs import Chosen  # noqa: PLC0415 - a cycle otherwise

    return Chosen(review.policies, review.assumed)


def rule_json(rule: ReviewedRule, accesses: int) -> dict[str, Any]:
    """One rule with its evidence."""
    evidence = rule.evidence
    return {
        "where": rule.where,
        "section": rule.rule.section,
        "action": str(rule.rule.action),
        "match": rule.rule.match,
        "value": rule.rule.value,
        "words": rule_words(rule.rule),
        "read_only": rule.rule.read_only,
        "recursive": rule.rule.recursive,
        "owner_only": rule.rule.owner_only,
        "from": list(rule.rule.sources or ()),
        "why": rule.why or None,
        "note": evidence.note or None,
        "behaviours": evidence.behaviours,
        "count": evidence.count,
        "units": list(evidence.units),
        "phases": list(evidence.phases),
        "executables": list(evidence.executables),
        "first": evidence.first.isoformat() if evidence.first else None,
        "last": evidence.last.isoformat() if evidence.last else None,
        "admits": {
            "known": evidence.admits.known,
            "existing": evidence.admits.existing,
            "sensitive": list(evidence.admits.sensitive),
            "examples": list(evidence.admits.examples),
        },
        "attention": [{"kind": c.kind, "weight": c.weight, "text": c.text} for c in rule.attention],
        "weight": round(rule.weight, 1),
        "accesses": [seen_json(s) for s in rule.covers[:accesses]],
        "more_accesses": max(0, len(rule.covers) - accesses),
    }


def seen_json(one: Seen) -> dict[str, Any]:
    """One access."""
    return {
        "what": access_words(one.access),
        "by": one.access.source,
        "count": one.count,
        "units": len(one.units),
        "phases": list(in_order(one.phases)),
    }


def file_json(node: FileNode, most: int, rules: dict[str, int]) -> dict[str, Any]:
    """A node for the page: short keys, what is nothing left out; at most `most` examples of a group."""
    out: dict[str, Any] = {"n": node.name}
    if node.mark:
        out["m"] = node.mark
    if node.sensitive:
        out["s"] = 1
    for key, number in (("r", node.reads), ("w", node.writes), ("x", node.executions), ("u", len(node.units))):
        if number:
            out[key] = number
    if node.rule in rules:
        out["p"] = rules[node.rule]
    if node.group:
        out["g"] = 1
    if node.children:
        out["t"] = {k: v for k, v in node.totals.items() if v}
        children = _children(node, most)
        out["c"] = [file_json(c, most, rules) for c in children]
        if len(children) < len(node.children):
            out["more"] = len(node.children) - len(children)
    return out


def _children(node: FileNode, most: int) -> Sequence[FileNode]:
    """Folders first, then names; of a group the sensitive and the unseen ones first, and no more than `most`."""
    if node.group:
        ordered = sorted(node.children.values(), key=lambda c: (not c.sensitive, c.mark != "unseen", c.name))
        return ordered[:most]
    return sorted(node.children.values(), key=lambda c: (not c.children, c.name))


def _difference(review: Review, accesses: int) -> dict[str, Any] | None:
    difference = review.difference
    if difference is None:
        return None
    return {
        "changes": [
            {
                "kind": str(c.kind),
                "sign": sign(c),
                "gives": c.gives,
                "rule": change_words(c)[0],
                "before": change_words(c)[1] or None,
            }
            for c in difference.changes
        ],
        "newly_allowed": [seen_json(s) for s in difference.newly_allowed[:accesses]],
        "newly_allowed_total": len(difference.newly_allowed),
        "newly_denied": [seen_json(s) for s in difference.newly_denied[:accesses]],
        "newly_denied_total": len(difference.newly_denied),
    }
