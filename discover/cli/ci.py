"""`discover ci`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

_HELP = """Record a test run and compare it with the policy in the repository.

The run is a command (after --), a --container or a --pid; or one that was recorded before: --dataset. What it did and
the policy does not admit is told as the rules that would admit it, each with the accesses that it is for.

\b
Exit status: 0 nothing new, 1 something is new (or the command failed), 2 usage, 3 it could not be recorded.

\b
Examples:
  discover ci --policy policies/web.yaml -- ./run-tests.sh
  discover ci --policy policies/ --select app=web --container web --for 5m
  discover ci --policy policies/web.yaml --dataset recordings/web --format md >> "$GITHUB_STEP_SUMMARY"
"""


def _duration(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    from discover.record.options import duration  # noqa: PLC0415 - heavy

    try:
        return None if value is None else duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("ci", help=_HELP)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.option(
    "--policy", type=click.Path(path_type=Path), required=True, help="The policy: a file, or a folder of them."
)
@click.option("--dataset", type=click.Path(path_type=Path), help="A run that was recorded already.")
@click.option("--container", help="A running container by name or id.")
@click.option("--pid", type=int, help="A process and its descendants.")
@click.option("--for", "limit", callback=_duration, metavar="TIME", help="Stop after 90s, 30m, 1h30m.")
@click.option("--select", multiple=True, metavar="LABEL=VALUE|NAME", help="What the workload is, or which policy.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where the recording is kept (default: nowhere).")
@click.option(
    "--backend",
    type=click.Choice(["auto", "lsm", "fentry", "tracepoint", "bcc"]),
    default="auto",
    help="How to watch (default: the best that works here).",
)
@click.option("--strict", is_flag=True, help="Fail also where events were lost.")
@click.option(
    "--format", "form", type=click.Choice(("text", "md")), default="text", show_default=True, help="How to print it."
)
@click.option(
    "--summary", type=click.Path(path_type=Path), help="Append the Markdown there too ($GITHUB_STEP_SUMMARY)."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a workload.")
def command(**given: Any) -> None:
    """Compare a run; see `_HELP`."""
    import tempfile  # noqa: PLC0415 - heavy, all of it

    from discover import ci  # noqa: PLC0415
    from discover.errors import UsageError  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415

    runs = [n for n in ("dataset", "container", "pid") if given[n] is not None] + (
        ["a command"] if given["argv"] else []
    )
    if len(runs) != 1:
        raise UsageError(
            f"one run is needed, and {len(runs)} are given", "discover ci --policy web.yaml -- ./run-tests.sh"
        )
    if not given["policy"].exists():
        raise UsageError(f"{given['policy']} does not exist", "name the policy, or the folder that holds it")
    status = 0
    with tempfile.TemporaryDirectory(prefix="discover-ci-") as place:
        where = given["dataset"] or given["output"] or Path(place) / "recording"
        if not given["dataset"]:
            status = _record(given, where)
        results = ci.compare_run(open_dataset([where]), given["policy"], select=given["select"])
    markdown = ci.as_markdown(results)
    if given["summary"]:
        with given["summary"].open("a", encoding="utf-8") as file:
            file.write(markdown)
    if given["as_json"]:
        for result in results:
            click.echo(json_line(ci.as_json(result)))
    elif given["form"] == "md":
        click.echo(markdown, nl=False)
    else:
        for line in ci.as_lines(results):
            click.echo(line)
    if status:
        click.echo(f"error: the run itself failed with status {status}", err=True)
    if status or any(r.new or (given["strict"] and r.lost) for r in results):
        click.get_current_context().exit(1)


@contextmanager
def _said_apart() -> Iterator[None]:
    """What the run prints goes to standard error: on standard output stands the comparison alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _record(given: dict[str, Any], output: Path) -> int:
    """Record the run; the command's exit status."""
    from collectors.target import TargetSpec  # noqa: PLC0415 - heavy
    from discover.record import report  # noqa: PLC0415
    from discover.record.begin import record  # noqa: PLC0415
    from discover.record.options import RecordOptions  # noqa: PLC0415
    from discover.record.panel import Panel  # noqa: PLC0415

    spec = TargetSpec(command=given["argv"], container=given["container"], pid=given["pid"])
    # the file system is listed to price rules; here nobody merges one
    options = RecordOptions(spec, output, given["backend"], given["limit"], inventory=False, survive=False)
    with _said_apart(), Panel(quiet=not sys.stderr.isatty(), limit=given["limit"]) as panel:
        outcome = record(options, panel.show)
    for line in report.lines(outcome):
        if not line.startswith(("next", "not drilled")):  # what follows a run is its comparison
            click.echo(line, err=True)
    return 0 if outcome.stopped else outcome.exit_status or 0
