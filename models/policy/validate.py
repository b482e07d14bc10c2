"""Validation against the CRD, as strict as the API server could be: an unknown field is an error, not pruned.

The schema is derived from the model (`models.policy.fields.json_schema`); a test holds it against the official CRDs,
field by field. Beyond it stand a few checks of what the CRD's own patterns let through and KubeArmor cannot mean.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema

from models.policy.errors import PolicyError, Problem
from models.policy.fields import Kind, json_schema
from models.policy.model import API_VERSION, Spec
from models.policy.names import CAPABILITIES, PROTOCOL_WORDS, capability_name, split_names
from models.policy.patterns import compile_pattern

__all__ = ["check", "schema", "validate"]

Path = tuple[str | int, ...]
NAMES = frozenset({"path", "dir", "execname", "protocol", "capability", "domain"})
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
def _validator(kind: Kind) -> Any:
    return jsonschema.Draft202012Validator(schema(kind))


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
    for error in _validator(kind).iter_errors(data):
        found += [problem(*described) for described in _describe(error, raw or {}, kind)]
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


def _describe(error: Any, raw: Mapping[Path, str], kind: Kind) -> Iterator[Described]:
    path: Path = tuple(error.absolute_path)
    value = error.instance
    match error.validator:
        case "additionalProperties":
            known = list(error.schema["properties"])
            for name in value:
                if name not in known:
                    yield (*path, name), f"unknown field {name!r}", _unknown_field(name, known, path, kind)
        case "required":
            missing = next(n for n in error.validator_value if n not in value and f"'{n}'" in error.message)
            yield (*path, missing), f"{missing} is missing", ""
        case "type":
            wanted = TYPES.get(error.validator_value, error.validator_value)
            if path in raw and error.validator_value == "string":
                written = raw[path] or "nothing"
                yield path, f"text is expected, and YAML reads {written} as {value!r}", f'write "{raw[path]}"'
            else:
                yield path, f"{wanted} is expected, not {_short(value)}", ""
        case "enum":
            yield path, f"{_short(value)} is not allowed here", _suggest(str(value), list(error.validator_value))
        case "pattern":
            yield _pattern(path, str(value), error.validator_value)
        case "minimum" | "maximum":
            yield path, f"{value} is out of range", f"the {error.validator} is {error.validator_value}"
        case "maxLength":
            size = f"{len(value)} characters long, and {error.validator_value} is the most"
            yield path, size, "match the directory above it"
        case _:
            yield path, str(error.message), ""


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
    for path, value in _leaves(data.get("spec") or {}, ("spec",)):
        if not isinstance(value, str):
            continue
        name = path[-1]
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            hint = "a policy is UTF-8: match the directory that holds the file"
            yield path, f"{_short(value)} has bytes that are no UTF-8", hint
        elif name in NAMES and any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
            hint = "match the directory that holds the file" if name in ("path", "dir") else "leave them out"
            yield path, f"{_short(value)} has control characters", hint
        elif name == "capability":
            for word in split_names(value):
                if capability_name(word) not in CAPABILITIES:
                    yield path, f"unknown capability {word!r}", _suggest(capability_name(word), list(CAPABILITIES))
        elif name == "protocol":
            for word in split_names(value):
                if word.lower() not in PROTOCOL_WORDS:
                    yield path, f"unknown protocol {word!r}", _suggest(word, list(PROTOCOL_WORDS))
        elif name == "pattern":
            try:
                compile_pattern(value)
            except ValueError as error:
                yield path, str(error), "close the bracket, or put a backslash before it"
    process = (data.get("spec") or {}).get("process") or {}
    for index, item in enumerate(process.get("matchPaths") or ()):
        where = ("spec", "process", "matchPaths", index)
        if not item.get("path") and not item.get("execname"):
            yield where, "neither path nor execname", "name the binary: path: /usr/bin/x"
        elif item.get("path") and item.get("execname"):
            yield where, "both path and execname", "keep one; KubeArmor would ignore the path"


def _leaves(value: object, path: Path) -> Iterator[tuple[Path, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value
