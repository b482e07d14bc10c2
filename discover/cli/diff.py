"""`discover diff`."""

from __future__ import annotations

import click

__all__ = ["command"]

_HELP = """Say what changed between two policies, or between two recordings.

Policies are compared by what their rules permit: /srv/ in place of /srv/a is wider, a readOnly that was dropped is
wider, a rule that another one has already is no change. The evidence beside the policies (NAME.evidence.json) says
because of what.

Recordings are compared by what a policy learned from one of them would deny of the other, so that random names are no
difference; --raw takes every name that only one of them has.

Exit status: 0 they permit or show the same, 1 they differ, 2 they cannot be compared.

\b
Examples:
  discover diff policies/web.yaml new/web.yaml
  discover diff policies/ new/ --json | jq 'select(.changes[].gives)'
  discover diff recordings/web-1.27 recordings/web-1.28
"""


@click.command("diff", help=_HELP)
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option("--raw", is_flag=True, help="Of recordings: every name that only one of them has.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Accesses a class; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a policy or workload.")
def command(old: str, new: str, raw: bool, limit: int, as_json: bool) -> None:
    """Compare; see `_HELP`."""
    import discover.diff as comparing  # noqa: PLC0415 - heavy
    from discover.tables import json_line  # noqa: PLC0415

    found = comparing.diff(old, new, raw=raw)
    if as_json:
        for one in found:
            click.echo(json_line(comparing.as_json(one)))
    else:
        for line in comparing.as_lines(found, limit):
            click.echo(line)
    if any(one.differs for one in found):
        click.get_current_context().exit(1)
