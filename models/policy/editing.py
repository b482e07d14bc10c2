"""Policy files that people keep: change the typed policy, and the file keeps its comments, order and layout.

ruamel.yaml holds the text; `PolicyFile.update` brings its tree to what a changed policy says and touches nothing else.
A file in which nothing changed is written back byte for byte.
"""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from models.policy.policy import Policy
from models.policy.reading import load_policies
from models.policy.validate import check
from models.policy.writing import quote

__all__ = ["PolicyFile"]


@dataclass(slots=True)
class PolicyFile:
    """The text of a file with its policies."""

    text: str
    name: str
    policies: list[Policy]

    @classmethod
    def load(cls, text: str, name: str = "<text>") -> PolicyFile:
        """Read a file's text. Raise PolicyError for what is wrong with it."""
        return cls(text, name, load_policies(text, name))

    def update(self, index: int, policy: Policy) -> None:
        """Replace the policy at `index` in the list; raise PolicyError if it is invalid."""
        if policy == self.policies[index]:
            return
        data = policy.to_document()
        check(data, self.name)
        header, body = _header(self.text)
        yaml = _yaml(body)
        trees = list(yaml.load_all(body))
        _sync_mapping(_ours(trees)[index], self.policies[index].to_document(), data)
        out = io.StringIO()
        yaml.dump_all(trees, out)
        self.text = header + out.getvalue()
        self.policies = load_policies(self.text, self.name)


def _ours(trees: list[Any]) -> list[Any]:
    kinds = {"KubeArmorPolicy", "KubeArmorHostPolicy", "KubeArmorClusterPolicy"}
    return [t for t in trees if isinstance(t, Mapping) and t.get("kind") in kinds]


def _header(text: str) -> tuple[str, str]:
    """Split off what stands before the first document's own lines: ruamel.yaml drops comments above a ``---``."""
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.strip() == "---":
            return "".join(lines[: index + 1]), "".join(lines[index + 1 :])
        if line.strip() and not line.startswith(("#", "%")):
            break
    return "", text


def _yaml(text: str) -> YAML:
    """Return a reader and writer that indents as the text does."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    step, offset = _indents(text)
    yaml.indent(mapping=step, sequence=offset + 2, offset=offset)
    return yaml


def _indents(text: str) -> tuple[int, int]:
    """Return by how much the text indents a mapping in a mapping, and the dash of a list in a mapping."""
    step = offset = None
    parent = 0
    for line in text.splitlines():
        content = line.lstrip(" ")
        if not content or content.startswith("#"):
            continue
        depth = len(line) - len(content)
        if content.startswith("- "):
            offset = depth - parent if offset is None else offset
        elif step is None and depth > parent:
            step = depth - parent
        parent = depth + (2 if content.startswith("- ") else 0)
    return step or 2, max(offset or 0, 0)


def _node(value: Any) -> Any:
    """Make plain data into nodes, every string quoted that has to be."""
    if isinstance(value, Mapping):
        return CommentedMap({k: _node(v) for k, v in value.items()})
    if isinstance(value, list):
        return CommentedSeq([_node(v) for v in value])
    if isinstance(value, str) and quote(value) != value:
        return DoubleQuotedScalarString(value)
    return value


def _sync_mapping(tree: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in old:
        if key not in new:
            del tree[key]
    for key, value in new.items():
        if key in old and old[key] == value:
            continue
        if key in old and isinstance(value, Mapping) and isinstance(old[key], Mapping):
            _sync_mapping(tree[key], old[key], value)
        elif key in old and isinstance(value, list) and isinstance(old[key], list):
            _sync_list(tree[key], old[key], value)
        else:
            tree[key] = _node(value)


def _sync_list(tree: Any, old: list[Any], new: list[Any]) -> None:
    before, after = ([json.dumps(v, sort_keys=True) for v in values] for values in (old, new))
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, a, b, c, d in reversed(matcher.get_opcodes()):
        if tag == "replace" and b - a == d - c and isinstance(new[c], Mapping):
            for at, to in zip(range(a, b), range(c, d), strict=True):
                _sync_mapping(tree[at], old[at], new[to])
            continue
        if tag in ("replace", "delete"):
            for at in reversed(range(a, b)):
                del tree[at]
        if tag in ("replace", "insert"):
            for at, value in enumerate(new[c:d]):
                tree.insert(a + at, _node(value))
