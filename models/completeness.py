"""How much of one workload has been seen, class by class, and whether that is enough: complete, incomplete or idle.

Two figures for each class, both over units (see `models.coverage` for why never over events):

- *raw*: distinct accesses. Random names (``/tmp/upload-ocikSO``) make it read as never-ending news.
- *learned*: each unit in turn is left out, a policy is learned from the others, and what that policy does not allow of
  the unit left out is its surprise. An access that another unit has too is no surprise, so only accesses of a single
  unit are judged, and a unit without any needs no learning. Its interval is Clopper and Pearson's (1934).

The verdict uses the learned figure where there is a learner, else the raw one. A class is complete when the upper end
of its interval is at most `AT_MOST`; the workload is complete when every class is, nothing was lost, every class was
watched and every must-see was met. It is idle when nobody used it (`models.idle`), whatever the figures say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from models.behaviour import Class
from models.coverage import Estimate, clean_bound, estimate_pairs, t975
from models.evidence import Evidence, Seen, accesses, of_units
from models.idle import Idleness, idleness
from models.policy import PolicyClass, Ruleset

__all__ = ["AT_MOST", "Assessment", "ClassCoverage", "LeftOut", "Verdict", "assess", "binomial", "rarefaction"]

AT_MOST = 0.25
"""The upper end of the chance that one more unit shows something new, up to which a class counts as complete: eleven
units without surprise have it, or twenty with one."""
_CLASSES = {
    PolicyClass.PROCESS: Class.EXEC,
    PolicyClass.FILE: Class.FILE,
    PolicyClass.NETWORK: Class.SOCKET,
    PolicyClass.CAPABILITIES: Class.CAPABILITY,
}
Learn = Callable[[Evidence], Ruleset]
"""What a policy learned from evidence decides (posture Block)."""


class Verdict(StrEnum):
    """Whether enough was seen."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a policy learned from the other units would deny of the unit left out.

    `new` is the share of `units` with any surprise, within `low` and `high` (95 %); `count` the number of accesses
    that surprised, over all units. `share` is the expected share of a unit's distinct accesses that surprises, within
    `share_low` and `share_high` (the jackknife over units, which for a mean is its standard error).
    """

    units: int
    surprised: int
    count: int
    new: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True, slots=True)
class ClassCoverage:
    """One class."""

    name: Class
    watched: bool
    raw: Estimate
    curve: tuple[float, ...]
    """Expected number of distinct accesses in 1, 2, … units."""
    learned: LeftOut | None = None

    @property
    def high(self) -> float:
        """The upper end that the verdict uses."""
        return self.learned.high if self.learned else self.raw.high

    @property
    def new(self) -> float:
        """The estimate that the verdict uses."""
        return self.learned.new if self.learned else self.raw.new


@dataclass(frozen=True)
class Assessment:
    """Everything about one workload."""

    evidence: Evidence = field(repr=False)
    units: tuple[str, ...]
    """The units that the figures are over: those that were used, or all if none was."""
    classes: tuple[ClassCoverage, ...]
    idleness: Idleness
    must_sees: tuple[tuple[str, bool | None], ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    """Why it is not complete, a sentence each."""
    news: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    """By unit: what surprised, or without a learner what no other unit has."""

    @property
    def clean(self) -> float:
        """The chance of something new that this many units without surprise leave."""
        return clean_bound(len(self.units))


def assess(
    evidence: Evidence,
    *,
    learn: Learn | None = None,
    must_sees: Sequence[tuple[str, bool | None]] = (),
    at_most: float = AT_MOST,
) -> Assessment:
    """Estimate and judge. `must_sees` are sentences with whether they were met (None: nobody can tell)."""
    seen = [s for s in accesses(evidence.behaviours) if s.access.policy_class is not None]
    signs = idleness(evidence, seen)
    unused = set() if signs.all_silent else set(signs.idle)
    units = tuple(u for u in evidence.units if u not in unused)
    singles = _singles(seen, units)
    news = singles if learn is None else _surprises(evidence, singles, units, learn)
    classes = tuple(_class(name, evidence, seen, units, news, learned=learn is not None) for name in Class)
    verdict, reasons = _judge(evidence, classes, signs, must_sees, at_most, len(units))
    return Assessment(evidence, units, classes, signs, tuple(must_sees), verdict, tuple(reasons), news)


def class_of(seen: Seen) -> Class | None:
    """The dataset's class of an access that some policy class judges."""
    policy_class = seen.access.policy_class
    return _CLASSES.get(policy_class) if policy_class else None


def _singles(seen: Iterable[Seen], units: Sequence[str]) -> dict[str, tuple[Seen, ...]]:
    """By unit, the accesses that no other unit has."""
    found: dict[str, list[Seen]] = {u: [] for u in units}
    for one in seen:
        if len(one.units) == 1:
            (unit,) = one.units
            if unit in found:
                found[unit].append(one)
    return {u: tuple(s) for u, s in found.items()}


def _surprises(
    evidence: Evidence, singles: Mapping[str, tuple[Seen, ...]], units: Sequence[str], learn: Learn
) -> dict[str, tuple[Seen, ...]]:
    """By unit, what a policy learned from all other units does not allow."""
    answer: dict[str, tuple[Seen, ...]] = {}
    for unit in units:
        alone = singles[unit]
        if not alone or len(units) < 2:
            answer[unit] = alone
            continue
        others = tuple(u for u in evidence.units if u != unit)
        part = replace(evidence, behaviours=of_units(evidence.behaviours, others), units=others)
        ruleset = learn(part)
        answer[unit] = tuple(s for s in alone if not ruleset.decide(s.access).allowed)
    return answer


