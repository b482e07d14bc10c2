"""The review as SARIF 2.1.0 for code scanning: one result a concern, at the rule's line in the policy file.

Format: OASIS Static Analysis Results Interchange Format 2.1.0, and what GitHub's code scanning takes of it
(``security-severity`` on rules, ``partialFingerprints`` so that a result keeps its identity when lines move).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from discover.review import Review
from discover.review.attention import KINDS
from discover.review.difference import rule_words
from discover.text import printable
from discover.version import VERSION
from discover.words import access_words, many
from models.completeness import Verdict

__all__ = ["as_sarif"]

_SEVERITY = {
    "sensitive": 8.0,
    "protected": 8.0,
    "scratch-exec": 7.5,
    "tool": 6.0,
    "limits": 5.0,
    "wide": 4.0,
    "capability": 6.0,
    "raw": 3.0,
    "unused": 1.0,
    "one-unit": 1.0,
    "decided": 1.0,
    "denies": 5.0,
    "coverage": 4.0,
    "loss": 5.0,
}
_MORE = {
    "denies": "denies what was recorded",
    "coverage": "too little was seen",
    "loss": "events were lost while recording",
}
_RESULTS = 5000
"""GitHub keeps at most 5,000 results of a run."""


def as_sarif(reviews: Sequence[Review], root: Path | None = None) -> dict[str, Any]:
    """The document. Files are named relative to `root`, the working directory unless told."""
    kinds = {**KINDS, **_MORE}
    order = list(kinds)
    results = [r for review in reviews for r in _results(review, order, root or Path.cwd())]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "discover",
                        "semanticVersion": VERSION,
                        "rules": [_rule(kind, text) for kind, text in kinds.items()],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": results[:_RESULTS],
            }
        ],
    }


def _rule(kind: str, text: str) -> dict[str, Any]:
    return {
        "id": f"discover/{kind}",
        "name": "".join(w.capitalize() for w in kind.split("-")),
        "shortDescription": {"text": text[0].upper() + text[1:]},
        "defaultConfiguration": {"level": _level(_SEVERITY[kind] * 10)},
        "properties": {"security-severity": str(_SEVERITY[kind]), "tags": ["security", "kubearmor"]},
    }


def _level(weight: float) -> str:
    return "error" if weight >= 60 else "warning" if weight >= 25 else "note"


def _results(review: Review, order: Sequence[str], root: Path) -> Iterator[dict[str, Any]]:
    uri = _uri(review, root)
    lines = _lines(review.text)
    for rule in review.first:
        for concern in rule.attention:
            text = f"{rule_words(rule.rule)}: {concern.text}"
            place = lines.get(f"{rule.rule.policy}:{rule.rule.where}", 1)
            yield _result(concern.kind, order, text, uri, place, concern.weight, rule_words(rule.rule))
    head = lines.get(review.policies[0].name, 1)
    for denial in review.simulation.denials:
        access = access_words(denial.seen.access)
        text = f"would deny {access} by {denial.seen.access.source}, seen {many(denial.seen.count, 'time')}"
        yield _result("denies", order, text, uri, head, 50, f"{denial.section} {access} {denial.seen.access.source}")
    workload = str(review.evidence.workload)
    if review.coverage.verdict is not Verdict.COMPLETE:
        text = f"{workload} is {review.coverage.verdict}: " + "; ".join(review.coverage.assessment.reasons)
        yield _result("coverage", order, text, uri, head, 40, workload)
    for cause, count in sorted(review.evidence.lost.items()):
        if count:
            text = f"{workload}: {many(count, 'event')} lost while recording ({cause})"
            yield _result("loss", order, text, uri, head, 50, f"{workload} {cause}")


def _result(
    kind: str, order: Sequence[str], text: str, uri: str, line: int, weight: float, identity: str
) -> dict[str, Any]:
    fingerprint = hashlib.sha256(f"{kind}\0{identity}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return {
        "ruleId": f"discover/{kind}",
        "ruleIndex": order.index(kind),
        "level": _level(weight),
        "message": {"text": _unlinked(printable(text))},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}],
        "partialFingerprints": {"discoverConcern/v1": fingerprint},
    }


def _unlinked(text: str) -> str:
    """Text in which a name like ``[a](https://…)`` is no link (SARIF 2.1.0, 3.11.6: embedded links in plain text)."""
    return text.replace("](", "]\u200b(")


def _uri(review: Review, root: Path) -> str:
    if review.source is None:
        return quote(f"{review.policies[0].name}.yaml")
    place = review.source.resolve()
    try:
        return quote(place.relative_to(root.resolve()).as_posix())
    except ValueError:
        return place.as_uri()


def _lines(text: str) -> dict[str, int]:
    """The line of each policy's name and of each rule, by ``POLICY`` and ``POLICY:FIELD``."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - heavy
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    found: dict[str, int] = {}
    try:
        for document in YAML(typ="rt").load_all(text):
            name = str(document["metadata"]["name"])
            found[name] = int(document.lc.key("metadata")[0]) + 1
            for section, body in document.get("spec", {}).items():
                for field, items in body.items() if hasattr(body, "items") else ():
                    if field.startswith("match") and isinstance(items, list) and hasattr(items, "lc"):
                        for number in range(len(items)):
                            found[f"{name}:spec.{section}.{field}[{number}]"] = int(items.lc.item(number)[0]) + 1
    except (YAMLError, KeyError, TypeError, AttributeError):
        return found  # a folder of policies in one text, or what a reader of JSON wrote: line 1 then
    return found
