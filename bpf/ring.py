"""Reads a BPF ring buffer of fixed-size records in batches, as views into the memory it shares with the kernel.

The consumer position is the caller's to move, once what it read is safe: until then the kernel keeps the records.
"""

from __future__ import annotations

import mmap
import platform
from threading import Lock
from typing import Any

import numpy as np

__all__ = ["Ring"]

_BUSY, _DISCARDED = np.uint32(1 << 31), np.uint32(1 << 30)  # BPF_RINGBUF_{BUSY,DISCARD}_BIT
_ORDERED = platform.machine() in ("x86_64", "AMD64", "i686")


class Ring:
    """A ring whose every record is a `dtype`.

    Reading a position of the producer and then records before it needs the loads in order: x86 gives that, other
    machines get a fence (a lock's, the only one that Python reaches).
    """

    def __init__(self, fd: int, size: int, dtype: np.dtype[Any]) -> None:
        page = mmap.PAGESIZE
        self.size, self.stride = size, (dtype.itemsize + 8 + 7) & ~7
        self._consumer_memory = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._memory = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = np.frombuffer(self._consumer_memory, "<u8", 1)
        self._producer = np.frombuffer(self._memory, "<u8", 1)
        self._dtype = np.dtype(
            {"names": ["length", "record"], "formats": ["<u4", dtype], "offsets": [0, 8], "itemsize": self.stride}
        )

    @property
    def fill(self) -> float:
        """The used share of the ring, 0 to 1."""
        return (int(self._producer[0]) - int(self._consumer[0])) / self.size

    def view(self, limit: int = 1 << 62) -> tuple[np.ndarray[Any, Any], int]:
        """Committed records not yet consumed, and how many slots they span (discarded ones are left out).

        The array is a view unless records were discarded; it is valid until `advance`. Stops at the first record that a
        program is still writing.
        """
        consumer = int(self._consumer[0])
        n = min((int(self._producer[0]) - consumer) // self.stride, limit)
        if not n:
            return np.empty(0, self._dtype)["record"], 0
        if not _ORDERED:
            _fence()
        slots = np.frombuffer(self._memory, self._dtype, n, mmap.PAGESIZE + (consumer & (self.size - 1)))
        lengths = slots["length"].copy()
        busy = np.flatnonzero(lengths & _BUSY)
        if busy.size:
            n = int(busy[0])
            slots, lengths = slots[:n], lengths[:n]
        discarded = lengths & _DISCARDED != 0
        records = slots["record"][~discarded] if discarded.any() else slots["record"]
        return records, n

    def advance(self, slots: int) -> None:
        """Give the first `slots` records' room back to the kernel."""
        self._consumer[0] += np.uint64(slots * self.stride)


_lock = Lock()


def _fence() -> None:
    _lock.acquire()
    _lock.release()
