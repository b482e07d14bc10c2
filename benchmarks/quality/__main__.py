"""Measures how well policies are learned; see docs/quality.md.

    python -m benchmarks.quality                      everything but the scale
    python -m benchmarks.quality --quick              every fourth unit, no loads, nothing synthetic: a minute
    python -m benchmarks.quality --only poisoned --only slots
    python -m benchmarks.quality --dataset nginx --target discover --method learned --verbose
    python -m benchmarks.quality --json > quality.json   # pandas.DataFrame(json.load(f)["table"])
    python -m benchmarks.quality --scale              20 M rows, 300 workloads, against DuckDB's group-by

Tables go to standard output, progress to standard error. Exit codes: 0 every bar is met, 1 one is not, 2 usage,
3 a dataset cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.quality import document, report, verdicts
from benchmarks.quality.folds import Fold, Result, folds, merged, run
from benchmarks.quality.material import DATASETS
from benchmarks.quality.methods import METHODS
from benchmarks.quality.scale.measure import measure
from benchmarks.quality.scale.recording import WORKLOADS
from benchmarks.quality.synthetic import MEASURES
from models.dataset import DatasetError
from models.policy import Target

APART = ("nginx-idle", "nginx-shell")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--dataset", action="append", choices=(*DATASETS, *APART), help="only this one; repeatable")
    made.add_argument("--target", action="append", choices=[str(t) for t in Target], help="only this one; repeatable")
    made.add_argument("--method", action="append", choices=METHODS, help="only this one; repeatable")
    made.add_argument("--quick", action="store_true", help="every fourth unit held out, and no loads")
    made.add_argument("--json", action="store_true", help="everything as JSON")
    made.add_argument("--only", action="append", choices=("folds", *MEASURES), help="only this measure; repeatable")
    made.add_argument("--scale", action="store_true", help="20 M rows of 300 workloads instead: minutes, 1 GB of disk")
    made.add_argument("--workloads", type=int, default=WORKLOADS, help="of --scale (default %(default)s)")
    made.add_argument("--scratch", type=Path, help="where --scale writes (default: the temporary directory)")
    made.add_argument("--update", type=Path, metavar="FILE", help="also write this run into docs/quality.md")
    made.add_argument("--verbose", action="store_true", help="also some of what was denied and admitted")
    made.add_argument(
        "--stock", default="", metavar="DATASET", help="a dataset without an inventory takes this one's (same machine)"
    )
    made.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    return made


def progress(results: Iterator[list[Result]], tasks: Sequence[Fold]) -> Iterator[list[Result]]:
    """Pass results on, and say which fold is done."""
    began = time.monotonic()
    for number, (task, found) in enumerate(zip(tasks, results, strict=True), 1):
        what = {"whole": "all units", "unit": f"without {task.name}", "load": f"without load {task.name}"}[task.kind]
        line = f"{number}/{len(tasks)} {task.dataset}: {what} ({time.monotonic() - began:.0f} s)"
        print(
            f"\r{line:<78}" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n", file=sys.stderr
        )
        yield found
    if sys.stderr.isatty():
        print(file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; see the module's text."""
    options = parser().parse_args(arguments)
    if options.scale:
        return scaled(options)
    methods = options.method or list(METHODS)
    targets = [Target(t) for t in options.target or Target]
    narrowed = options.dataset or options.target or options.method or options.quick
    wanted = options.only or (["folds"] if narrowed else ["folds", *MEASURES])
    try:
        names = (options.dataset or (*DATASETS, *APART)) if "folds" in wanted else ()
        tasks = [f for name in names for f in folds(name, quick=options.quick, stock=options.stock)]
    except DatasetError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 3
    results = merged(progress(run(tasks, methods, targets, options.jobs), tasks))
    found = verdicts.bars(results)
    for name in wanted:
        if name in MEASURES:
            print(f"measure: {name}", file=sys.stderr)
            found += MEASURES[name]()
    names = sorted({d for d, _, _ in results}, key=[*DATASETS, *APART].index)
    compared = [c for t in targets for n in names if (c := verdicts.compare(results, n, t)) is not None]
    if options.update:
        document.updated(options.update, document.section(results, compared, found))
    if options.json:
        whole: dict[str, object] = {"table": report.flat(results), "bars": [vars(b) for b in found]}
        whole["results"] = report.as_json(results)
        whole["comparisons"] = [vars(c) for c in compared]
        json.dump(whole, sys.stdout, indent=1, default=str)
        print()
    else:
        text(results, targets, found, compared, verbose=options.verbose)
    return 1 if verdicts.failed(found) else 0


def scaled(options: argparse.Namespace) -> int:
    """The measure of scale, by itself."""
    if options.workloads < 4:
        print("error: --workloads takes at least 4: a quarter of them is measured too", file=sys.stderr)
        return 2
    scratch = options.scratch or Path(tempfile.gettempdir())
    points, found = measure(scratch, options.workloads, lambda line: print(line, file=sys.stderr))
    if options.json:
        json.dump({"points": [vars(p) for p in points], "bars": [vars(b) for b in found]}, sys.stdout, indent=1)
        print()
    else:
        print(f"## Scale\n\n{report.bar_table(found)}")
    return 1 if verdicts.failed(found) else 0


def text(
    results: dict[tuple[str, Target, str], Result],
    targets: Sequence[Target],
    found: Sequence[verdicts.Bar],
    compared: Sequence[verdicts.Comparison],
    *,
    verbose: bool,
) -> None:
    """Print the tables."""
    for target in targets if results else ():
        print(f"## {target}\n\n{report.method_table(results, target)}\n")
    if compared:
        print(f"## Against the baselines\n\n{report.comparison_table(compared)}\n")
    if found:
        print(f"## Bars\n\n{report.bar_table(found)}\n")
    if verbose:
        for (dataset, target, method), r in results.items():
            print(f"### {dataset}, {target}, {method}\n")
            for title, lines in (
                ("denied", r.by_unit.examples[:20]),
                ("denied under another load", r.by_load.examples[:20]),
                ("admitted", r.admitted.examples),
                ("sensitive", r.admitted.sensitive[:20]),
                ("set apart", r.outliers),
            ):
                for line in lines:
                    print(f"- {title}: `{line}`")
            print()


if __name__ == "__main__":
    sys.exit(main())
