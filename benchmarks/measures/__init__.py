"""The measures, one module each: ``NAME``, a line in ``TITLE``, the demand in ``BAR``, and ``measure(bench)``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bench import Bench
    from benchmarks.figures import Result

__all__ = ["MEASURES", "load_measure"]

MEASURES = ("open_loop", "nginx_static", "pgbench", "fork_storm", "distinct", "raw", "idle", "kill_resume")
"""In the order of the table."""


def load_measure(name: str) -> Callable[[Bench], Result]:
    """The function that takes the measure called `name`."""
    measure: Callable[[Bench], Result] = import_module(f"{__name__}.{name}").measure
    return measure
