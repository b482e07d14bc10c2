"""``matchPatterns``: AppArmor's globs, which is what KubeArmor's AppArmor enforcer takes.

``*`` is any run of characters but ``/``, ``**`` any run at all, ``?`` one character but ``/``, ``[ab]`` and ``[^ab]``
one of a set, ``{a,b}`` an alternative, and a backslash takes the next character as it is. The whole path has to match.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["compile_pattern", "literal_prefix"]

SPECIAL = "*?[]{}\\"


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a glob. Raise ValueError, naming the position, if a bracket or brace does not close."""
    out: list[str] = []
    depth = index = 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "\\" and index < len(pattern):
            out.append(re.escape(pattern[index]))
            index += 1
        elif char == "*":
            if pattern[index : index + 1] == "*":
                while pattern[index : index + 1] == "*":
                    index += 1
                out.append("(?s:.*)")
            else:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = pattern.find("]", index + 1 + pattern.startswith("^", index))
            if end < 0:
                raise ValueError(f"pattern {pattern!r}: '[' at {index - 1} has no ']'")
            out.append(_set(pattern[index:end]))
            index = end + 1
        elif char == "{":
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        else:
            out.append(re.escape(char))
    if depth:
        raise ValueError(f"pattern {pattern!r}: '{{' has no '}}'")
    return re.compile("".join(out))


def _set(body: str) -> str:
    negated = body.startswith("^")
    members = body[1:] if negated else body
    quoted = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
    return f"[^/{quoted}]" if negated else f"(?!/)[{quoted}]"


def literal_prefix(pattern: str) -> str:
    """Return what every match begins with, up to the first special character."""
    for index, char in enumerate(pattern):
        if char in SPECIAL:
            return pattern[:index]
    return pattern
