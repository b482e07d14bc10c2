"""Measures on made-up behaviour: random names, intrusions, spraying, order and idleness."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.quality.synthetic import hostile, slots, steady
from benchmarks.quality.verdicts import Bar

__all__ = ["MEASURES"]

MEASURES: dict[str, Callable[[], list[Bar]]] = {
    "slots": slots.measure,
    "poisoned": hostile.poisoned,
    "parts": hostile.parts,
    "calm": hostile.calm,
    "sprayed": hostile.sprayed,
    "permuted": steady.permuted,
    "idle": steady.idle,
}
