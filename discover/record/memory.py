"""What a recorder that waits does not need, given back to the kernel.

Loading reads the kernel's types (30 MB) and imports run the start of every library; both are over when the watching
begins. Memory that was freed goes back to the system. Pages of programs and libraries that hold nothing of our own are
let go of: they stay in the page cache, and come back from there, by the page, when they are called again.
"""

from __future__ import annotations

import contextlib
import ctypes
import re

__all__ = ["give_back"]

_DONTNEED = 4  # MADV_DONTNEED
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")


def give_back() -> None:
    """Shrink this process as far as can be done without losing anything; some milliseconds."""
    libc = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):  # glibc's own
        libc.malloc_trim(0)
    for start, end in _unchanged():
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)


def _unchanged() -> list[tuple[int, int]]:
    """Mappings of files that cannot be written to and no page of which was changed before (by a relocation)."""
    found: list[tuple[int, int]] = []
    place: tuple[int, int] | None = None
    try:
        with open("/proc/self/smaps") as smaps:  # noqa: PTH123 - a line at a time
            for line in smaps:
                if match := _MAPPING.match(line):
                    start, end, may, inode = match.groups()
                    code = inode != "0" and may in ("r-xp", "r--p")
                    place = (int(start, 16), int(end, 16)) if code else None
                elif place and line.startswith("Anonymous:") and int(line.split()[1]) == 0:
                    found.append(place)
    except OSError:
        return []
    return found
