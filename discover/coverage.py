"""How much has been seen of each workload, told for people and as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from discover.decisions import Decisions
from discover.text import printable
from discover.words import aligned, listed, many, percent, share
from models.advice import advise, tags_of
from models.completeness import AT_MOST, Assessment, ClassCoverage, Learn, Verdict, assess
from models.coverage import Estimate, estimate_blocks
from models.dataset import Dataset
from models.evidence import Evidence, accesses, gather
from models.policy import Dialect, KubeArmorPolicy, Metadata, Posture, Ruleset, compile  # noqa: A004

__all__ = ["Coverage", "as_json", "as_lines", "coverage", "run", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_BLOCKS = 10
_TITLES = {
    True: ["class", "share denied", "chance of any", "units", "raw chance of any", "accesses", "seen in 1 … n units"],
    False: ["class", "share new", "chance of any", "in one unit alone", "accesses", "seen in 1 … n units"],
}


@dataclass(frozen=True)
class Coverage:
    """One workload's assessment, with what would raise it."""

    assessment: Assessment
    advice: tuple[str, ...]
    blocks: Estimate | None
    """Of a single unit with a steady phase: what one more tenth of that phase would show."""
    with_learner: bool

    @property
    def verdict(self) -> Verdict:
        """Complete, incomplete or idle."""
        return self.assessment.verdict


def learner() -> Learn | None:
    """What a policy learned from evidence decides; None where there is no learner."""
    try:
        from models.learn import learn  # type: ignore[attr-defined,unused-ignore]  # noqa: PLC0415
    except ImportError:
        return None

    def decide(evidence: Evidence) -> Ruleset:
        learned = learn(evidence)
        policy = KubeArmorPolicy(metadata=Metadata(name="learned"), spec=learned.spec)
        return compile([policy], Posture.all("block"), Dialect.DISCOVER)

    return decide


def coverage(
    evidence: Evidence,
    *,
    learn: Learn | None = None,
    units: Iterable[dict[str, Any]] = (),
    must_sees: Sequence[tuple[str, bool | None]] = (),
    at_most: float = AT_MOST,
) -> Coverage:
    """Assess one workload. `units` are its UNITS rows: their notes and drills say what would raise the figure."""
    rows = list(units)
    assessment = assess(evidence, learn=learn, must_sees=must_sees, at_most=at_most)
    advice = tuple(advise(assessment, rows, at_most))
    return Coverage(assessment, advice, _blocks(evidence, rows), learn is not None)


def run(
    dataset: Dataset,
    *,
    learn: Learn | None = None,
    decisions: Decisions | None = None,
    at_most: float = AT_MOST,
) -> list[Coverage]:
    """Assess every workload of a dataset. `decisions` say what must have been seen."""
    rows = dataset.units().to_pylist(maps_as_pydicts="lossy")
    answer = []
    for evidence in gather(dataset):
        mine = [r for r in rows if r["unit"] in set(evidence.units)]
        must_sees = must_sees_of(decisions, evidence, mine)
        answer.append(coverage(evidence, learn=learn, units=mine, must_sees=must_sees, at_most=at_most))
    return answer


def must_sees_of(
    decisions: Decisions | None, evidence: Evidence, rows: Iterable[dict[str, Any]]
) -> list[tuple[str, bool | None]]:
    """What people decided must be seen, and whether it was."""
    if decisions is None:
        return []
    drills = {t.removeprefix("drill: ").split("=")[0] for r in rows for t in tags_of(r) if t.startswith("drill: ")}
    return [(m.text, m.met) for m in decisions.must_sees(evidence, drills)]


def _blocks(evidence: Evidence, rows: list[dict[str, Any]]) -> Estimate | None:
    if len(evidence.units) != 1 or not rows or not rows[0]["ready"] or not rows[0]["ended"]:
        return None
    seen = [s for s in accesses(evidence.behaviours) if s.phases == {"steady"}]
    start, end = rows[0]["ready"].timestamp(), rows[0]["ended"].timestamp()
    if not seen or end <= start:
        return None
    first, last = [s.first.timestamp() for s in seen], [s.last.timestamp() for s in seen]
    return estimate_blocks(first, last, start, end, _BLOCKS)


def sparkline(curve: Sequence[float], width: int = 20) -> str:
    """A curve as a line of bars from 0 to its highest value, at most `width` of them."""
    if not curve:
        return ""
    step = max(1, math.ceil(len(curve) / width))
    points = list(curve[step - 1 :: step])
    top = max(points) or 1
    return "".join(_BARS[min(len(_BARS) - 1, int(p / top * len(_BARS)))] if p else _BARS[0] for p in points)


