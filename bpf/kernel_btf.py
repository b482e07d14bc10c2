"""The running kernel's type information, read without libbpf: where each member of a structure lies.

The format is the kernel's (Documentation/bpf/btf.rst): a header, types one behind another, then their names.
"""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["KERNEL_BTF", "KernelBtf"]

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MAGIC = 0xEB9F
_INT, _ARRAY, _STRUCT, _UNION, _ENUM, _TYPEDEF, _FUNC, _FUNC_PROTO, _VAR, _DATASEC = 1, 3, 4, 5, 6, 8, 12, 13, 14, 15
_DECL_TAG, _ENUM64 = 17, 19
_TRANSPARENT = {8, 9, 10, 11, 18}  # typedef, volatile, const, restrict, type tag
_MEMBER_SIZES = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_FIXED_SIZES = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}


class KernelBtf:
    """Structures, typedefs and enums by name. Raises LookupError if the kernel has no BTF."""

    def __init__(self, path: Path = KERNEL_BTF) -> None:
        try:
            self._data = path.read_bytes()
        except OSError:
            raise LookupError("this kernel has no BTF") from None
        magic, _, _, header, types, types_size, strings, _ = _HEADER.unpack_from(self._data)
        if magic != _MAGIC:
            raise LookupError(f"{path} is no BTF of this machine's byte order")
        self._strings = header + strings
        self._types = [0]
        self._named: dict[tuple[int, int], list[int]] = {}
        at, end, unpack = header + types, header + types + types_size, _TYPE.unpack_from
        while at < end:
            name, info, _ = unpack(self._data, at)
            kind = info >> 24 & 31
            if name and kind in (_STRUCT, _UNION, _ENUM, _TYPEDEF, _FUNC):
                self._named.setdefault((kind, name), []).append(len(self._types))
            self._types.append(at)
            at += 12 + _FIXED_SIZES.get(kind, 0) + _MEMBER_SIZES.get(kind, 0) * (info & 0xFFFF)

    def _name(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(0, start)].decode()

    def _find(self, kind: int, name: str) -> list[int]:
        wanted = name.encode() + b"\0"
        at = self._data.find(b"\0" + wanted, self._strings)
        while at >= 0:  # a name may be stored twice
            if found := self._named.get((kind, at + 1 - self._strings)):
                return found
            at = self._data.find(b"\0" + wanted, at + 1)
        return []

    def _resolved(self, number: int) -> tuple[int, int, int, int]:
        """(address, kind, member count, size or type) behind typedefs and qualifiers."""
        while True:
            at = self._types[number]
            _, info, size = _TYPE.unpack_from(self._data, at)
            if info >> 24 & 31 not in _TRANSPARENT:
                return at, info >> 24 & 31, info & 0xFFFF, size
            number = size

    def structs(self, name: str) -> list[int]:
        """Numbers of the types called ``struct name``, or of what a typedef of that name stands for."""
        return self._find(_STRUCT, name) or self._find(_TYPEDEF, name)

    def member(self, number: int, name: str) -> tuple[int, int] | None:
        """A member's (offset in bytes, type number), looked for in unnamed members too; None if there is none."""
        at, kind, count, _ = self._resolved(number)
        if kind not in (_STRUCT, _UNION):
            return None
        bitfields = _TYPE.unpack_from(self._data, at)[1] >> 31
        for i in range(count):
            label, inner, offset = _TYPE.unpack_from(self._data, at + 12 + 12 * i)
            offset = (offset & 0xFFFFFF if bitfields else offset) // 8
            if label and self._name(label) == name:
                return offset, inner
            if not label and (found := self.member(inner, name)):
                return offset + found[0], found[1]
        return None

    def enum(self, name: str) -> dict[str, int]:
        """The members of ``enum name``; KeyError if there is none."""
        numbers = self._find(_ENUM, name)
        if not numbers:
            raise KeyError(f"enum {name}")
        at, _, count, _ = self._resolved(numbers[0])
        pairs = (struct.unpack_from("<II", self._data, at + 12 + 8 * i) for i in range(count))
        return {self._name(label): value for label, value in pairs}

    def has(self, kind: str, name: str) -> bool:
        """Whether there is a ``func`` or ``typedef`` of that name."""
        return bool(self._find({"func": _FUNC, "typedef": _TYPEDEF}[kind], name))

    def close(self) -> None:
        """Let go of the data."""
        self._data, self._types, self._named = b"", [], {}
