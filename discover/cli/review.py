"""`discover review`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("review", context_settings={"ignore_unknown_options": False})
@click.argument("datasets", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="DATASET...")
@click.option(
    "--policy", type=click.Path(path_type=Path, exists=True), help="The policy under review (default: learned)."
)
@click.option("--against", type=click.Path(path_type=Path, exists=True), help="The policy in force, to compare with.")
@click.option("--workload", help="Only this workload of the recordings.")
@click.option(
    "--decisions",
    type=click.Path(path_type=Path),
    help="Where decisions are read and written (default: discover.yaml beside the policy).",
)
@click.option(
    "--at-most",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.25,
    show_default=True,
    help="The chance of something new that still counts as complete.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The notebook (default: review.ipynb), or with --run a page.",
)
@click.option("--run", is_flag=True, help="Run it here, without Jupyter, and write it with its answers.")
@click.option(
    "--jupyter",
    "arguments",
    multiple=True,
    metavar="ARGUMENT",
    help="For JupyterLab, as --jupyter=--no-browser; repeatable.",
)
def command(
    datasets: tuple[Path, ...],
    policy: Path | None,
    against: Path | None,
    workload: str | None,
    decisions: Path | None,
    at_most: float,
    output: Path | None,
    run: bool,
    arguments: tuple[str, ...],
) -> None:
    """Open a recording and its policy in JupyterLab, where thresholds can be changed and decisions be written.

    Needs the extra `review`: pip install 'kubearmor-discover[review]'. For people without Jupyter: `discover report`.

    \b
    Examples:
      discover review recordings/web --policy web.yaml
      discover review recordings/web --jupyter=--no-browser
      discover review recordings/web --policy web.yaml --run -o review.html
    """  # noqa: D301 - click's own mark
    from discover.errors import UsageError  # noqa: PLC0415 - heavy
    from discover.notebook import execute, open_in_jupyter  # noqa: PLC0415

    places = [str(d.absolute()) for d in datasets]
    beside = policy.parent if policy else Path()
    parameters = {
        "dataset": places[0] if len(places) == 1 else places,
        "policy": str(policy.absolute()) if policy else None,
        "against": str(against.absolute()) if against else None,
        "workload": workload,
        "decisions": str((decisions or beside / "discover.yaml").absolute()),
        "at_most": at_most,
    }
    target = output or Path("review.ipynb")
    if run:
        execute(parameters, target)
        click.echo(f"wrote {target}", err=True)
        return
    if target.suffix != ".ipynb":
        raise UsageError(f"{target} is no notebook", "name one that ends in .ipynb, or add --run")
    click.get_current_context().exit(open_in_jupyter(parameters, target, arguments))
