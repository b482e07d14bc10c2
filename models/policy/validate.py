"""Validation against the CRD, as strict as the API server could be: an unknown field is an error, not pruned.

The schema is derived from the model (`models.policy.fields.json_schema`); a test holds it against the official CRDs,
field by field. Beyond it stand a few checks of what the CRD's own patterns let through and KubeArmor cannot mean.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from models.policy.errors import PolicyError, Problem
from models.policy.faults import Check, Fault, compiled
from models.policy.fields import Kind, json_schema
from models.policy.model import API_VERSION, Spec
from models.policy.names import CAPABILITIES, PROTOCOL_WORDS, capability_name, split_names
from models.policy.patterns import compile_pattern

__all__ = ["check", "schema", "validate"]

Path = tuple[str | int, ...]
NAMES = frozenset({"path", "dir", "execname", "protocol", "capability", "domain"})
_WITH_MEANING = frozenset({"capability", "protocol", "pattern"})
_SURROGATE, _CONTROL = re.compile("[\ud800-\udfff]"), re.compile("[\\x00-\\x1f\\x7f]")
TYPES = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false", "integer": "a number"}
EXPECTED = {
    r"^\/+.*[^\/]$": ("an absolute path that does not end in /", "for a directory use matchDirectories"),
    r"^\/$|^\/.*\/$": ("a directory: absolute, with a / at its end", "for a file use matchPaths"),
    r"^[^\/]+$": ("the bare name of a binary", "for a path use path"),
}


@cache
def schema(kind: Kind) -> Mapping[str, Any]:
    """Return the strict JSON schema of a kind."""
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string", "enum": [API_VERSION]},
            "kind": {"type": "string", "enum": [kind.value]},
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "spec": json_schema(Spec, kind),
            "status": {"type": "object", "properties": {"status": {"type": "string"}}, "additionalProperties": False},
        },
        "additionalProperties": False,
    }


@cache
def _check(kind: Kind) -> Check:
    return compiled(schema(kind))


def validate(
    data: Any,
    file: str = "<policy>",
    line_of: Callable[[Path], int] = lambda _path: 0,
    raw: Mapping[Path, str] | None = None,
) -> list[Problem]:
    """Return everything that is wrong with a policy given as plain data; empty if it is right."""

    def problem(path: Path, message: str, hint: str = "") -> Problem:
        return Problem(file, line_of(path), _field_name(path), message, hint)

    if not isinstance(data, dict):
        return [problem((), "not a policy: a mapping is expected", "begin with apiVersion, kind, metadata and spec")]
    try:
        kind = Kind(data.get("kind", ""))
    except ValueError:
        return [problem(("kind",), f"unknown kind {data.get('kind')!r}", _suggest(str(data.get("kind")), list(Kind)))]
    found = []
    for fault in _check(kind)(data):
        found += [problem(*described) for described in _describe(fault, raw or {}, kind)]
    if not found:
        found += [problem(*described) for described in _beyond_schema(data)]
    return found


def check(data: Any, file: str = "<policy>") -> None:
    """Raise PolicyError unless plain data is a valid policy."""
    problems = validate(data, file)
    if problems:
        raise PolicyError(problems)


def _field_name(path: Path) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    if not close:
        return f"one of {', '.join(known)}" if len(known) <= 16 else ""
    return f"did you mean {next(k for k in known if k.lower() == close[0])}?"


Described = tuple[Path, str, str]


def _describe(fault: Fault, raw: Mapping[Path, str], kind: Kind) -> Iterator[Described]:
    path, value, expected = fault.path, fault.value, fault.expected
    match fault.keyword:
        case "additionalProperties":
            for name in value:
                if name not in expected:
                    yield (*path, name), f"unknown field {name!r}", _unknown_field(name, expected, path, kind)
        case "required":
            yield (*path, expected), f"{expected} is missing", ""
        case "type":
            wanted = TYPES[expected]
            if path in raw and expected == "string":
                written = raw[path] or "nothing"
                yield path, f"text is expected, and YAML reads {written} as {value!r}", f'write "{raw[path]}"'
            else:
                yield path, f"{wanted} is expected, not {_short(value)}", ""
        case "enum":
            yield path, f"{_short(value)} is not allowed here", _suggest(str(value), list(expected))
        case "pattern":
            yield _pattern(path, str(value), expected)
        case "minimum" | "maximum":
            yield path, f"{value} is out of range", f"the {fault.keyword} is {expected}"
        case "maxLength":
            size = f"{len(value)} characters long, and {expected} is the most"
            yield path, size, "match the directory above it"
        case "maxItems":
            yield path, f"{len(value)} entries, and {expected} is the most", "make a second rule of the rest"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_field(name: str, known: list[str], path: Path, kind: Kind) -> str:
    if path == ("spec",):
        if name == "selector" and kind is Kind.HOST:
            return "a KubeArmorHostPolicy selects nodes: nodeSelector"
        if name == "nodeSelector":
            return "only a KubeArmorHostPolicy selects nodes: selector"
    return _suggest(name, known) or f"known here: {', '.join(known)}"


def _pattern(path: Path, value: str, pattern: str) -> Described:
    if pattern in EXPECTED:
        expected, hint = EXPECTED[pattern]
        if pattern.startswith(r"^\/+") and value.startswith("/") and value.endswith("/") and len(value) > 1:
            hint = f"write {value.rstrip('/')}, or use matchDirectories"
        elif "dir" in path and value.startswith("/"):
            hint = f"write {value}/"
        elif any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
            hint = "KubeArmor's CRD has no way to name a path with a line break: match its directory"
        return path, f"{_short(value)} is not {expected}", hint
    known = list(PROTOCOL_WORDS if path[-1:] == ("protocol",) else CAPABILITIES)
    return path, f"{_short(value)} is not allowed here", _suggest(value, known)


def _beyond_schema(data: Mapping[str, Any]) -> Iterator[Described]:
    """Yield what the CRD's patterns let through (they are not anchored at the front) and nothing can match."""
    for path, message, hint in _odd(data.get("spec") or {}, ""):
        yield ("spec", *path), message, hint
    process = (data.get("spec") or {}).get("process") or {}
    for index, item in enumerate(process.get("matchPaths") or ()):
        where = ("spec", "process", "matchPaths", index)
        if not item.get("path") and not item.get("execname"):
            yield where, "neither path nor execname", "name the binary: path: /usr/bin/x"
        elif item.get("path") and item.get("execname"):
            yield where, "both path and execname", "keep one; KubeArmor would ignore the path"