def _class(
    name: Class,
    evidence: Evidence,
    seen: Sequence[Seen],
    units: Sequence[str],
    news: Mapping[str, tuple[Seen, ...]],
    *,
    learned: bool,
) -> ClassCoverage:
    number = {u: n for n, u in enumerate(units)}
    mine = [s for s in seen if class_of(s) is name and not number.keys().isdisjoint(s.units)]
    pairs = [(number[u], n) for n, s in enumerate(mine) for u in sorted(s.units) if u in number]
    matrix = np.asarray(pairs, np.int64).reshape(-1, 2)
    raw = estimate_pairs(matrix[:, 0], matrix[:, 1], len(units))
    counts = [sum(u in number for u in s.units) for s in mine]
    left_out = None
    if learned:
        per_unit = [sum(class_of(s) is name for s in news[u]) for u in units]
        left_out = _left_out(per_unit, np.bincount(matrix[:, 0], minlength=len(units)))
    watched = evidence.watched.get(str(name)) == "watched"
    return ClassCoverage(name, watched, raw, rarefaction(counts, len(units)), left_out)


def _left_out(surprises: Sequence[int], accesses_of: npt.NDArray[np.int64]) -> LeftOut:
    n = len(surprises)
    surprised = sum(k > 0 for k in surprises)
    if n < 2:
        return LeftOut(n, surprised, sum(surprises), 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
    low, high = binomial(surprised, n)
    shares = np.asarray(surprises) / np.maximum(accesses_of, 1)
    share = float(shares.mean())
    reach = t975(n - 1) * float(shares.std(ddof=1)) / math.sqrt(n)
    return LeftOut(
        n, surprised, sum(surprises), surprised / n, low, high, share, max(0.0, share - reach), min(1.0, share + reach)
    )


def _judge(
    evidence: Evidence,
    classes: Sequence[ClassCoverage],
    signs: Idleness,
    must_sees: Sequence[tuple[str, bool | None]],
    at_most: float,
    units: int,
) -> tuple[Verdict, list[str]]:
    reasons = []
    idle = False
    if signs.all_silent:
        idle = True
        names = ", ".join(signs.listeners)
        reasons.append(f"it listened on {names} and nobody connected: an idle workload shows little")
    elif not signs.listening and not signs.later and signs.unexercised:
        idle = True
        reasons.append(f"nothing happened after start-up, and none of its {signs.own_files:,} own files was used then")
    unmet = [name for name, met in must_sees if met is False]
    if must_sees and len(unmet) == len(must_sees):
        idle = True
    reasons += [f"not seen: {name}" for name in unmet]
    reasons += [f"nobody can tell whether it was seen: {name}" for name, met in must_sees if met is None]
    for one in classes:
        if not one.watched:
            reasons.append(f"{one.name} was not watched: nothing follows from what is missing there")
    for cause, count in sorted(evidence.lost.items()):
        if count:
            reasons.append(f"{count:,} events were lost ({cause})")
    if units < 2:
        reasons.append("one unit says nothing of the next")
    else:
        for one in classes:
            if one.watched and one.high > at_most:
                reasons.append(f"{one.name}: one more unit may show something new with a chance up to {one.high:.0%}")
    if idle:
        return Verdict.IDLE, reasons
    return (Verdict.INCOMPLETE if reasons else Verdict.COMPLETE), reasons


# -- estimates that `models.coverage` does not have ------------------------------------------------------------------


def rarefaction(counts: Sequence[int], units: int) -> tuple[float, ...]:
    """Return the expected number of distinct behaviours in 1, 2, … `units` units drawn from those that were recorded.

    `counts` says in how many units each behaviour occurred. Exact, by the hypergeometric formula for incidence data
    (Chao et al. 2014, "Rarefaction and extrapolation with Hill numbers", equation 4): a behaviour of q units is missed
    by k of n with the chance C(n-q, k) / C(n, k).
    """
    kinds, times = np.unique(np.asarray([c for c in counts if c], np.int64), return_counts=True)
    missed = np.ones(len(kinds))
    curve = []
    for k in range(units):
        missed = missed * np.maximum(units - kinds - k, 0) / (units - k)
        curve.append(float(((1 - missed) * times).sum()))
    return tuple(curve)


def binomial(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934), by bisection of the binomial distribution.

    Without a hit there is no lower side, and the whole doubt is above: the clean bound; likewise where all hit.
    """
    if trials < 1:
        return 0.0, 1.0
    if hits == 0:
        return 0.0, clean_bound(trials, confidence)
    if hits == trials:
        return 1 - clean_bound(trials, confidence), 1.0
    tail = (1 - confidence) / 2

    def at_least(p: float, k: int) -> float:
        """The chance of `k` hits or more."""
        return math.fsum(math.comb(trials, j) * p**j * (1 - p) ** (trials - j) for j in range(k, trials + 1))

    def solve(below: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) else (low, middle)
        return (low + high) / 2

    return solve(lambda p: at_least(p, hits) < tail), solve(lambda p: 1 - at_least(p, hits + 1) > tail)
