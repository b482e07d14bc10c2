"""The JSON Schema of the CRDs as functions: what is wrong with plain data, and where.

A policy of a large workload has thousands of rules, and is validated each time it is written or read. A general
validator takes a hundred microseconds a rule; these functions, one made of each schema, take one. They know the
keywords that the CRDs use and refuse to be made of others; a test holds them against ``jsonschema``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Check", "Fault", "compiled"]

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One place that a schema does not allow."""

    path: Path
    keyword: str
    """The keyword of JSON Schema that is not met."""
    value: Any
    """What stands there."""
    expected: Any
    """What the schema says: the keyword's value; of ``required`` the name that is missing, of
    ``additionalProperties`` the names that are known."""


Check = Callable[[Any], Sequence[Fault]]


def compiled(schema: Mapping[str, Any]) -> Check:
    """The check for a schema. Raises ValueError for a schema with a keyword, or of a type, that is not known here."""
    kind = str(schema.get("type"))
    if kind not in _OF_TYPE or schema.keys() - _OF_TYPE[kind].keywords - {"type", "enum", "format"}:
        raise ValueError(f"no check can be made of a schema of type {kind} with {', '.join(schema)}")
    types, of_this_type, allowed = _OF_TYPE[kind].types, _OF_TYPE[kind].check(schema), schema.get("enum")
    is_number = kind == "integer"

    def check(value: Any) -> Sequence[Fault]:
        if not isinstance(value, types) or (is_number and isinstance(value, bool)):
            faults = [Fault((), "type", value, kind)]
            return faults if allowed is None else [*faults, Fault((), "enum", value, allowed)]
        if allowed is not None and value not in allowed:
            return [Fault((), "enum", value, allowed)]
        return of_this_type(value) if of_this_type else ()

    return check


def _string(schema: Mapping[str, Any]) -> Check | None:
    pattern, most = schema.get("pattern"), schema.get("maxLength")
    if pattern is None and most is None:
        return None
    search = re.compile(pattern or "").search

    def check(value: str) -> Sequence[Fault]:
        if search(value) and (most is None or len(value) <= most):
            return ()
        faults = [] if search(value) else [Fault((), "pattern", value, pattern)]
        return faults if most is None or len(value) <= most else [*faults, Fault((), "maxLength", value, most)]

    return check


def _integer(schema: Mapping[str, Any]) -> Check | None:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None and most is None:
        return None

    def check(value: int) -> Sequence[Fault]:
        if least is not None and value < least:
            return [Fault((), "minimum", value, least)]
        return [Fault((), "maximum", value, most)] if most is not None and value > most else ()

    return check


def _array(schema: Mapping[str, Any]) -> Check:
    inner, most = compiled(schema["items"]), schema.get("maxItems")

    def check(value: list[Any]) -> Sequence[Fault]:
        faults: list[Fault] = []
        for place, item in enumerate(value):
            if found := inner(item):
                faults += _below(place, found)
        return faults if most is None or len(value) <= most else [*faults, Fault((), "maxItems", value, most)]

    return check


def _object(schema: Mapping[str, Any]) -> Check:
    inner = {name: compiled(s) for name, s in schema.get("properties", {}).items()}
    required, more = schema.get("required", ()), schema.get("additionalProperties", True)
    others = compiled(more) if isinstance(more, Mapping) else None

    def check(value: dict[str, Any]) -> Sequence[Fault]:
        faults: list[Fault] = []
        strange = False
        for name, item in value.items():
            one = inner.get(name, others)
            if one is None:
                strange = True
            elif found := one(item):
                faults += _below(name, found)
        if strange and more is False:
            faults.append(Fault((), "additionalProperties", value, list(inner)))
        for name in required:
            if name not in value:
                faults.append(Fault((), "required", value, name))
        return faults

    return check


def _below(name: str | int, faults: Sequence[Fault]) -> Iterator[Fault]:
    return (replace(f, path=(name, *f.path)) for f in faults)


@dataclass(frozen=True, slots=True)
class _Type:
    types: type
    keywords: frozenset[str]
    check: Callable[[Mapping[str, Any]], Check | None]
    """None where every value of the type will do."""


_OF_TYPE = {
    "object": _Type(dict, frozenset({"properties", "required", "additionalProperties"}), _object),
    "array": _Type(list, frozenset({"items", "maxItems"}), _array),
    "string": _Type(str, frozenset({"pattern", "maxLength"}), _string),
    "integer": _Type(int, frozenset({"minimum", "maximum"}), _integer),
    "boolean": _Type(bool, frozenset(), lambda _: None),
}
