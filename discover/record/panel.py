"""What a person sees while a recording runs: one live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from discover.record.run import Progress
from discover.text import printable

__all__ = ["Panel"]

_LINE_EVERY = 10.0  # seconds


class Panel:
    """Shows `Progress` on standard error; `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False, limit: float | None = None) -> None:
        self._quiet, self._limit = quiet, limit
        self._live: object | None = None
        self._last_line = float("-inf")
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415 - only for a terminal
            from rich.live import Live  # noqa: PLC0415

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)  # type: ignore[attr-defined]

    def show(self, progress: Progress) -> None:
        """Bring the panel up to date."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(_panel(progress, self._limit), refresh=True)  # type: ignore[attr-defined]
            return
        if progress.elapsed - self._last_line >= _LINE_EVERY:
            self._last_line = progress.elapsed
            print(line(progress), file=sys.stderr, flush=True)  # noqa: T201 - this is the output


def line(progress: Progress) -> str:
    """Progress as one plain line."""
    c = progress.counters
    more = f"  coverage: {progress.coverage}" if progress.coverage else ""
    more += f"  {progress.doing}" if progress.doing else ""
    return (
        f"{_clock(progress.elapsed)}  behaviours {c.behaviours:,}  new in the last minute {progress.fresh:,}  "
        f"events/s {progress.rate:,.0f}  repeats absorbed {max(c.events - c.behaviours, 0):,}  lost {c.lost:,}{more}"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _panel(progress: Progress, limit: float | None) -> object:
    from rich.panel import Panel as Box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    c = progress.counters
    grid = Table.grid(padding=(0, 2))
    left = f" of {_clock(limit)}" if limit else ""
    for name, value in (
        ("behaviours", f"{c.behaviours:,}"),
        ("new in the last minute", f"{progress.fresh:,}"),
        ("events a second", f"{progress.rate:,.0f}"),
        ("repeats absorbed in the kernel", f"{max(c.events - c.behaviours, 0):,}"),
        ("lost", f"{c.lost:,}"),
    ):
        style = "bold red" if name == "lost" and c.lost else "bold"
        grid.add_row(Text(name, style="dim"), Text(value, style=style))
    for name, value in (("coverage", progress.coverage), ("now", progress.doing)):
        if value:
            grid.add_row(Text(name, style="dim"), Text(value))
    title = Text(f"recording {printable(progress.target)} · {progress.backend} · {_clock(progress.elapsed)}{left}")
    return Box(grid, title=title, title_align="left", subtitle="Ctrl-C ends it", subtitle_align="right", expand=False)
