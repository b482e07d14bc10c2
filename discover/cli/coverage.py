"""`discover coverage`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

_HELP = """Say how much of a workload has been seen, class by class, and whether that is enough.

For each class of behaviour: the chance that one more unit (one more start of the workload) shows something new, with
its 95 % interval. "New" is what a policy learned from the other units would deny; beside it stands the raw figure, in
which random names read as never-ending news.

\b
The verdict is one of
  complete    every class was watched, nothing was lost, and each interval ends at or below --at-most
  incomplete  something of that is missing; the report says what would raise it most
  idle        nobody used the workload: it listened and no client came, or none of its own files was used

Exit status: 0 every workload is complete, 1 one is not.

\b
Examples:
  discover coverage recordings/web
  discover coverage recordings/ --at-most 0.1
  discover coverage recordings/web --decisions policies/discover.yaml
  discover coverage recordings/web --json | jq '.classes.file.curve'
"""


@click.command("coverage", help=_HELP)
@click.argument("dataset", nargs=-1, required=True, type=click.Path())
@click.option(
    "--at-most",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.25,
    show_default=True,
    help="The chance of something new, by the upper end of its interval, that still counts as complete.",
)
@click.option("--decisions", type=click.Path(path_type=Path), help="discover.yaml, for what must have been seen.")
@click.option("--raw", is_flag=True, help="Judge by distinct accesses, without a learner (quick).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a workload, with every number and curve.")
def command(dataset: tuple[str, ...], at_most: float, decisions: Path | None, raw: bool, as_json: bool) -> None:
    """Assess; see `_HELP`."""
    import discover.coverage as covered  # noqa: PLC0415 - heavy
    from discover.decisions import read_decisions  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415
    from models.completeness import Verdict  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415

    learn = None if raw else covered.learner()
    decided = read_decisions(decisions) if decisions else None
    found = covered.run(open_dataset(dataset), learn=learn, decisions=decided, at_most=at_most)
    if as_json:
        for one in found:
            click.echo(json_line(covered.as_json(one)))
    else:
        for line in covered.as_lines(found):
            click.echo(line)
    if any(one.verdict is not Verdict.COMPLETE for one in found):
        click.get_current_context().exit(1)
