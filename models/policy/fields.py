"""How a dataclass field says what it is in the CRD: its name there, its schema, and the kinds that have it.

One declaration serves four readers: the JSON schema, the reader, the writer (fields are emitted in the order of their
declaration) and the test that compares all of it with the official CRDs.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar, cast

__all__ = ["Kind", "Shape", "crd", "from_document", "json_schema", "shapes", "to_document"]

T = TypeVar("T")


class Kind(StrEnum):
    """The three kinds of policy."""

    POLICY = "KubeArmorPolicy"
    HOST = "KubeArmorHostPolicy"
    CLUSTER = "KubeArmorClusterPolicy"


ALL = frozenset(Kind)


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What the CRD says about one field."""

    name: str
    schema: Mapping[str, Any] | None = None
    """Schema of the value, or of one item for a list; None if it is an object described by `model`."""
    model: type | None = None
    many: bool = False
    kinds: frozenset[Kind] = ALL
    required: frozenset[Kind] = frozenset()
    per_kind: Mapping[Kind, Mapping[str, Any]] | None = None
    """Schema that differs between kinds."""
    max_items: int | None = None


def crd(
    name: str,
    schema: Mapping[str, Any] | None = None,
    *,
    model: type | None = None,
    many: bool = False,
    kinds: frozenset[Kind] = ALL,
    required: frozenset[Kind] | bool = False,
    per_kind: Mapping[Kind, Mapping[str, Any]] | None = None,
    max_items: int | None = None,
) -> Any:
    """Declare a dataclass field that stands in the CRD as `name`. Absent is None, or an empty tuple for a list."""
    needed = ALL if required is True else (required or frozenset())
    shape = Shape(name, schema, model, many, kinds, needed, per_kind, max_items)
    return dataclasses.field(default=() if many else None, metadata={"crd": shape})


_shapes: dict[type, dict[str, Shape]] = {}


def shapes(model: type) -> dict[str, Shape]:
    """Return the CRD fields of a dataclass by attribute name, in the order in which they are written."""
    known = _shapes.get(model)
    if known is None:
        fields = dataclasses.fields(model)
        known = _shapes[model] = {f.name: f.metadata["crd"] for f in fields if "crd" in f.metadata}
    return known


def json_schema(model: type, kind: Kind) -> dict[str, Any]:
    """Derive the JSON schema of a dataclass as `kind` has it, with ``additionalProperties: false`` on every object."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for shape in shapes(model).values():
        if kind not in shape.kinds:
            continue
        if shape.model is not None:
            value = json_schema(shape.model, kind)
        else:
            value = dict((shape.per_kind or {}).get(kind) or shape.schema or {})
        if shape.many:
            value = {"type": "array", "items": value}
            if shape.max_items is not None:
                value["maxItems"] = shape.max_items
        properties[shape.name] = value
        if kind in shape.required:
            required.append(shape.name)
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = sorted(required)
    return schema


def from_document(model: type[T], document: Mapping[str, Any]) -> T:
    """Build a dataclass from a mapping that has already been validated."""
    values: dict[str, Any] = {}
    for attribute, shape in shapes(model).items():
        if document.get(shape.name) is None:
            continue
        value = document[shape.name]
        inner = shape.model
        if shape.many:
            values[attribute] = tuple(from_document(inner, v) if inner else v for v in value)
        else:
            values[attribute] = from_document(inner, value) if inner else _frozen(value)
    return model(**values)


def to_document(model: object) -> dict[str, Any]:
    """Turn a dataclass back into plain data, absent fields left out, in the order in which it is written."""
    document: dict[str, Any] = {}
    # nearly every field of nearly every rule is absent: all are fetched at once, since policies have thousands of rules
    values, written = _fetched(type(model))
    for value, shape in zip(values(model), written, strict=True):
        if value is None or value == ():
            continue
        if shape.many:
            document[shape.name] = [to_document(v) for v in value] if shape.model else list(value)
        elif shape.model:
            document[shape.name] = to_document(value)
        else:
            document[shape.name] = dict(value) if isinstance(value, Mapping) else value
    return document


_Fetched = tuple[Callable[[object], tuple[Any, ...]], tuple[Shape, ...]]
_fetchers: dict[type, _Fetched] = {}


def _fetched(model: type) -> _Fetched:
    """What gets the CRD fields of a dataclass, and what the CRD says about each."""
    known = _fetchers.get(model)
    if known is None:
        attributes = list(shapes(model))
        fetch = operator.attrgetter(*attributes)
        several = fetch if len(attributes) > 1 else lambda one: (fetch(one),)
        known = _fetchers[model] = several, tuple(shapes(model).values())
    return known


def _frozen(value: object) -> object:
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value
