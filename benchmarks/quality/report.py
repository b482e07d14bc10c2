"""The tables, in Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.quality.folds import Result
from benchmarks.quality.judge import Tally
from benchmarks.quality.verdicts import Bar, Comparison
from models.policy import Target

__all__ = ["as_json", "bar_table", "comparison_table", "flat", "method_table", "table"]

NO_INVENTORY = "no inventory"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in lines)


def of(tally: Tally) -> str:
    """``x of y (z %)``."""
    return f"{tally.denied:,} of {tally.of:,} ({tally.share:.2%})"


def method_table(results: Mapping[tuple[str, Target, str], Result], target: Target) -> str:
    """One target: every dataset and method."""
    head = (
        "dataset",
        "method",
        "denied, steady",
        "denied, all phases",
        "exec",
        "by count",
        "another load",
        "existing files: read",
        "written",
        "of packages",
        "sensitive",
        "executables",
        "rules",
        "keys",
    )
    rows: list[list[object]] = []
    for (dataset, whose, method), r in results.items():
        if whose != target:
            continue
        if r.refused:
            rows.append([dataset, method, r.refused, *[""] * 11])
            continue
        a, unit = r.admitted, r.by_unit
        stock: list[object] = [NO_INVENTORY, "", "", "", ""]
        if a.known:
            packaged = f"{a.reads_packaged:,} + {a.writes_packaged:,}"
            stock = [f"{a.reads:,} of {a.files:,}", f"{a.writes:,}", packaged, len(a.sensitive), a.executables]
        execs = unit.classes["process"]
        keys = "" if r.keys is None else f"{r.keys}{'' if r.fits else ', does not fit'}"
        load = of(r.by_load.all) if r.loads else ""
        folds: list[object] = [of(unit.steady), of(unit.all), f"{execs.denied} of {execs.of}"] if r.units else [""] * 3
        count = f"{unit.all.share_count:.4%}" if r.units else ""
        rows.append([dataset, method, *folds, count, load, *stock, r.rules, keys])
    return table(head, rows)


def bar_table(bars: Sequence[Bar]) -> str:
    """Every bar with its figure."""
    words = {True: "yes", False: "**no**", None: "—"}
    rows = [(b.measure, b.dataset, b.target, b.bar, b.figure, words[b.holds]) for b in bars]
    return table(("measure", "dataset", "target", "bar", "figure", "met"), rows)


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """How the learner stands against the baselines that fit."""
    rows = []
    for c in comparisons:
        some = "; ".join(f"{m}: {', '.join(names)}" for m, names in c.better_in.items() if names)
        rows.append(
            (
                c.dataset,
                c.target,
                "—" if c.beaten_by is None else ", ".join(c.beaten_by) or "none",
                some or "nowhere",
                c.peer or "none",
                "—" if c.ratio is None else f"{c.ratio:.3f}",
            )
        )
    head = ("dataset", "target", "baseline better in one, worse in none", "better in some", "peer", "admission ratio")
    return table(head, rows)


def flat(results: Mapping[tuple[str, Target, str], Result]) -> list[dict[str, Any]]:
    """One flat row for each dataset, target and method: what ``pandas.DataFrame`` takes. None is not known."""
    rows = []
    for (dataset, target, method), r in results.items():
        unit, load, a = r.by_unit, r.by_load, r.admitted
        row: dict[str, Any] = {"dataset": dataset, "target": str(target), "method": method, "refused": r.refused}
        for name, tally in (
            ("steady", unit.steady),
            ("all", unit.all),
            *((f"class_{name}", tally) for name, tally in unit.classes.items()),
            ("load", load.all),
        ):
            row |= {f"{name}_denied": tally.denied, f"{name}_of": tally.of}
            row |= {f"{name}_denied_count": tally.denied_count, f"{name}_of_count": tally.of_count}
        stock = {
            "existing": a.files,
            "readable": a.reads,
            "writable": a.writes,
            "readable_packaged": a.reads_packaged,
            "writable_packaged": a.writes_packaged,
            "sensitive": len(a.sensitive),
            "executables": a.executables,
        }
        row |= stock if a.known and not r.refused else dict.fromkeys(stock)
        rows.append(row | {"rules": r.rules, "keys": r.keys, "fits": r.fits, "set_apart": len(r.outliers)})
    return rows


def as_json(results: Mapping[tuple[str, Target, str], Result]) -> list[dict[str, Any]]:
    """Every result as plain JSON types."""
    return [asdict(r) for r in results.values()]
