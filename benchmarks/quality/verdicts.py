"""The bars of the table, and how a method stands against the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.quality.folds import Result
from benchmarks.quality.methods import LEARNED
from models.policy import PolicyClass, Target

__all__ = ["Bar", "Comparison", "bars", "compare"]

STEADY_BAR, COUNT_BAR, ADMISSION_AIM = 0.01, 0.0001, 0.1


@dataclass(frozen=True)
class Bar:
    """One demand, and whether it is met; None where it cannot be said."""

    measure: str
    dataset: str
    target: str
    bar: str
    figure: str
    holds: bool | None


@dataclass(frozen=True)
class Comparison:
    """How the learner stands against the baselines on one dataset and target."""

    dataset: str
    target: Target
    beaten_by: tuple[str, ...] | None
    """Baselines that fit, are better in denials, admission or rules, and worse in none of the three; None where no
    inventory tells admissions apart."""
    better_in: Mapping[str, tuple[str, ...]]
    """For each baseline that fits, where it is better."""
    peer: str
    """The baseline that admits least among those that deny no more than the learner."""
    ratio: float | None
    """The learner's admission over that peer's; None without a peer or an inventory."""


def _three(result: Result) -> dict[str, int]:
    return {"denials": result.by_unit.all.denied, "admission": result.admitted.rights, "rules": result.rules}


def compare(results: Mapping[tuple[str, Target, str], Result], dataset: str, target: Target) -> Comparison | None:
    """The comparison; None where the learner has no policy."""
    ours = results.get((dataset, target, LEARNED))
    if ours is None or ours.refused:
        return None
    mine = _three(ours)
    fitting = [
        r
        for (d, t, m), r in results.items()
        if d == dataset and t == target and m != LEARNED and r.fits and not r.refused
    ]
    better = {r.method: tuple(n for n, v in _three(r).items() if v < mine[n]) for r in fitting}
    worse = {r.method: tuple(n for n, v in _three(r).items() if v > mine[n]) for r in fitting}
    equal = [r for r in fitting if r.by_unit.all.denied <= mine["denials"]]
    peer = min(equal, key=lambda r: (r.admitted.rights, r.method), default=None)
    ratio = None
    if peer is not None and ours.admitted.known:
        ratio = ours.admitted.rights / peer.admitted.rights if peer.admitted.rights else float(ours.admitted.rights > 0)
    return Comparison(
        dataset,
        target,
        tuple(m for m in better if better[m] and not worse[m]) if ours.admitted.known else None,
        better,
        peer.method if peer else "",
        ratio,
    )


def bars(results: Mapping[tuple[str, Target, str], Result]) -> list[Bar]:
    """Every bar that the folds decide."""
    found: list[Bar] = []
    for (dataset, target, method), result in results.items():
        if method != LEARNED:
            continue

        def add(
            measure: str, bar: str, figure: str, holds: bool | None, at: tuple[str, str] = (dataset, target)
        ) -> None:
            found.append(Bar(measure, *at, bar, figure, holds))

        if result.refused:
            add("a policy that fits", "fits, or the nearest that fits", result.refused, None)
            continue
        unit, existing = result.by_unit, result.admitted
        execs = unit.classes[str(PolicyClass.PROCESS)]
        steady, counted = unit.steady, unit.all
        add(
            "denials, steady",
            "≤ 1 %",
            f"{steady.denied} of {steady.of} ({steady.share:.2%})",
            steady.share <= STEADY_BAR if steady.of else None,
        )
        add("denials, exec", "0", f"{execs.denied} of {execs.of}", not execs.denied if execs.of else None)
        add(
            "denials, by count",
            "≤ 0.01 %",
            f"{counted.denied_count:,} of {counted.of_count:,} ({counted.share_count:.4%})",
            counted.share_count <= COUNT_BAR if counted.of_count else None,
        )
        inventory = existing.known
        add("executables admitted", "0", str(existing.executables), not existing.executables if inventory else None)
        add(
            "sensitive files admitted",
            "0",
            f"{len(existing.sensitive)} of {existing.files:,}" if inventory else "no inventory",
            not existing.sensitive if inventory else None,
        )
        comparison = compare(results, dataset, target)
        if comparison is not None and comparison.better_in:
            beaten = ", ".join(f"{m} ({', '.join(comparison.better_in[m])})" for m in comparison.beaten_by or ())
            add(
                "no baseline better",
                "none",
                beaten or ("none" if inventory else "no inventory"),
                not beaten if inventory else None,
            )
            if comparison.ratio is None:
                figure = "no inventory" if not inventory else "no baseline denies as little"
            else:
                figure = f"{comparison.ratio:.3f} of {comparison.peer}"
            aim = None if comparison.ratio is None else comparison.ratio <= ADMISSION_AIM
            add("files admitted, against the best baseline", "≤ 1/10 (aim)", figure, aim)
        add("fits the target", "yes", "yes" if result.fits else "no", result.fits)
    return found


def failed(found: Sequence[Bar]) -> list[Bar]:
    """Bars that are not met; an aim is none."""
    return [b for b in found if b.holds is False and "(aim)" not in b.bar]
