"""The last run, as docs/quality.md has it: ``python -m benchmarks.quality --update docs/quality.md``."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.quality.folds import Result
from benchmarks.quality.report import bar_table, comparison_table, of, table
from benchmarks.quality.verdicts import Bar, Comparison
from models.policy import Target

__all__ = ["HEADING", "section", "updated"]

HEADING = "## The last run"
SHOWN = (Target.DISCOVER, Target.KUBEARMOR_BPFLSM)
"""The targets whose tables are shown: the other two come out as these do, to a few rules."""


def section(
    results: Mapping[tuple[str, Target, str], Result], compared: Sequence[Comparison], bars: Sequence[Bar]
) -> str:
    """Everything below the heading."""
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    parts = [HEADING, f"On {day}, {platform.machine()}, Linux {platform.release()}."]
    for target in SHOWN:
        if any(whose == target for _, whose, _ in results):
            parts += [f"### `{target}`", _methods(results, target)]
    parts += [
        "`nginx-shell` is one unit: nothing can be held out. Its start was not recorded, so the class of processes\n"
        "stays open, which is what *executables admitted* counts there. `another load` holds out all units that\n"
        "went through a kind of load; whatever names only it uses, nothing can foresee. *Readable* and *writable*\n"
        "are existing files that the recorded units did not use so.",
        "### Against the baselines",
        comparison_table(compared),
        "A ratio of 1.000 against a peer that admits two or three files is against files that were written and never\n"
        "read: nothing can admit a tenth of that.",
        "### Bars that are not met",
        bar_table([b for b in bars if b.holds is False]),
        f"{sum(b.holds is True for b in bars)} bars are met; {sum(b.holds is None for b in bars)} cannot be said "
        "(an idle unit has no steady phase).",
    ]
    return "\n\n".join(parts) + "\n"


def _methods(results: Mapping[tuple[str, Target, str], Result], target: Target) -> str:
    head = (
        *("dataset", "method", "denied, steady", "denied, all phases", "by count", "another load"),
        *("readable", "writable", "sensitive", "rules", "keys"),
    )
    rows = []
    for (dataset, whose, method), r in results.items():
        if whose != target:
            continue
        unit, stock = r.by_unit, r.admitted
        held = (of(unit.steady), of(unit.all), f"{unit.all.share_count:.4%}") if r.units else ("", "", "")
        load = of(r.by_load.all) if r.loads else ""
        existing = (f"{stock.reads:,}", f"{stock.writes:,}", len(stock.sensitive)) if stock.known else ("", "", "")
        keys = "" if r.keys is None else f"{r.keys}{'' if r.fits else ', does not fit'}"
        name = f"**{method}**" if method == "learned" else method
        whole = (dataset, name, *held, load, *existing, r.rules, keys)
        rows.append((dataset, name, r.refused, *[""] * 8) if r.refused else whole)
    return table(head, rows)


def updated(path: Path, text: str) -> None:
    """Put a section in the place of the one that the file has, or at its end."""
    whole = path.read_text()
    before, found, _ = whole.partition(f"\n{HEADING}\n")
    path.write_text((before if found else whole).rstrip() + "\n\n" + text)
