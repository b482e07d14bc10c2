"""How much of a workload has been seen: what one more unit is expected to show.

The sampling unit is a replica-run, never an event: what one run does depends on itself. Units are incidence samples
(which behaviours occurred, not how often), for which these hold:

- Good (1953), "The population frequencies of species and the estimation of population parameters", with the
  leave-one-out reading of Turing's estimate: the chance that one more unit shows anything new is estimated by the
  share of units that hold a behaviour which no other unit holds; the expected number of new behaviours by Q1 / n.
- Chao (1987), Chao and Jost (2012), "Coverage-based rarefaction and extrapolation": the number of behaviours never seen
  (Chao2, a lower bound) and the coverage deficit for incidence data.
- The jackknife over units (Efron and Stein, 1981) for the interval.
- A clean record of n units still leaves, with 95 % confidence, a chance up to 1 - 0.05^(1/n) (the exact binomial
  bound; the "rule of three" for large n). No interval here ends below it, nor, by symmetry, begins above 0.05^(1/n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.behaviour import Class

__all__ = [
    "KEY",
    "Estimate",
    "by_class",
    "clean_bound",
    "estimate",
    "estimate_blocks",
    "estimate_pairs",
    "incidence",
    "t975",
]

Indices = npt.NDArray[np.int64]

KEY = (
    "exe",
    "op",
    "access",
    "path",
    "path_raw",
    "script",
    "family",
    "type",
    "protocol",
    "address",
    "port",
    "capability",
)
"""What makes two behaviours of different units the same. The peer of an accept is a sample and left out."""


@dataclass(frozen=True)
class Estimate:
    """What has been seen, and what one more unit would show.

    `units` and `behaviours` were seen; `once` and `twice` of the behaviours in exactly one and two units (`twice` is
    None for time blocks, where it cannot be known). `new` is the chance that one more unit shows any new behaviour,
    within `low` and `high` (95 %); `new_count` the number expected, `deficit` the share of its behaviours (None where
    unknown); `unseen` a lower bound of all that was never seen; `clean` what even a record without surprise would
    leave open.
    """

    units: int
    behaviours: int
    once: int
    twice: int | None
    new: float
    low: float
    high: float
    new_count: float
    deficit: float | None
    unseen: float | None
    clean: float


def clean_bound(units: int, confidence: float = 0.95) -> float:
    """The chance of something new that `units` without surprise cannot exclude: 1 - (1 - confidence)^(1/units)."""
    return 1.0 if units < 1 else float(1 - (1 - confidence) ** (1 / units))


def estimate(matrix: npt.NDArray[np.bool_]) -> Estimate:
    """From an incidence matrix, units x behaviours. A behaviour that occurs in no unit counts for nothing."""
    unit, behaviour = np.nonzero(matrix)
    return estimate_pairs(unit.astype(np.int64), behaviour.astype(np.int64), matrix.shape[0])


def estimate_pairs(unit: Indices, behaviour: Indices, units: int) -> Estimate:
    """From the places of an incidence matrix that are set, each once: unit numbers below `units`, and behaviours."""
    seen_in = np.bincount(behaviour) if len(behaviour) else np.zeros(0, np.int64)
    once, twice = int((seen_in == 1).sum()), int((seen_in == 2).sum())
    total = len(behaviour)
    holds = np.zeros(units, bool)
    holds[unit[seen_in[behaviour] == 1]] = True
    new, low, high = _interval(holds, _pairs(unit, behaviour, seen_in, units))
    if units < 2:
        deficit, unseen = 1.0, math.inf
    else:
        unseen = (units - 1) / units * (once**2 / (2 * twice) if twice else once * (once - 1) / 2)
        if twice:
            factor = (units - 1) * once / ((units - 1) * once + 2 * twice)
        else:
            factor = (units - 1) * (once - 1) / ((units - 1) * (once - 1) + 2) if once else 0.0
        deficit = once / total * factor if total else 0.0
    return Estimate(
        units=units,
        behaviours=int((seen_in > 0).sum()),
        once=once,
        twice=twice,
        new=new,
        low=low,
        high=high,
        new_count=once / units if units else math.inf,
        deficit=deficit,
        unseen=unseen,
        clean=clean_bound(units),
    )


def _pairs(unit: Indices, behaviour: Indices, seen_in: Indices, units: int) -> npt.NDArray[np.bool_]:
    """Which two units share a behaviour that no third has: without one, the other holds it alone."""
    double = seen_in[behaviour] == 2 if len(behaviour) else np.zeros(0, bool)
    order = np.argsort(behaviour[double], kind="stable")
    owners = unit[double][order].reshape(-1, 2)
    shared = np.zeros((units, units), bool)
    shared[owners[:, 0], owners[:, 1]] = shared[owners[:, 1], owners[:, 0]] = True
    return shared


def _interval(holds: npt.NDArray[np.bool_], shared: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """The estimate and its 95 % jackknife interval, from who holds something alone with each one left out in turn."""
    n = len(holds)
    if n < 2:
        return 1.0, 0.0, 1.0
    alone = holds[None, :] | shared
    np.fill_diagonal(alone, False)
    without = alone.sum(axis=1) / (n - 1)
    new = float(holds.mean())
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    reach = t975(n - 1) * error
    clean = clean_bound(n)
    return new, max(0.0, min(new - reach, 1 - clean)), min(1.0, max(new + reach, clean))


def t975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: exact for 1 and 2, else Abramowitz and Stegun 26.7.5 (within 1 %)."""
    if freedom < 3:
        return (12.7062, 4.3027)[freedom - 1]
    z = 1.959964
    g1, g2 = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3


