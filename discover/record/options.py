"""What a person asked of `discover record`, parsed and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from collectors.drills import Drill
from collectors.target import TargetSpec

__all__ = ["RecordOptions", "chance", "duration", "ring_size"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def duration(text: str) -> float:
    """Seconds of ``90``, ``30m``, ``1h30m``; ValueError if it is none."""
    parts = re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+|\d+(?:\.\d+)?", text.strip())
    if not parts:
        raise ValueError(f"{text!r} is no duration; write 90s, 30m or 1h30m")
    found = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text)
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in found)


def ring_size(text: str) -> int:
    """Bytes of ``16M``: a power of two of at least a page; ValueError if it is none."""
    match = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(match[1]) * _SIZES[match[2].upper()] if match else 0
    if size < 4096 or size & (size - 1):
        raise ValueError(f"{text!r} is no ring size; write a power of two of at least 4K, such as 16M")
    return size


def chance(text: str) -> float:
    """0.1 of ``10%`` or ``0.1``; ValueError if it is no chance from 1 % to 50 %."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0.01 <= value <= 0.5:
        raise ValueError(f"{text!r} is no chance; write one from 1% to 50%, such as 10%")
    return value


@dataclass(frozen=True)
class RecordOptions:
    """One recording to be made. Times are seconds; `limit` None: until the target ends or Ctrl-C."""

    spec: TargetSpec
    output: Path
    backend: str = "auto"
    limit: float | None = None
    until_covered: float | None = None
    drills: tuple[Drill, ...] = ()
    raw: bool = False
    ready_after: float = 10.0
    settle: float = 1.0
    ring_size: int = 1 << 24
    behaviours: int = 1 << 19
    redact_rules: Path | None = None
    inventory: bool = True
    survive: bool = True