# -- for programs ----------------------------------------------------------------------------------------------------


def as_json(covered: Coverage) -> dict[str, Any]:
    """All of it as plain values; what is infinite (nothing can be said) is null."""
    assessment = covered.assessment
    signs = assessment.idleness
    return {
        "workload": str(assessment.evidence.workload),
        "verdict": str(assessment.verdict),
        "reasons": list(assessment.reasons),
        "advice": list(covered.advice),
        "units": list(assessment.evidence.units),
        "units_used": list(assessment.units),
        "units_idle": list(signs.idle),
        "clean_bound": assessment.clean,
        "with_learner": covered.with_learner,
        "classes": {str(c.name): _class_json(c) for c in assessment.classes},
        "listeners": list(signs.listeners),
        "silent": list(signs.silent),
        "own_files": signs.own_files,
        "own_files_used": signs.used_files,
        "own_files_used_after_start_up": signs.used_later,
        "must_sees": [{"name": n, "met": m} for n, m in assessment.must_sees],
        "lost": dict(assessment.evidence.lost),
        "surprises": {
            u: [{"op": str(s.access.op), "path": s.access.path, "by": s.access.source} for s in news]
            for u, news in assessment.news.items()
            if news
        },
        "blocks": _estimate_json(covered.blocks) if covered.blocks else None,
    }


def _class_json(one: ClassCoverage) -> dict[str, Any]:
    return {
        "watched": one.watched,
        "accesses": one.raw.behaviours,
        "learned": asdict(one.learned) if one.learned else None,
        "raw": _estimate_json(one.raw),
        "curve": list(one.curve),
    }


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in asdict(estimate).items()}


# -- for people ------------------------------------------------------------------------------------------------------


def as_lines(found: Iterable[Coverage]) -> Iterator[str]:
    """The report, a line each; nothing that a terminal would obey."""
    for n, covered in enumerate(found):
        if n:
            yield ""
        for line in _lines(covered):
            yield printable(line)


def _lines(covered: Coverage) -> Iterator[str]:
    assessment = covered.assessment
    signs = assessment.idleness
    total = len(assessment.evidence.units)
    yield f"{assessment.evidence.workload}: {str(assessment.verdict).upper()}"
    used = f", {share(len(assessment.units), total)} were used" if len(assessment.units) != total else ""
    yield f"  {many(total, 'unit')} recorded{used}"
    if signs.listening:
        answered = len(signs.listening) - len(signs.idle)
        yield (
            f"  listened on {listed(signs.listeners)}; {share(answered, len(signs.listening))} units were connected to"
        )
    if signs.own_files is not None:
        yield (
            f"  used {share(signs.used_files, signs.own_files)} files of its own, "
            f"{signs.used_later:,} of them after start-up"
        )
    yield "  what one more unit is expected to show:"
    yield from aligned([_TITLES[covered.with_learner], *(_row(c) for c in assessment.classes)], "    ")
    if not covered.with_learner:
        yield "    (no learner: a random name counts as something new each time)"
    if covered.blocks is not None:
        yield f"  in its one unit, a tenth more time shows something new with a chance of {_interval(covered.blocks)}"
    for reason in assessment.reasons:
        yield f"  why not complete: {reason}"
    for advice in covered.advice:
        yield f"  to raise it: {advice}"


def _interval(estimate: Estimate) -> str:
    return f"{percent(estimate.new)} ({percent(estimate.low)} to {percent(estimate.high)})"


def _row(one: ClassCoverage) -> list[str]:
    raw, left = one.raw, one.learned
    curve = sparkline(one.curve)
    if not one.watched:
        cells = ["UNWATCHED"]
    elif raw.units < 2:
        cells = ["unknown"]
    elif left is not None:
        shares = f"{percent(left.share)} ({percent(left.share_low)} to {percent(left.share_high)})"
        chance = f"{percent(left.new)} ({percent(left.low)} to {percent(left.high)})"
        cells = [shares, chance, share(left.surprised, left.units)]
    else:
        cells = [percent(raw.deficit or 0), _interval(raw), f"{raw.once:,}"]
    cells += ["-"] * (3 - len(cells))
    return [str(one.name), *cells, *([_interval(raw)] if left is not None else []), f"{raw.behaviours:,}", curve]
