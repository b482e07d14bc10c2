"""Learning on some units and judging on the others, over every fold of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from benchmarks.quality.judge import DIALECTS, Denials, compiled, judge
from benchmarks.quality.material import Material, dataset_material
from benchmarks.quality.methods import LEARNED, Made, make, size
from benchmarks.quality.stock import Admitted, Stock, admitted
from models.policy import LIMITS, Target

__all__ = ["Fold", "Result", "folds", "run"]

UNIT, LOAD, WHOLE = "unit", "load", "whole"
QUICK_STEP = 4


@dataclass(frozen=True)
class Fold:
    """Which units a policy is learned from, and which it is judged by. `whole`: learned from all of them."""

    dataset: str
    kind: str
    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    stock: str = ""
    """Whose inventory it takes if it has none."""


@dataclass
class Result:
    """What one method came to on one dataset for one target."""

    dataset: str
    target: Target
    method: str
    by_unit: Denials = field(default_factory=Denials)
    units: int = 0
    by_load: Denials = field(default_factory=Denials)
    loads: int = 0
    rules: int = 0
    keys: int | None = None
    fits: bool = True
    refused: str = ""
    outliers: list[str] = field(default_factory=list)
    admitted: Admitted = field(default_factory=Admitted)


def folds(dataset: str, *, quick: bool = False, stock: str = "") -> list[Fold]:
    """Every fold of a dataset: all units at once, each unit held out, each kind of load held out."""
    material, loads = dataset_material(dataset, stock)
    units = material.evidence.units
    found = [Fold(dataset, WHOLE, "", units, ())]
    if len(units) > 1:
        for unit in units[:: QUICK_STEP if quick else 1]:
            found.append(Fold(dataset, UNIT, unit, tuple(u for u in units if u != unit), (unit,)))
    for load in sorted({kind for kinds in loads.values() for kind in kinds}):
        test = tuple(u for u in units if load in loads.get(u, ()))
        train = tuple(u for u in units if u not in test)
        if train and test and not quick:
            found.append(Fold(dataset, LOAD, load, train, test))
    return [replace(fold, stock=stock) for fold in found]


def run(tasks: Sequence[Fold], methods: Sequence[str], targets: Sequence[Target], jobs: int) -> Iterator[list[Result]]:
    """The results of each fold, in the order of the folds."""
    arguments = [(task, tuple(methods), tuple(targets)) for task in tasks]
    if jobs <= 1:
        yield from map(_fold, arguments)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_fold, arguments)


@lru_cache(maxsize=8)
def _stock(dataset: str, stock: str) -> Stock:
    return Stock(dataset_material(dataset, stock)[0].evidence.inventory)


@lru_cache(maxsize=64)
def _unit(dataset: str, unit: str) -> Material:
    return dataset_material(dataset)[0].of([unit])


def _fold(arguments: tuple[Fold, tuple[str, ...], tuple[Target, ...]]) -> list[Result]:
    fold, methods, targets = arguments
    whole = dataset_material(fold.dataset, fold.stock)[0]
    material = whole if fold.kind == WHOLE else whole.of(fold.train)
    known: dict[Any, tuple[Made, Any]] = {}
    results = []
    for target in targets:
        for method in methods:
            # a baseline asks about patterns alone, so targets that have them share its policy, and those of one dialect
            # its verdicts
            key = (method, target if method == LEARNED else (DIALECTS[target], LIMITS[target].patterns))
            if key not in known:
                made = make(method, material, target)
                known[key] = made, None if made.refused else _judged(fold, made, target, material)
            made, judged = known[key]
            result = Result(fold.dataset, target, method, refused=made.refused, outliers=list(made.outliers))
            if not made.refused:
                _fill(result, fold, made, judged)
            results.append(result)
    return results


def _judged(fold: Fold, made: Made, target: Target, material: Material) -> Any:
    if fold.kind == WHOLE:
        return admitted(made.spec, target, _stock(fold.dataset, fold.stock), material)
    ruleset, found = compiled(made.spec, target), Denials()
    for unit in fold.test:
        found += judge(ruleset, _unit(fold.dataset, unit).seen)
    return found


def _fill(result: Result, fold: Fold, made: Made, judged: Any) -> None:
    if fold.kind == WHOLE:
        measured = size(made.spec, result.target)
        result.rules, result.keys, result.fits = measured.rules, measured.keys, measured.fits
        result.admitted = judged
    elif fold.kind == UNIT:
        # a copy: targets share verdicts, and are added up apart
        result.by_unit, result.units = Denials() + judged, 1
    else:
        result.by_load, result.loads = Denials() + judged, 1


def merged(results: Iterator[list[Result]]) -> dict[tuple[str, Target, str], Result]:
    """One result for each dataset, target and method."""
    found: dict[tuple[str, Target, str], Result] = {}
    for fold in results:
        for one in fold:
            key = (one.dataset, one.target, one.method)
            if key not in found:
                found[key] = one
                continue
            known = found[key]
            known.by_unit += one.by_unit
            known.by_load += one.by_load
            known.units += one.units
            known.loads += one.loads
            known.refused = known.refused or one.refused
            known.outliers = sorted({*known.outliers, *one.outliers})
    return found
