"""`discover explain`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

_HELP = """Say why a rule is there: what was seen, how often, in how many units, by whom, and what else it admits.

RULE is a field path (spec.file.matchPaths[3], or spec.file for all of it), a rule's value (/etc/nginx/, tcp), or the
path of an access (/etc/passwd), which stands for the rules that decide about reading, writing and executing it.
Without RULE there is a line for each rule.

The evidence is read from the file beside the policy (NAME.evidence.json, written by `discover generate`); with
--dataset it is computed from recordings, for a policy of any origin.

\b
Exit status: 0, 1 if nothing recorded speaks for one of the rules, 2 if there is no such rule or nothing to read.

\b
Examples:
  discover explain policy.yaml
  discover explain policy.yaml 'spec.file.matchDirectories[0]'
  discover explain policy.yaml /etc/passwd --dataset recordings/web
  discover explain policy.yaml --json | jq 'select(.evidence.admits.existing > 0)'
"""


@click.command("explain", help=_HELP)
@click.argument("policy", type=click.Path(path_type=Path))
@click.argument("rule", default="")
@click.option("--dataset", "-d", multiple=True, type=click.Path(), help="A recording, or a folder of them; repeatable.")
@click.option(
    "--select", multiple=True, metavar="LABEL=VALUE|NAME", help="The workload's label, or a policy's name; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a rule.")
def command(policy: Path, rule: str, dataset: tuple[str, ...], select: tuple[str, ...], as_json: bool) -> None:
    """Explain; see `_HELP`."""
    import discover.explain as explaining  # noqa: PLC0415 - heavy
    from discover.tables import json_line  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415

    opened = open_dataset(dataset) if dataset else None
    answer = explaining.explain(policy, rule, opened, select)
    if as_json:
        for row in explaining.as_json(answer):
            click.echo(json_line(row))
    else:
        for line in explaining.as_lines(answer, whole=bool(rule) and len(answer.explained) <= 20):
            click.echo(line)
    if not all(one.supported for one in answer.explained):
        click.get_current_context().exit(1)
