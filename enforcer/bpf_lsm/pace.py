"""When a kind of alert is told again: at once, then after pauses that grow, so that a busy workload is few lines."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace"]

_FIRST, _LONGEST = 1.0, 60.0


class Pace:
    """Which kinds may be told now. What happens during a pause is only put off: its count is told after it.

    A pause is a second, and twice as long each time, up to a minute; a kind that did not happen for another whole pause
    begins anew. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pauses: dict[bytes, tuple[float, float]] = {}

    def is_due(self, kind: bytes) -> bool:
        """Whether its pause is over; so is that of a kind that was never told."""
        return kind not in self._pauses or self._clock() >= self._pauses[kind][0]

    def told(self, kind: bytes) -> None:
        """It was told now: its next pause begins."""
        now = self._clock()
        end, pause = self._pauses.get(kind, (now, 0.0))
        pause = min(2 * pause, _LONGEST) if pause and now < end + pause else _FIRST
        self._pauses[kind] = (now + pause, pause)

    def forget(self, kind: bytes) -> None:
        """It is told at once when it happens next."""
        self._pauses.pop(kind, None)
