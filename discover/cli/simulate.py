"""`discover simulate`."""

from __future__ import annotations

import click

__all__ = ["command"]

_HELP = """Say what policies would deny of everything that a recording holds.

POLICY is a YAML file or a folder of them, DATASET the folder of a recording or of several; they are told apart by what
is in them, and may come in any order. A simulation for a target uses that target's own semantics: for KubeArmor that
includes what a recording cannot hold (files of the image that overlayfs copies up, executables that are judged as
files, what the container runtime does at an exec).

The policies that select the workload are applied. A plain recording has no labels: then it is taken to be what the
policies select, and the report says so. --select app=web says what its labels are, --select NAME which policy is meant.

\b
Exit status: 0 nothing would be denied, 1 something would (with --posture audit: would raise an alert),
2 the policies or recordings cannot be used.

\b
Examples:
  discover simulate policy.yaml recordings/web
  discover simulate policies/ recordings/ --target kubearmor-bpflsm
  discover simulate policies/ recordings/web --select app=web --posture audit
  discover simulate policy.yaml recordings/web --json | jq '.groups[].accesses[].path'
"""


@click.command("simulate", help=_HELP)
@click.argument("named", metavar="POLICY... DATASET...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--target",
    type=click.Choice(["kubearmor-bpflsm", "discover"]),
    default="discover",
    show_default=True,
    help="Whose enforcer decides.",
)
@click.option(
    "--posture",
    type=click.Choice(["block", "audit"]),
    default="block",
    show_default=True,
    help="What happens to what no Allow rule of a listed class has.",
)
@click.option(
    "--select", multiple=True, metavar="LABEL=VALUE|NAME", help="The workload's label, or a policy's name; repeatable."
)
@click.option("--sessions", is_flag=True, help="Judge also what people did through exec into the container.")
@click.option("--limit", type=click.IntRange(min=0), default=10, show_default=True, help="Accesses a rule; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a workload, with every access.")
def command(
    named: tuple[str, ...],
    target: str,
    posture: str,
    select: tuple[str, ...],
    sessions: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Simulate; see `_HELP`."""
    import discover.simulate as simulation  # noqa: PLC0415 - heavy
    from discover.errors import UsageError  # noqa: PLC0415
    from discover.inputs import sort_out  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415
    from models.policy import Dialect  # noqa: PLC0415

    given = sort_out(named)
    if not given.policy_files:
        raise UsageError("no policy was named", "discover simulate POLICY.yaml RECORDING")
    if not given.datasets:
        raise UsageError("no recording was named", "discover simulate POLICY.yaml RECORDING")
    results = simulation.run(
        given.policies(),
        given.dataset(),
        dialect=Dialect(target),
        posture="audit" if posture == "audit" else "block",
        select=select,
        sessions=sessions,
    )
    if not any(r.chosen.policies for r in results):
        names = ", ".join(str(r.workload) for r in results) or "the recording"
        raise UsageError(f"no policy selects {names}", "say what it is with --select LABEL=VALUE, or --select NAME")
    if as_json:
        for result in results:
            click.echo(json_line(simulation.as_json(result)))
    else:
        for line in simulation.as_lines(results, limit):
            click.echo(line)
    if any(r.denies for r in results):
        click.get_current_context().exit(1)
