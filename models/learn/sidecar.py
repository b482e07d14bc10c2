"""The evidence of a policy's rules as a file beside it: ``policy.evidence.json``.

A policy in Git says what is allowed; this says why, for people who have no recording at hand. Deterministic: the same
learned policy gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from models.learn.result import Admission, Learned, LearnedRule, RuleEvidence, Why

__all__ = ["FIELDS", "SCHEMA_VERSION", "BadSidecar", "Sidecar", "from_json", "places", "positions", "to_json"]

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


def positions(rules: Iterable[LearnedRule]) -> Iterator[tuple[str, str, str, int]]:
    """Where each rule stands in the policy that lists them in this order: ``("spec", "file", "matchPaths", 3)``."""
    counts: dict[tuple[str, str], int] = {}
    for rule in rules:
        key = (rule.section, rule.field)
        number = counts[key] = counts.get(key, -1) + 1
        yield "spec", rule.section, FIELDS[rule.field], number


def places(rules: Iterable[LearnedRule]) -> list[str]:
    """The same as text: ``spec.file.matchPaths[3]``."""
    return [f"{spec}.{section}.{field}[{number}]" for spec, section, field, number in positions(rules)]


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
        "rules": [],
    }
    head = json.dumps(document, indent=1, ensure_ascii=True)
    if not learned.rules:
        return head + "\n"
    # json indents by a generator in Python, which for thousands of rules takes longer than to learn them
    told: dict[object, str] = {}
    rules = [
        f'  {{\n   "where": {_quoted(where)},\n{_fields(rule.evidence, 3, told)}\n  }}'
        for where, rule in zip(places(learned.rules), learned.rules, strict=True)
    ]
    return head.removesuffix("]\n}") + "\n" + ",\n".join(rules) + "\n ]\n}\n"


def _fields(one: RuleEvidence | Admission, indent: int, told: dict[object, str]) -> str:
    pad = " " * indent
    return ",\n".join(f'{pad}"{name}": {_value(getattr(one, name), indent, told)}' for name in one.__slots__)


def _value(value: object, indent: int, told: dict[object, str]) -> str:
    """A value as JSON, indented; `told` keeps the texts of what many rules have alike."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple | Admission):
        known = told.get(value)
        if known is None:
            known = told[value] = _nested(value, indent, told)
        return known
    if isinstance(value, datetime):
        return f'"{value.isoformat()}"'
    return "null" if value is None else repr(value).lower()


def _nested(value: tuple[str, ...] | Admission, indent: int, told: dict[object, str]) -> str:
    pad = " " * indent
    if isinstance(value, Admission):
        return f"{{\n{_fields(value, indent + 1, told)}\n{pad}}}"
    return "[\n" + ",\n".join(f"{pad} {_quoted(v)}" for v in value) + f"\n{pad}]" if value else "[]"


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
