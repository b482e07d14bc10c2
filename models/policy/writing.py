"""Policies to YAML text: the same policy gives the same bytes, and every reader gets the same strings back.

A string stands plain only if it is made of harmless characters and neither YAML 1.1 nor YAML 1.2 reads it as anything
but a string; all others are double-quoted with escapes, so no line break, quote, terminal escape or colon of a name
chosen by a workload can change the document. Bytes that are no UTF-8 cannot be written and are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from models.policy.errors import PolicyError, Problem, printable
from models.policy.policy import Policy
from models.policy.validate import check

__all__ = ["dump_policies", "dump_policy", "quote"]

_NOT_STRINGS = r"~|null|true|false|yes|no|on|off|y|n|\.inf|\.nan|[-+.]?[0-9][0-9_,.:eExXoOa-fA-F+-]*|\.[0-9]*|=|<<"
"""What YAML 1.1 or 1.2 may read as null, a boolean, a number, a time or a merge. Too wide costs two quotes."""
_PLAIN = re.compile(rf"(?!(?i:{_NOT_STRINGS})\Z)(?!---|\.\.\.)[A-Za-z_/.][A-Za-z0-9_/.@%+-]*")
COMMENT_WIDTH = 118
Path = tuple[str | int, ...]
Comments = Mapping[Path, str]


def quote(text: str) -> str:
    """Write a string as YAML. Raise ValueError for surrogates (bytes that were no UTF-8)."""
    if _PLAIN.fullmatch(text):
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{printable(text)} has bytes that are no UTF-8, which YAML cannot hold") from error
    out = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")
    if out.isprintable():
        return out
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in out)


_key = lru_cache(quote)
"""The names of fields, of which there are few."""


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
        _mapping(document, 0, (), comments or {}, lines, "")
    except ValueError as error:
        hint = "match the directory that holds the file"
        raise PolicyError([Problem(name, 0, "", str(error), hint)]) from error
    return "\n".join(lines) + "\n"


def dump_policies(policies: Iterable[Policy]) -> str:
    """Write several policies as the documents of one text."""
    return "---\n".join(dump_policy(p) for p in policies)


def _comment(text: str, pad: str, lines: list[str]) -> None:
    for line in text.split("\n"):
        if line:
            safe = printable(line).replace("\\\\", "\\")
            lines.append(f"{pad}# {safe[:COMMENT_WIDTH]}")


def _mapping(
    value: Mapping[str, Any], indent: int, path: Path, comments: Comments, lines: list[str], first: str
) -> None:
    """The lines of a mapping; the first begins with `first`, the others with as many spaces as `indent` says."""
    pad = " " * indent
    for key, inner in value.items():
        here: Path = (*path, key) if comments else ()
        if comments and (comment := comments.get(here)):
            _comment(comment, pad, lines)
        head = f"{first}{_key(key)}:"
        first = pad
        if isinstance(inner, str):
            lines.append(f"{head} {quote(inner)}")
        elif inner is True:
            lines.append(f"{head} true")
        elif isinstance(inner, dict) and inner:
            lines.append(head)
            _mapping(inner, indent + 2, here, comments, lines, f"{pad}  ")
        elif isinstance(inner, list) and inner:
            _list(head, inner, indent, here, comments, lines)
        else:
            lines.append(f"{head} {_scalar(inner)}")


def _list(head: str, value: list[Any], indent: int, path: Path, comments: Comments, lines: list[str]) -> None:
    if all(isinstance(v, str) for v in value):
        lines.append(f"{head} [{', '.join(map(quote, value))}]")
        return
    lines.append(head)
    pad = " " * indent
    # most comments stand above a rule: where none stands below, nothing is looked for
    below = comments if max(map(len, comments), default=0) > len(path) + 1 else {}
    for index, item in enumerate(value):
        here = (*path, index)
        if comments and (comment := comments.get(here)):
            _comment(comment, pad, lines)
        if isinstance(item, dict) and item:
            _mapping(item, indent + 2, here, below, lines, f"{pad}- ")
        else:
            lines.append(f"{pad}- {_scalar(item)}")


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
