"""numpy dtypes from an object's BTF, so that no layout is typed by hand."""

from __future__ import annotations

import ctypes as c
from typing import Any

import numpy as np

from bpf.libbpf import check, libbpf

__all__ = ["Btf"]

_INT, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 3, 4, 5, 6
_TRANSPARENT = {8, 9, 10, 11}  # typedef, volatile, const, restrict
_TYPEDEF, _FUNC, _DATASEC = 8, 12, 15


def _words(address: int, n: int) -> Any:
    return (c.c_uint32 * n).from_address(address)


class Btf:
    """The type information of one opened object (`pointer` is libbpf's ``struct btf *``)."""

    def __init__(self, pointer: int) -> None:
        self._btf = pointer

    @classmethod
    def of_kernel(cls) -> Btf:
        """The running kernel's own; LookupError if it has none."""
        pointer = libbpf().btf__load_vmlinux_btf()
        if check(pointer):
            raise LookupError("this kernel has no BTF")
        return cls(pointer)

    def _type(self, number: int) -> tuple[int, int, int, int, int]:
        """(address, name offset, kind, member count, size or type)."""
        address = libbpf().btf__type_by_id(self._btf, number)
        name, info, size = _words(address, 3)
        return address, name, info >> 24 & 0x1F, info & 0xFFFF, size

    def _name(self, offset: int) -> str:
        return str(libbpf().btf__name_by_offset(self._btf, offset).decode())

    def struct(self, name: str) -> np.dtype[Any]:
        """The dtype of ``struct name``; KeyError if the object has none."""
        number = libbpf().btf__find_by_name_kind(self._btf, name.encode(), _STRUCT)
        if number < 0:
            raise KeyError(f"struct {name}")
        dtype: np.dtype[Any] = np.dtype(self.format(number))
        return dtype

    def enum(self, name: str) -> dict[str, int]:
        """The members of ``enum name`` by name."""
        number = libbpf().btf__find_by_name_kind(self._btf, name.encode(), _ENUM)
        if number < 0:
            raise KeyError(f"enum {name}")
        address, _, _, members, _ = self._type(number)
        pairs = (_words(address + 12 + 8 * i, 2) for i in range(members))
        return {self._name(offset): value for offset, value in pairs}

    def has(self, kind: str, name: str) -> bool:
        """Whether there is a ``func`` or ``typedef`` of that name. ``btf_trace_X`` exists where tracepoint X does."""
        return bool(
            libbpf().btf__find_by_name_kind(self._btf, name.encode(), {"func": _FUNC, "typedef": _TYPEDEF}[kind]) > 0
        )

    def close(self) -> None:
        """Free the kernel's BTF (some 10 MB); an object's own goes with the object."""
        libbpf().btf__free(self._btf)

    def format(self, number: int) -> Any:
        """What `numpy.dtype` takes for the type with this number. Character arrays become bytes of fixed length."""
        address, _, kind, members, size = self._type(number)
        if kind == _INT:
            signed = _words(address + 12, 1)[0] >> 24 & 1
            return f"{'i' if signed else 'u'}{size}"
        if kind in _TRANSPARENT:
            return self.format(size)
        if kind == _ENUM:
            return f"u{size}"
        if kind == _ARRAY:
            element, _, n = _words(address + 12, 3)
            inner = self.format(element)
            return f"V{n}" if inner in ("i1", "u1") else (inner, (n,))
        if kind == _STRUCT:
            fields: dict[str, Any] = {"names": [], "formats": [], "offsets": [], "itemsize": size}
            for i in range(members):
                name, inner_type, offset = _words(address + 12 + 12 * i, 3)
                fields["names"].append(self._name(name))
                fields["formats"].append(self.format(inner_type))
                fields["offsets"].append(offset // 8)
            return np.dtype(fields)  # type: ignore[call-overload]  # numpy's stubs want literal keys
        raise TypeError(f"BTF kind {kind} has no dtype")

    def section(self, name: str) -> dict[str, tuple[int, int, int]]:
        """The variables of a data section: name -> (offset, size, type number)."""
        number = libbpf().btf__find_by_name_kind(self._btf, name.encode(), _DATASEC)
        if number < 0:
            raise KeyError(name)
        address, _, _, members, _ = self._type(number)
        found = {}
        for i in range(members):
            variable, offset, size = _words(address + 12 + 12 * i, 3)
            _, name_offset, _, _, inner = self._type(variable)
            found[self._name(name_offset)] = (offset, size, inner)
        return found