def estimate_blocks(first: npt.ArrayLike, last: npt.ArrayLike, start: float, end: float, blocks: int) -> Estimate:
    """From one unit cut into `blocks` of equal time: what one more such block would show.

    `first` and `last` are when each behaviour was first and last seen, in the unit of `start` and `end`. A behaviour
    whose first and last sight fall into one block occurred in that block alone; that is all the estimate needs, and all
    that a dataset of distinct behaviours knows. Give it the steady phase: a start is not a sample of what follows.
    """
    if blocks < 1 or not end > start:
        raise ValueError("blocks need a span of time")
    edges = (np.asarray([first, last], dtype=float) - start) / (end - start) * blocks
    place = np.clip(edges.astype(np.int64), 0, blocks - 1)
    alone = place[0] == place[1]
    holds = np.zeros(blocks, bool)
    holds[place[0][alone]] = True
    # which behaviours lie in just two blocks is unknown, so leaving one out frees none: the interval is the narrower
    new, low, high = _interval(holds, np.zeros((blocks, blocks), bool))
    once = int(alone.sum())
    return Estimate(
        units=blocks,
        behaviours=place.shape[1],
        once=once,
        twice=None,
        new=new,
        low=low,
        high=high,
        new_count=once / blocks,
        deficit=None,
        unseen=None,
        clean=clean_bound(blocks),
    )


def incidence(behaviours: pa.Table, units: Sequence[str], key: Sequence[str] = KEY) -> tuple[Indices, Indices]:
    """The pairs (number of the unit in `units`, number of the behaviour) that occurred, for `estimate_pairs`.

    `behaviours` has the columns of `models.behaviour.BEHAVIOURS`; rows of other units are left out. Attempts that
    failed are behaviours too.
    """
    number = {name: n for n, name in enumerate(units)}
    unit = _codes(behaviours["unit"], lambda names: [number.get(n, -1) for n in names])
    accepts = _codes(behaviours["op"], lambda names: [n == "accept" for n in names]).astype(bool)
    identity = np.zeros(behaviours.num_rows, np.int64)
    for name in key:
        codes = _codes(behaviours[name], lambda values: range(1, len(values) + 1))
        if name == "address":
            codes = np.where(accepts, 0, codes)
        # numbered anew after each column: the numbers stay below the rows' count, and nothing overflows
        identity = np.unique(identity * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1].astype(
            np.int64
        )
    kept = unit >= 0
    pairs = np.unique(np.stack([unit[kept], identity[kept]]), axis=1)
    return pairs[0], np.unique(pairs[1], return_inverse=True)[1].astype(np.int64)


def _codes(column: pa.ChunkedArray, told: Any) -> Indices:
    """A number for each value, as `told` numbers the distinct ones; 0 for null."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    whole = encoded.unify_dictionaries().combine_chunks()
    chunk = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    numbers = np.asarray([*told(chunk.dictionary.to_pylist()), 0], np.int64)
    codes: Indices = numbers[chunk.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False).astype(np.int64)]
    return codes


def by_class(behaviours: pa.Table, units: Sequence[str], key: Sequence[str] = KEY) -> dict[str, Estimate]:
    """An estimate for each class of behaviour; a class without behaviours has a clean record, which closes nothing."""
    classes = _codes(behaviours["class"], lambda names: [list(Class).index(Class(n)) for n in names])
    answer = {}
    for n, name in enumerate(Class):
        rows = behaviours.filter(pa.array(classes == n))
        answer[str(name)] = estimate_pairs(*incidence(rows, units, key), len(units))
    return answer