def _odd(value: object, name: str) -> Sequence[Described]:
    """The odd texts in plain data, `name` the field that holds it."""
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and name not in _WITH_MEANING
        return () if plain else list(_odd_text(value, name))
    found: list[Described] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if inner is not True and (odd := _odd(inner, key)):
                found += (((key, *path), message, hint) for path, message, hint in odd)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if odd := _odd(inner, ""):
                found += (((index, *path), message, hint) for path, message, hint in odd)
    return found


def _odd_text(value: str, name: str) -> Iterator[Described]:
    if _SURROGATE.search(value):
        hint = "a policy is UTF-8: match the directory that holds the file"
        yield (), f"{_short(value)} has bytes that are no UTF-8", hint
    elif name in NAMES and _CONTROL.search(value):
        hint = "match the directory that holds the file" if name in ("path", "dir") else "leave them out"
        yield (), f"{_short(value)} has control characters", hint
    elif name == "capability":
        for word in split_names(value):
            if capability_name(word) not in CAPABILITIES:
                yield (), f"unknown capability {word!r}", _suggest(capability_name(word), list(CAPABILITIES))
    elif name == "protocol":
        for word in split_names(value):
            if word.lower() not in PROTOCOL_WORDS:
                yield (), f"unknown protocol {word!r}", _suggest(word, list(PROTOCOL_WORDS))
    elif name == "pattern":
        try:
            compile_pattern(value)
        except ValueError as error:
            yield (), str(error), "close the bracket, or put a backslash before it"
