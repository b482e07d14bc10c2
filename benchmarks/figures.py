"""Samples, their ratios to bare, and the table: arithmetic and text only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

__all__ = ["BARE", "SUBJECT", "Result", "Spread", "best", "markdown", "ratios"]

BARE = "bare"
SUBJECT = "discover"


@dataclass(frozen=True)
class Spread:
    """The median of some samples, the least and the greatest."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of at least one sample."""
        return cls(median(samples), min(samples), max(samples))


@dataclass
class Result:
    """What one measure found.

    - `samples`: observer → one value a round, in `unit`; round n of every observer belongs together.
    - `bar`: the demand in words; `holds`: whether it was met, None if that cannot be said here.
    - `facts`: further figures, by name. `problems`: why something is missing; never empty when a sample is.
    """

    measure: str
    title: str
    unit: str
    bar: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, float | int | str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    holds: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON types, with the ratios worked out."""
        spreads = {name: vars(Spread.of(values)) for name, values in self.samples.items() if values}
        found = {name: vars(spread) for name, spread in ratios(self.samples).items()}
        return {**vars(self), "spreads": spreads, "ratios": found}


def ratios(samples: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """Each observer's samples over bare's of the same round; observers without a whole round are left out."""
    bare = samples.get(BARE, [])
    found = {}
    for name, values in samples.items():
        pairs = [value / base for value, base in zip(values, bare, strict=False) if base]
        if name != BARE and pairs:
            found[name] = Spread.of(pairs)
    return found


def best(samples: Mapping[str, Sequence[float]], more_is_better: bool) -> dict[str, float]:
    """Each observer's best sample over bare's best: what a busy machine disturbs least."""
    choose = max if more_is_better else min
    bare = samples.get(BARE)
    return {name: choose(values) / choose(bare) for name, values in samples.items() if bare and values and name != BARE}


def markdown(results: Sequence[Result], machine: Sequence[str]) -> str:
    """The table of ratios, then the facts and problems, as Markdown."""
    names = list(dict.fromkeys(name for result in results for name in result.samples))
    names.sort(key=lambda name: (name != BARE, name != SUBJECT))
    lines = [*machine, ""]
    lines += [f"| measure | bar | {' | '.join(names)} | met |", "|---" * (len(names) + 3) + "|"]
    for result in results:
        cells = [_cell(result, name) for name in names]
        met = {True: "yes", False: "**no**", None: "not measured"}[result.holds]
        lines.append(f"| {result.title} | {result.bar} | {' | '.join(cells)} | {met} |")
    lines += [
        "",
        "Medians of paired rounds; `x` is the ratio to bare of the same round, least and greatest in brackets.",
        "",
    ]
    for result in results:
        rate = result.unit.endswith("/s") or result.unit == "tps"
        tops = ", ".join(f"{name} {ratio:.3g}x" for name, ratio in best(result.samples, rate).items())
        lines += [f"- {result.title}: best sample over bare's best: {tops}"] if tops else []
        facts = ", ".join(f"{name} {_number(value)}" for name, value in result.facts.items())
        lines += [f"- {result.title}: {facts}"] if facts else []
        lines += [f"- {result.title}: {problem}" for problem in result.problems]
    return "\n".join(lines)


def _cell(result: Result, name: str) -> str:
    values = result.samples.get(name)
    if not values:
        return ""
    text = f"{_number(median(values))} {result.unit}"
    ratio = ratios(result.samples).get(name)
    if ratio:
        text += f", {ratio.middle:.3g}x ({ratio.least:.3g} to {ratio.greatest:.3g})"
    return text


def _number(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
