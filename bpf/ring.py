"""Reads a BPF ring buffer of fixed-size records in batches, as views into the memory it shares with the kernel.

The consumer position is the caller's to move, once what it read is safe: until then the kernel keeps the records.

Of the ring's memory only the two positions stay mapped, and what is being read: the kernel gives a mapping all its
pages at once, and the whole, which is there twice for records across the end, counts 41 MB in a recorder that has
nothing to do.
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
        self._producer_memory = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._fd = fd
        self._consumer = np.frombuffer(self._consumer_memory, "<u8", 1)
        self._producer = np.frombuffer(self._producer_memory, "<u8", 1)
        self._dtype = np.dtype(
            {"names": ["length", "record"], "formats": ["<u4", dtype], "offsets": [0, 8], "itemsize": self.stride}
        )

        self._nothing = np.empty(0, self._dtype)["record"]

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
            return self._nothing, 0
        if not _ORDERED:
            _fence()
        slots = self._window(consumer & (self.size - 1), n)
        lengths = slots["length"].copy()
        busy = np.flatnonzero(lengths & _BUSY)
        if busy.size:
            n = int(busy[0])
            slots, lengths = slots[:n], lengths[:n]
        discarded = lengths & _DISCARDED != 0
        records = slots["record"][~discarded] if discarded.any() else slots["record"]
        return records, n

    def _window(self, start: int, slots: int) -> np.ndarray[Any, Any]:
        """So many slots from byte `start` of the ring; their mapping lasts as long as the array."""
        page = mmap.PAGESIZE
        inside = start % page
        memory = mmap.mmap(
            self._fd, inside + slots * self.stride, mmap.MAP_SHARED, mmap.PROT_READ, offset=2 * page + start - inside
        )
        return np.frombuffer(memory, self._dtype, slots, inside)

    def advance(self, slots: int) -> None:
        """Give the first `slots` records' room back to the kernel."""
        self._consumer[0] += np.uint64(slots * self.stride)


_lock = Lock()


def _fence() -> None:
    _lock.acquire()
    _lock.release()
