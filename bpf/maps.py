"""Hash maps from user space: single entries, and whole maps in batches as structured arrays."""

from __future__ import annotations

import ctypes as c
import errno
import os
from pathlib import Path
from typing import Any, Self

import numpy as np

from bpf.errors import KernelRefused
from bpf.libbpf import captured_log, check, libbpf

__all__ = ["Map"]

_BATCH = 8192


class Map:
    """A map by its descriptor; `key` and `value` are the dtypes of its entries."""

    def __init__(
        self, name: str, fd: int, key: np.dtype[Any] | None, value: np.dtype[Any] | None, max_entries: int
    ) -> None:
        self.name, self.fd, self.max_entries = name, fd, max_entries
        self.key, self.value = key, value

    @staticmethod
    def library() -> Any:
        """What makes the system calls: libbpf here, the calls themselves in `bpf.raw`."""
        return libbpf()

    @classmethod
    def pinned(cls, path: Path, key: np.dtype[Any] | None, value: np.dtype[Any] | None) -> Self:
        """A map that another process has pinned."""
        fd = cls.library().bpf_obj_get(os.fsencode(path))
        if error := check(fd):
            raise KernelRefused(f"open pinned map {path}", error, captured_log())
        info = (c.c_uint32 * 32)()  # struct bpf_map_info: type, id, key_size, value_size, max_entries, …
        size = c.c_uint32(c.sizeof(info))
        if error := check(cls.library().bpf_obj_get_info_by_fd(fd, info, c.byref(size))):
            raise KernelRefused(f"read size of pinned map {path}", error, captured_log())
        return cls(path.name, fd, key, value, int(info[4]))

    def _entry(self, dtype: np.dtype[Any] | None, content: Any) -> np.ndarray[Any, Any]:
        entry = np.zeros(1, dtype)
        if content is not None:
            entry[0] = content
        return entry

    def get(self, key: Any) -> Any | None:
        """The value for `key` as a structured scalar (a copy), or None."""
        k, v = self._entry(self.key, key), self._entry(self.value, None)
        error = check(self.library().bpf_map_lookup_elem(self.fd, k.ctypes.data, v.ctypes.data))
        if error == errno.ENOENT:
            return None
        if error:
            raise KernelRefused(f"look up in map {self.name}", error)
        return v[0]

    def set(self, key: Any, value: Any, flags: int = 0) -> None:
        """Write one entry. `flags`: 0 any, 1 only if new, 2 only if there."""
        k, v = self._entry(self.key, key), self._entry(self.value, value)
        if error := check(self.library().bpf_map_update_elem(self.fd, k.ctypes.data, v.ctypes.data, flags)):
            raise KernelRefused(f"write to map {self.name}", error)

    def drop(self, key: Any) -> None:
        """Delete one entry, if it is there."""
        k = self._entry(self.key, key)
        error = check(self.library().bpf_map_delete_elem(self.fd, k.ctypes.data))
        if error and error != errno.ENOENT:
            raise KernelRefused(f"remove from map {self.name}", error)

    def items(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """All entries, as two arrays of equal length. Entries written meanwhile may be missing or be there."""
        keys, values = [], []
        token_in, token_out = (np.zeros(max(4, self.key.itemsize if self.key else 4), np.uint8) for _ in range(2))
        first, batch = True, min(_BATCH, self.max_entries)
        while True:
            k, v = np.zeros(batch, self.key), np.zeros(batch, self.value)
            count = c.c_uint32(batch)
            error = check(
                self.library().bpf_map_lookup_batch(
                    self.fd,
                    None if first else token_in.ctypes.data,
                    token_out.ctypes.data,
                    k.ctypes.data,
                    v.ctypes.data,
                    c.byref(count),
                    None,
                )
            )
            if error == errno.ENOSPC and batch < self.max_entries:  # one bucket holds more than a batch
                batch = min(batch * 4, self.max_entries)
                continue
            if error and error != errno.ENOENT:
                raise KernelRefused(f"read map {self.name}", error)
            keys.append(k[: count.value])
            values.append(v[: count.value])
            if error == errno.ENOENT:
                return np.concatenate(keys), np.concatenate(values)
            token_in, token_out, first = token_out, token_in, False
