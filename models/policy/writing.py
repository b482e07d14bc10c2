"""Policies to YAML text: the same policy gives the same bytes, and every reader gets the same strings back.

A string stands plain only if it is made of harmless characters and neither YAML 1.1 nor YAML 1.2 reads it as anything
but a string; all others are double-quoted with escapes, so no line break, quote, terminal escape or colon of a name
chosen by a workload can change the document. Bytes that are no UTF-8 cannot be written and are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from models.policy.errors import PolicyError, Problem, printable
from models.policy.policy import Policy
from models.policy.validate import check

__all__ = ["dump_policies", "dump_policy", "quote"]

PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.@%+-]*")
NOT_STRINGS = re.compile(
    r"""~|null|true|false|yes|no|on|off|y|n|\.inf|\.nan|[-+.]?[0-9][0-9_,.:eExXoOa-fA-F+-]*|\.[0-9]*|=|<<""",
    re.IGNORECASE,
)
"""What YAML 1.1 or 1.2 may read as null, a boolean, a number, a time or a merge. Too wide costs two quotes."""
COMMENT_WIDTH = 118
Path = tuple[str | int, ...]
Comments = Mapping[Path, str]


def quote(text: str) -> str:
    """Write a string as YAML. Raise ValueError for surrogates (bytes that were no UTF-8)."""
    if PLAIN.fullmatch(text) and not NOT_STRINGS.fullmatch(text) and not text.startswith(("---", "...")):
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{printable(text)} has bytes that are no UTF-8, which YAML cannot hold") from error
    out = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")
    if out.isprintable():
        return out
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in out)


def _escape(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def dump_policy(policy: Policy, comments: Comments | None = None, *, validated: bool = True) -> str:
    """Write one policy.

    `comments` go above the field or list entry at their path, ``("spec", "file", "matchPaths", 3)``; their text is
    made harmless. With `validated` the policy is checked first, so that nothing invalid is ever written.

    Raise PolicyError if the policy is invalid or holds what YAML cannot.
    """
    document = policy.to_document()
    name = f"policy {policy.name or '(unnamed)'}"
    if validated:
        check(document, name)
    lines: list[str] = []
    try:
        _mapping(document, 0, (), comments or {}, lines)
    except ValueError as error:
        hint = "match the directory that holds the file"
        raise PolicyError([Problem(name, 0, "", str(error), hint)]) from error
    return "\n".join(lines) + "\n"


def dump_policies(policies: Iterable[Policy]) -> str:
    """Write several policies as the documents of one text."""
    return "---\n".join(dump_policy(p) for p in policies)


def _comment(comments: Comments, path: Path, indent: int, lines: list[str]) -> None:
    for line in comments.get(path, "").split("\n"):
        if line:
            safe = printable(line).replace("\\\\", "\\")
            lines.append(f"{' ' * indent}# {safe[:COMMENT_WIDTH]}")


def _mapping(value: Mapping[str, Any], indent: int, path: Path, comments: Comments, lines: list[str]) -> None:
    for key, inner in value.items():
        here = (*path, key)
        _comment(comments, here, indent, lines)
        _entry(f"{' ' * indent}{quote(key)}:", inner, indent, here, comments, lines)


def _entry(head: str, value: Any, indent: int, path: Path, comments: Comments, lines: list[str]) -> None:
    if isinstance(value, Mapping) and value:
        lines.append(head)
        _mapping(value, indent + 2, path, comments, lines)
    elif isinstance(value, list) and value:
        if all(isinstance(v, str) for v in value):
            lines.append(f"{head} [{', '.join(map(quote, value))}]")
            return
        lines.append(head)
        for index, item in enumerate(value):
            _item(item, indent, (*path, index), comments, lines)
    else:
        lines.append(f"{head} {_scalar(value)}")


def _item(value: Any, indent: int, path: Path, comments: Comments, lines: list[str]) -> None:
    _comment(comments, path, indent, lines)
    if not isinstance(value, Mapping) or not value:
        lines.append(f"{' ' * indent}- {_scalar(value)}")
        return
    start = len(lines)
    _mapping(value, indent + 2, path, comments, lines)
    first = next(i for i in range(start, len(lines)) if not lines[i].lstrip().startswith("#"))
    lines[first] = f"{' ' * indent}- {lines[first].lstrip()}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, ensure_ascii=True, sort_keys=True)
