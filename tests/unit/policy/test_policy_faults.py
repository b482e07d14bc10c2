"""The compiled checks find what a general validator finds, at the same places and by the same keywords."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_policy_schema import example

from models.policy import Kind, schema
from models.policy.faults import compiled

SCALARS = [None, True, 0, 11, -1, 2.5, "", "x", "/", "/a", "/a/", "/" + "a" * 300, "Allow", "tcp", "net_raw"]
OTHERS = [[], ["x"], ["x"] * 21, [{}], [5], {}, {"path": "/a"}, {"app": "web"}, {"app": 5}, {"unknown": 1}]
ODD = st.sampled_from([*SCALARS, *OTHERS])


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        found += places(value, (*path, key))
    return found


def changed(document: Any, path: tuple[Any, ...], how: str, value: Any) -> Any:
    """The document with one place replaced, left out, or joined by an unknown field."""
    if not path:
        return value if how == "replace" else document
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if how == "replace":
        inner[path[-1]] = value
    elif how == "leave out":
        del inner[path[-1]]
    elif isinstance(inner, dict):
        inner["unknown"] = value
    return document


@pytest.mark.parametrize("kind", list(Kind))
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_same_faults_as_a_general_validator(kind: Kind, data: st.DataObject) -> None:
    document = example(schema(kind))
    for _ in range(data.draw(st.integers(0, 3))):
        path = data.draw(st.sampled_from(places(document)))
        how = data.draw(st.sampled_from(["replace", "leave out", "add"]))
        document = changed(document, path, how, data.draw(ODD))
        if not isinstance(document, dict | list):
            break
    theirs = jsonschema.Draft202012Validator(schema(kind)).iter_errors(document)
    expected = sorted((str(tuple(e.absolute_path)), e.validator) for e in theirs)
    found = sorted((str(f.path), f.keyword) for f in compiled(schema(kind))(document))
    assert found == expected


def test_what_it_does_not_know_it_refuses() -> None:
    for strange in ({"type": "string", "format": "x", "minLength": 1}, {"type": "number"}, {}):
        with pytest.raises(ValueError, match="no check"):
            compiled(strange)
