"""What a person sees while a recording runs: one live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self

from discover.record.bottom import Bottom
from discover.record.run import Progress
from discover.text import printable

__all__ = ["Panel", "line", "picture"]

_LINE_EVERY = 10.0  # seconds
_STILL = 1.0  # seconds between two pictures that differ in the time alone
_WIDTH = 90


class Panel:
    """Shows `Progress` on standard error; `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False, limit: float | None = None, covered: bool = False) -> None:
        self._quiet, self._limit = quiet, limit
        self._bottom = Bottom(sys.stderr.fileno(), 8 if covered else 7) if not quiet and sys.stderr.isatty() else None
        self._last_line = float("-inf")
        self._shown: tuple[object, ...] = ()
        self._at = float("-inf")

    def __enter__(self) -> Self:
        if self._bottom is not None and not self._bottom.fits:
            self._bottom = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bottom is not None:
            self._bottom.close()

    def show(self, progress: Progress) -> None:
        """Bring the panel up to date."""
        if self._quiet:
            return
        if self._bottom is not None:
            c = progress.counters
            content = c.behaviours, c.events, c.lost, progress.fresh, progress.doing, progress.coverage
            if content == self._shown and progress.elapsed - self._at < _STILL:
                return
            self._shown, self._at = content, progress.elapsed
            self._bottom.draw(picture(progress, self._limit, self._bottom.columns, color="NO_COLOR" not in os.environ))
            return
        if self._last_line < 0:
            told = f"recording {printable(progress.target)}, back end {progress.backend}; Ctrl-C ends it"
            print(told, file=sys.stderr, flush=True)  # noqa: T201 - this is the output
        if progress.elapsed - self._last_line >= _LINE_EVERY:
            self._last_line = progress.elapsed
            print(line(progress), file=sys.stderr, flush=True)  # noqa: T201 - this is the output


def line(progress: Progress) -> str:
    """Progress as one plain line."""
    c = progress.counters
    more = f"  coverage: {progress.coverage}" if progress.coverage else ""
    more += f"  ({progress.doing})" if progress.doing else ""
    return (
        f"{_clock(progress.elapsed)}  behaviours {c.behaviours:,}  new in the last minute {progress.fresh:,}  "
        f"events/s {progress.rate:,.0f}  repeats absorbed {max(c.events - c.behaviours, 0):,}  lost {c.lost:,}{more}"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def picture(progress: Progress, limit: float | None, columns: int, *, color: bool) -> list[str]:
    """Progress as the lines of a panel, none wider than `columns`."""
    c = progress.counters
    left = f" of {_clock(limit)}" if limit and progress.elapsed <= limit else ""
    title = f"── recording {printable(progress.target)} · {progress.backend} · {_clock(progress.elapsed)}{left} "
    end = " Ctrl-C ends it ──"
    if len(title) + len(end) > columns:
        title, end = title[: columns - len(end)], end[:columns]
    rows = [
        ("behaviours", f"{c.behaviours:,}"),
        ("new in the last minute", f"{progress.fresh:,}"),
        ("events a second", f"{progress.rate:,.0f}"),
        ("repeats absorbed in the kernel", f"{max(c.events - c.behaviours, 0):,}"),
        ("lost", f"{c.lost:,}"),
        ("now", progress.doing),
    ]
    rows += [("coverage", progress.coverage)] if progress.coverage else []
    text = [title + "─" * (min(columns, _WIDTH) - len(title) - len(end)) + end]
    for name, value in rows:
        first, second = f"   {name:<32}"[:columns], value[: max(columns - 35, 0)]
        style = "1;31" if name == "lost" and c.lost else "1"
        text.append(f"\x1b[2m{first}\x1b[0m\x1b[{style}m{second}\x1b[0m" if color else first + second)
    return text
