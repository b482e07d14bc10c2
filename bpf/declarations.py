"""The little of C that our own headers are written in, read without a compiler.

Where there is no libbpf there is no BTF of an object, and the layouts that user space needs come from the headers
themselves: `record.h` has structures of fixed-width members in natural alignment, enums, and numbers as macros. A test
compares every result with what clang says in BTF.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Declarations", "Member", "members_of", "without_comments"]

_SIZES = {
    "__u8": "u1", "__u16": "u2", "__u32": "u4", "__u64": "u8", "__s8": "i1", "__s16": "i2", "__s32": "i4",
    "__s64": "i8", "char": "i1", "unsigned char": "u1", "short": "i2", "unsigned short": "u2", "int": "i4",
    "unsigned int": "u4", "long": "i8", "unsigned long": "u8", "bool": "u1",
}  # fmt: skip
_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.LShift: operator.lshift,
}
_DECLARATION = re.compile(
    r"(?P<type>(?:const\s+|volatile\s+)*(?:struct\s+\w+|unsigned\s+\w+|\w+))\s+(?P<names>[^;{]+);"
)
_DECLARATOR = re.compile(r"(?P<stars>\**)\s*(?P<name>\w+)\s*(?:\[(?P<length>[^\]]+)\])?$")


def without_comments(text: str) -> str:
    """The text with comments blanked out."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


@dataclass(frozen=True)
class Member:
    """One member: its type without qualifiers and stars, how many stars, its length if an array, members if inline."""

    name: str
    type: str
    stars: int = 0
    length: str = ""
    inline: tuple[Member, ...] = ()


def members_of(body: str) -> list[Member]:
    """The members that the text between a structure's braces declares."""
    found: list[Member] = []
    while body := body.strip():
        if inner := re.match(r"struct\s*\{(.*?)\}\s*(\w+)\s*;", body, re.DOTALL):
            found.append(Member(inner[2], "struct", inline=tuple(members_of(inner[1]))))
            body = body[inner.end() :]
            continue
        match = _DECLARATION.match(body)
        if not match:
            raise ValueError(f"not a member: {body.splitlines()[0]}")
        kind = re.sub(r"\b(const|volatile)\b", "", match["type"]).strip()
        for declarator in match["names"].split(","):
            one = _DECLARATOR.match(declarator.strip())
            if not one:
                raise ValueError(f"not a declarator: {declarator}")
            found.append(Member(one["name"], " ".join(kind.split()), len(one["stars"]), one["length"] or ""))
        body = body[match.end() :]
    return found


class Declarations:
    """Structures, enums and numbers of some headers; answers `struct` and `enum` like `bpf.btf.Btf`."""

    def __init__(self, *paths: Path) -> None:
        text = without_comments("\n".join(path.read_text() for path in paths))
        self._numbers: dict[str, str] = dict(re.findall(r"^#define (\w+)[ \t]+([^\n]+?)[ \t]*$", text, re.MULTILINE))
        self._enums = {
            name: dict(self._enumerators(body))
            for name, body in re.findall(r"\benum (\w+) \{(.*?)\};", text, re.DOTALL)
        }
        self._structs = dict(re.findall(r"\bstruct (\w+) \{(.*?)^\}", text, re.DOTALL | re.MULTILINE))

    def _enumerators(self, body: str) -> Iterator[tuple[str, int]]:
        following = 0
        for part in filter(None, (part.strip() for part in body.split(","))):
            name, _, value = (word.strip() for word in part.partition("="))
            following = self.number(value) if value else following
            self._numbers[name] = str(following)
            yield name, following
            following += 1

    def number(self, expression: str) -> int:
        """The value of a constant expression in C; ValueError for what this reader does not know."""

        def value(node: ast.expr) -> int:
            match node:
                case ast.Constant(value=int() as number):
                    return number
                case ast.Name(id=name) if name in self._numbers:
                    return self.number(self._numbers[name])
                case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                    return _OPERATORS[type(op)](value(left), value(right))
            raise ValueError(f"not a number: {expression}")

        return value(ast.parse(re.sub(r"\b0([0-7]+)\b", r"0o\1", expression), mode="eval").body)

    def enum(self, name: str) -> dict[str, int]:
        """The members of ``enum name`` by name; KeyError if there is none."""
        return dict(self._enums[name])

    def struct(self, name: str) -> np.dtype[Any]:
        """The dtype of ``struct name`` in natural alignment; KeyError if there is none."""
        return self._dtype(members_of(self._structs[name]))

    def type(self, name: str) -> np.dtype[Any]:
        """The dtype of a type as C spells it: ``__u64``, ``struct task``."""
        return self._format(Member("", name))

    def _dtype(self, members: list[Member]) -> np.dtype[Any]:
        fields = [(m.name, self._format(m)) for m in members]
        offset, offsets, widest = 0, [], 1
        for member, (_, dtype) in zip(members, fields, strict=True):
            alignment = self._alignment(member)
            offset = -(-offset // alignment) * alignment
            offsets.append(offset)
            offset += dtype.itemsize
            widest = max(widest, alignment)
        names = [name for name, _ in fields]
        itemsize = -(-offset // widest) * widest
        return np.dtype({"names": names, "formats": [f for _, f in fields], "offsets": offsets, "itemsize": itemsize})

    def _format(self, member: Member) -> np.dtype[Any]:
        if member.stars:
            base = np.dtype("u8")
        elif member.type.startswith("struct "):
            base = self.struct(member.type.removeprefix("struct "))
        else:
            base = np.dtype(_SIZES[member.type])
        if not member.length:
            return base
        length = self.number(member.length)
        return np.dtype(f"V{length}") if base.str[1:] in ("i1", "u1") else np.dtype((base, (length,)))

    def _alignment(self, member: Member) -> int:
        if member.stars:
            return 8
        if member.type.startswith("struct "):
            inner = members_of(self._structs[member.type.removeprefix("struct ")])
            return max(self._alignment(m) for m in inner)
        return np.dtype(_SIZES[member.type]).itemsize
