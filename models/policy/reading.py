"""Policies from YAML text: documents with the line of every field, then validated, then typed.

PyYAML's composer gives the lines; its constructor is not used, because it would hide duplicate keys and turn ``NO``
into False without a word. Values are resolved as YAML 1.1 does (that is what the API server's reader knows); a value
that YAML 1.1 and 1.2 read differently is still read, and validation names it where a string was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from models.policy.errors import PolicyError, Problem
from models.policy.fields import Kind
from models.policy.model import API_VERSION
from models.policy.policy import Policy
from models.policy.validate import validate

__all__ = ["Document", "documents", "load_policies", "read_policies"]

MAX_NODES = 200_000
"""Aliases are followed, so a few lines can stand for a great many nodes; past this the file is refused."""
KINDS = frozenset(k.value for k in Kind)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document as plain data, with where each field stands."""

    file: str
    data: Any
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    """Line of each field by its path, counted from 1."""
    raw: Mapping[tuple[str | int, ...], str] = field(default_factory=dict)
    """How a plain scalar that is no string was written: ``NO``, ``0644``."""

    def line(self, path: tuple[str | int, ...]) -> int:
        """Return the line of a field, or of the nearest thing around it that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read_policies(file: str | Path) -> list[Policy]:
    """Read and validate the policies of a file; documents of other kinds are skipped.

    Raise PolicyError with every problem, OSError if the file cannot be read.
    """
    raw = Path(file).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        hint = "save the file as UTF-8; a path with other bytes cannot be named in a policy"
        raise PolicyError([Problem(str(file), line, "", f"not UTF-8 (byte {error.start})", hint)]) from error
    return load_policies(text, str(file))


def load_policies(text: str, file: str = "<text>") -> list[Policy]:
    """Like `read_policies`, from text; `file` is the name that errors show."""
    policies: list[Policy] = []
    problems: list[Problem] = []
    for document in (part for whole in documents(text, file) for part in _items(whole)):
        data = document.data
        if (
            isinstance(data, dict)
            and data.get("apiVersion") not in (None, API_VERSION)
            and data.get("kind") not in KINDS
        ):
            continue  # somebody else's object in the same file
        found = validate(data, file, document.line, document.raw)
        problems += found
        if not found:
            policies.append(Policy.from_document(data))
    if problems:
        raise PolicyError(problems)
    return policies


def _items(document: Document) -> Iterator[Document]:
    """Yield the members of a list as ``kubectl get -o yaml`` prints it, and any other document as it is."""
    data = document.data
    listed = isinstance(data, dict) and str(data.get("kind", "")).endswith("List") and data.get("items")
    if not isinstance(listed, list):
        yield document
        return
    for index, item in enumerate(listed):
        here = ("items", index)
        lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == here}
        raw = {path[2:]: text for path, text in document.raw.items() if path[:2] == here}
        yield Document(document.file, item, lines, raw)


def documents(text: str, file: str = "<text>") -> Iterator[Document]:
    """Yield the documents of a YAML text, empty ones left out. Raise PolicyError for what is no YAML."""
    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for node in yaml.compose_all(text, Loader=loader_class):
            if node is not None:
                yield _Builder(file).build(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        message = f"not YAML: {error.problem or error.context or 'cannot be read'}"
        raise PolicyError([Problem(file, mark.line + 1 if mark else 0, "", message)]) from error
    except yaml.YAMLError as error:
        raise PolicyError([Problem(file, 0, "", f"not YAML: {error}")]) from error
    except RecursionError as error:
        raise PolicyError([Problem(file, 0, "", "not a policy: nested too deeply")]) from error


class _Builder:
    """Turns a node tree into plain data and notes the lines."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.raw: dict[tuple[str | int, ...], str] = {}
        self.open: set[int] = set()
        self.nodes = 0

    def build(self, node: yaml.Node) -> Document:
        return Document(self.file, self.value(node, ()), self.lines, self.raw)

    def fail(self, node: yaml.Node, path: tuple[str | int, ...], message: str, hint: str = "") -> PolicyError:
        return PolicyError([Problem(self.file, node.start_mark.line + 1, field_name(path), message, hint)])

    def value(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.fail(node, path, f"more than {MAX_NODES} values", "write the aliases out, or split the file")
        if id(node) in self.open:
            raise self.fail(node, path, "an alias that contains itself")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self.mapping(node, path)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.Node, path: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise self.fail(key, path, "a merge key (<<)", "write the fields out")
            if not isinstance(key, yaml.ScalarNode):
                raise self.fail(key, path, "a key that is no text")
            name = key.value
            if name in found:
                message = f"{name!r} stands here twice"
                raise self.fail(key, (*path, name), message, "merge the two; only one of them would count")
            self.lines[*path, name] = key.start_mark.line + 1
            found[name] = self.value(value, (*path, name))
        return found

    def scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> Any:
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        text: str = node.value
        if tag == "str":
            return text
        self.raw[path] = text
        match tag:
            case "null":
                return None
            case "bool":
                return text.lower() in ("yes", "true", "on")
            case "int" | "float":
                constructor = yaml.SafeLoader("")
                try:
                    return getattr(constructor, f"construct_yaml_{tag}")(node)
                except ValueError as error:
                    raise self.fail(node, path, f"{text!r} is no number") from error
            case "timestamp":
                return text
            case _:
                raise self.fail(node, path, f"tag {node.tag} is not supported", "write the value without a tag")


def field_name(path: tuple[str | int, ...]) -> str:
    """Write a path as people do: ``spec.file.matchPaths[3].path``."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out
