"""The evidence of a policy's rules as a file beside it: ``policy.evidence.json``.

A policy in Git says what is allowed; this says why, for people who have no recording at hand. Deterministic: the same
learned policy gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from models.learn.result import Admission, Learned, LearnedRule, RuleEvidence, Why

__all__ = ["FIELDS", "SCHEMA_VERSION", "BadSidecar", "Sidecar", "from_json", "places", "to_json"]

SCHEMA_VERSION = 1
FIELDS = {
    "match_paths": "matchPaths",
    "match_directories": "matchDirectories",
    "match_patterns": "matchPatterns",
    "match_protocols": "matchProtocols",
    "match_capabilities": "matchCapabilities",
}
"""The attributes of `LearnedRule.field`, as the CRD names them."""


class BadSidecar(Exception):
    """The file is no evidence, or of another version. `hint` says what to do."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.hint = "write it again with `discover generate`, or explain from the recording: --dataset DIR"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the file says."""

    policy: str
    workload: str
    target: str
    units: tuple[str, ...]
    recordings: tuple[str, ...]
    warnings: tuple[str, ...]
    rules: Mapping[str, RuleEvidence]
    """By the rule's field path, ``spec.file.matchPaths[3]``."""


def places(rules: Sequence[LearnedRule]) -> list[str]:
    """The field path of each rule in the policy that lists them in this order."""
    counts: dict[tuple[str, str], int] = {}
    answer = []
    for rule in rules:
        key = (rule.section, rule.field)
        counts[key] = counts.get(key, -1) + 1
        answer.append(f"spec.{rule.section}.{FIELDS[rule.field]}[{counts[key]}]")
    return answer


def to_json(learned: Learned, policy: str, recordings: Sequence[str] = ()) -> str:
    """The evidence of all rules; `policy` is the policy's name."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "policy": policy,
        "workload": str(learned.workload),
        "target": str(learned.options.target),
        "units": list(learned.units),
        "recordings": list(recordings),
        "warnings": list(learned.warnings),
        "rules": [
            {"where": where, **asdict(rule.evidence)}
            for where, rule in zip(places(learned.rules), learned.rules, strict=True)
        ],
    }
    return json.dumps(document, default=datetime.isoformat, indent=1, ensure_ascii=True) + "\n"


def from_json(text: str, name: str) -> Sidecar:
    """Read it back; `name` is the file's, for messages. Raises `BadSidecar`."""
    try:
        document = json.loads(text)
        if document["schema_version"] != SCHEMA_VERSION:
            raise BadSidecar(f"{name} has schema version {document['schema_version']}, and this is {SCHEMA_VERSION}")
        return Sidecar(
            policy=str(document["policy"]),
            workload=str(document["workload"]),
            target=str(document["target"]),
            units=tuple(document["units"]),
            recordings=tuple(document["recordings"]),
            warnings=tuple(document["warnings"]),
            rules={str(r["where"]): _evidence(r) for r in document["rules"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSidecar(f"{name} is no evidence of a policy: {error}") from error


def _evidence(row: Mapping[str, Any]) -> RuleEvidence:
    admits = row["admits"]
    return RuleEvidence(
        why=Why(row["why"]),
        behaviours=int(row["behaviours"]),
        count=int(row["count"]),
        units=tuple(row["units"]),
        phases=tuple(row["phases"]),
        executables=tuple(row["executables"]),
        first=datetime.fromisoformat(row["first"]) if row["first"] else None,
        last=datetime.fromisoformat(row["last"]) if row["last"] else None,
        examples=tuple(row["examples"]),
        admits=Admission(
            int(admits["existing"]), tuple(admits["sensitive"]), tuple(admits["examples"]), bool(admits["known"])
        ),
        note=str(row["note"]),
    )
