"""Names and globs in AppArmor's language, so that no name of a workload can change a profile.

The parser reads a quoted word twice: first octal escapes, then a backslash before what is special in a glob
(``parser_regex.c`` of AppArmor 3). Its globs are those of `models.policy.patterns`, except that sets may hold a slash,
that sets and ``?`` are about bytes, and that ``{a}`` is an error.
"""

from __future__ import annotations

__all__ = ["Inexact", "counts_bytes", "glob", "literal", "word"]

_SPECIAL = '\\"*?[]{}^,@$'
_IN_SET = '\\"[]^-'


class Inexact(Exception):
    """What AppArmor's globs cannot say."""


def literal(text: str) -> str:
    """A name as it stands."""
    return "".join(map(_escaped, text))


def word(glob_text: str) -> str:
    """A glob, already escaped, as a word of a profile."""
    return f'"{glob_text}"'


def _escaped(char: str) -> str:
    if char in _SPECIAL:
        return "\\" + char
    if char < " " or char == "\x7f":
        return f"\\{ord(char):03o}"
    return char


def counts_bytes(pattern: str) -> bool:
    """Whether a pattern says "one character" somewhere, which for AppArmor is one byte."""
    return any(c == "?" or pattern.startswith("[^", i) for i, c in enumerate(pattern) if pattern[i - 1 : i] != "\\")


def glob(pattern: str) -> str:
    """A pattern of a policy, translated. Raises `Inexact`."""
    return _Translation(pattern).text()


class _Translation:
    def __init__(self, pattern: str) -> None:
        self._pattern, self._at = pattern, 0

    def text(self) -> str:
        return self._until("")

    def _until(self, ends: str) -> str:
        out: list[str] = []
        while self._at < len(self._pattern):
            char = self._pattern[self._at]
            if ends and char in ends:
                break
            self._at += 1
            if char == "\\" and self._at < len(self._pattern):
                out.append(_escaped(self._pattern[self._at]))
                self._at += 1
            elif char == "*":
                many = self._pattern.startswith("*", self._at)
                while self._pattern.startswith("*", self._at):
                    self._at += 1
                out.append("**" if many else "*")
            elif char == "?":
                out.append("?")
            elif char == "[":
                out.append(self._set())
            elif char == "{":
                out.append(self._alternatives())
            else:
                out.append(_escaped(char))
        return "".join(out)

    def _alternatives(self) -> str:
        found = [self._until(",}")]
        while self._pattern[self._at : self._at + 1] == ",":
            self._at += 1
            found.append(self._until(",}"))
        self._at += 1  # the closing brace: compile_pattern has seen that it is there
        found = list(dict.fromkeys(found))
        return found[0] if len(found) == 1 else "{" + ",".join(found) + "}"

    def _set(self) -> str:
        end = self._pattern.find("]", self._at + 1 + self._pattern.startswith("^", self._at))
        body, self._at = self._pattern[self._at : end], end + 1
        negated = body.startswith("^")
        members = _members(body[1:] if negated else body)
        if negated:
            return "[^" + "".join(_in_set(c) for c in sorted(members | {"/"})) + "]"
        inside = sorted(members - {"/"})
        if not inside:
            raise Inexact(f"{self._pattern}: a set that holds nothing but a slash matches nothing")
        found = [_escaped(c) for c in inside]
        return found[0] if len(found) == 1 else "{" + ",".join(found) + "}"


def _members(body: str) -> set[str]:
    """The characters of a set, ranges written out."""
    found: set[str] = set()
    index = 0
    while index < len(body):
        if body[index + 1 : index + 2] == "-" and index + 2 < len(body):
            first, last = ord(body[index]), ord(body[index + 2])
            if last - first > 256:
                raise Inexact(f"[{body}]: a range of more than 256 characters")
            found |= {chr(n) for n in range(first, last + 1)}
            index += 3
        else:
            found.add(body[index])
            index += 1
    if any(not c.isascii() for c in found):
        raise Inexact(f"[{body}]: AppArmor's sets are of bytes, and this one has other characters")
    return found


def _in_set(char: str) -> str:
    if char in _IN_SET:
        return "\\" + char
    return f"\\{ord(char):03o}" if char < " " or char == "\x7f" else char
