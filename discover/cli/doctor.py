"""`discover doctor`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from discover.text import printable

if TYPE_CHECKING:
    from discover.doctor.facts import Facts

__all__ = ["command"]

_HELP = """Say what this host can do: record, enforce, and why not.

Everything that can be tried is tried on the running kernel and undone at once; nothing that could refuse an access is
attached. Needs root to try.

\b
Each line begins with ok, part (some of it), no, or ? (could not be found out).
Exit status: 0 this host can record, 3 it cannot.

\b
Examples:
  sudo discover doctor
  sudo discover doctor --full
  sudo discover doctor --json | jq .enforcement
"""

_COLOURS = {"ok": "green", "part": "yellow", "no": "red", "?": "yellow"}


@click.command("doctor", help=_HELP)
@click.option("--full", is_flag=True, help="Every trial with the kernel's answer, and what is missing for enforcement.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON on standard output.")
def command(full: bool, as_json: bool) -> None:
    """Examine; see `_HELP`."""
    from discover.doctor import report  # noqa: PLC0415 - heavy
    from discover.doctor.facts import gather  # noqa: PLC0415

    facts = gather(full=full or as_json)
    if as_json:
        click.echo(json.dumps(report.as_json(facts), indent=2))
    else:
        _print(facts, full=full)
    if not facts.can_record:
        click.echo(
            "error: this host cannot record" if facts.root else "error: without root nothing was tried", err=True
        )
        click.echo(f"hint: {printable(report.hint(facts))}", err=True)
        click.get_current_context().exit(3)


def _print(facts: Facts, *, full: bool) -> None:
    from discover.doctor import report  # noqa: PLC0415 - heavy

    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def paint(text: str, **style: object) -> str:
        return click.style(text, **style) if coloured else text  # type: ignore[arg-type]

    for line in report.lines(facts):
        state = paint(f"{line.state:4}", fg=_COLOURS.get(line.state), bold=True)
        click.echo(f"{state}  {paint(f'{line.label:13}', bold=True)}  {printable(line.text)}")
    if not full:
        return
    for title, rows in report.more(facts):
        click.echo(f"\n{paint(printable(title), bold=True)}")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            click.echo(f"  {printable(name):{width}}  {printable(text)}")
        if not rows:
            click.echo("  none")
