"""Puts programs together from one section of code in which only calls between functions are resolved.

The section begins with a directory: a function that calls the others one by one, in an order that is known, and so
tells where each begins. Every program gets a copy of what it calls, with the type information that lets the kernel
check functions of numbers once instead of once a call.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Function", "Linker", "Program"]

_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("immediate", "<i4")])
_CALL, _EXIT, _WIDE = 0x85, 0x95, 0x18
_MAP, _VALUE, _ADDRESS = 1, 2, 4  # source register of a wide load: BPF_PSEUDO_MAP_FD, _MAP_VALUE, _FUNC
_INT, _POINTER, _FUNC, _FUNC_PROTO = 1, 2, 12, 13
_GLOBAL = 1


@dataclass(frozen=True)
class Function:
    """One entry of the directory.

    `arguments` is how many numbers it takes, None for a program or what a helper calls; the latter has a `number`,
    which stands in code where its address belongs.
    """

    name: str
    arguments: int | None = None
    number: int | None = None


@dataclass(frozen=True)
class Program:
    """Code to load, the BTF that describes its functions, and its array of ``struct bpf_func_info``."""

    code: bytes
    btf: bytes
    functions: bytes


class Linker:
    """The functions of one section. `directory` lists what the first function calls, in that order."""

    def __init__(self, section: bytes, directory: Iterable[Function]) -> None:
        self._code = np.frombuffer(section, _INSTRUCTION).copy()
        wide = self._code["code"] == _WIDE
        self._second = np.zeros(len(self._code), bool)  # halves of wide loads, which are no instructions
        self._second[1:] = wide[:-1]
        calls = (self._code["code"] == _CALL) & (self._code["registers"] >> 4 == 1) & ~self._second
        self._calls = np.flatnonzero(calls)
        self._targets = self._calls + 1 + self._code["immediate"][self._calls]
        self._starts = np.unique(np.append(self._targets, 0))
        end = int(np.flatnonzero(self._code["code"] == _EXIT)[0])
        entries = self._targets[self._calls < end].tolist()
        known = list(directory)
        if len(entries) != len(known):
            raise ValueError(f"the directory has {len(entries)} calls, not {len(known)}")
        self._entry = {function.name: start for function, start in zip(known, entries, strict=True)}
        self._functions = dict(zip(entries, known, strict=True))
        numbered = {f.number: start for f, start in zip(known, entries, strict=True) if f.number is not None}
        loads = wide & ~self._second & (self._code["registers"] >> 4 == _ADDRESS)
        addresses = np.flatnonzero(loads)
        called = np.array([numbered[int(n)] for n in self._code["immediate"][addresses]], self._targets.dtype)
        self._calls, self._targets = np.append(self._calls, addresses), np.append(self._targets, called)

    def descriptors(self, numbers: Mapping[int, int]) -> None:
        """Put descriptors in place of the maps' numbers; KeyError for a map that is not known."""
        loads = (self._code["code"] == _WIDE) & ~self._second
        for place in np.flatnonzero(loads & np.isin(self._code["registers"] >> 4, (_MAP, _VALUE))):
            self._code["immediate"][place] = numbers[int(self._code["immediate"][place])]

    def _end(self, start: int) -> int:
        after = np.searchsorted(self._starts, start, side="right")
        return int(self._starts[after]) if after < len(self._starts) else len(self._code)

    def program(self, name: str) -> Program:
        """One program with all that it calls."""
        order, places, length = [self._entry[name]], {}, 0
        for start in order:
            places[start] = length
            length += self._end(start) - start
            inside = (self._calls >= start) & (self._calls < self._end(start))
            order += [t for t in dict.fromkeys(self._targets[inside].tolist()) if t not in order]
        code = np.concatenate([self._code[start : self._end(start)] for start in order])
        for start in order:
            for call in np.flatnonzero((self._calls >= start) & (self._calls < self._end(start))):
                at = places[start] + int(self._calls[call]) - start
                code["immediate"][at] = places[int(self._targets[call])] - at - 1
        types = _Types()
        described = [types.function(self._functions.get(start), number) for number, start in enumerate(order)]
        functions = b"".join(
            struct.pack("<II", places[start], kind) for start, kind in zip(order, described, strict=True)
        )
        return Program(code.tobytes(), types.data(), functions)


class _Types:
    """BTF for functions that take numbers and return one (Documentation/bpf/btf.rst)."""

    def __init__(self) -> None:
        self._strings = b"\0"
        self._types: list[bytes] = []
        self._number = self._add(self._name("number"), _INT << 24, 8, struct.pack("<I", 64))
        self._pointer = self._add(0, _POINTER << 24, 0)

    def _name(self, text: str) -> int:
        self._strings += text.encode() + b"\0"
        return len(self._strings) - len(text) - 1

    def _add(self, name: int, info: int, size: int, more: bytes = b"") -> int:
        self._types.append(struct.pack("<III", name, info, size) + more)
        return len(self._types)

    def function(self, function: Function | None, number: int) -> int:
        """The type number of a function; one that the directory does not have is checked at each call."""
        if function is None or function.arguments is None:
            kinds = [] if function is None else [self._pointer]
            name, linkage = function.name if function else f"local_{number}", 0
        else:
            kinds, name, linkage = [self._number] * function.arguments, function.name, _GLOBAL
        arguments = b"".join(struct.pack("<II", self._name(f"a{i}"), kind) for i, kind in enumerate(kinds))
        prototype = self._add(0, _FUNC_PROTO << 24 | len(kinds), self._number, arguments)
        return self._add(self._name(name), _FUNC << 24 | linkage, prototype)

    def data(self) -> bytes:
        """The whole."""
        types = b"".join(self._types)
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self._strings))
        return header + types + self._strings
