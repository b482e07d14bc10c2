"""`discover check`."""

from __future__ import annotations

import click

__all__ = ["command"]

_HELP = """Check policies: valid by the CRD, what the target makes of them, and the field's common mistakes.

Each finding has an id, a severity, what is wrong, and the rule as it should be. With --dataset the policies are also
held against recordings: what they would deny of them, which rules nothing needs, and whether enough was seen for Block.
docs/check.md lists the checks.

\b
Severities:
  error    the policy does not do what it says, or breaks its workload
  warning  it probably does so, or will under a condition that the message names
  note     something to know; nothing may be wrong

Exit status: 0 no error and no warning (with --lenient: no error, with --strict: nothing at all), 1 otherwise.

\b
Examples:
  discover check policy.yaml
  discover check policies/ --target discover
  discover check policy.yaml --dataset recordings/web
  discover check policy.yaml --json | jq 'select(.severity == "error")'
"""
_TARGETS = ["kubearmor-bpflsm", "kubearmor-apparmor", "portable", "discover"]


@click.command("check", help=_HELP)
@click.argument("policy", nargs=-1, required=True, type=click.Path())
@click.option("--dataset", "-d", multiple=True, type=click.Path(), help="A recording, or a folder of them; repeatable.")
@click.option(
    "--target", type=click.Choice(_TARGETS), default="kubearmor-bpflsm", show_default=True, help="Who enforces it."
)
@click.option(
    "--select", multiple=True, metavar="LABEL=VALUE|NAME", help="The workload's label, or a policy's name; repeatable."
)
@click.option("--no-coverage", is_flag=True, help="Do not ask whether enough was recorded (quick).")
@click.option("--strict", is_flag=True, help="Exit with 1 for notes too.")
@click.option("--lenient", is_flag=True, help="Exit with 1 for errors alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def command(
    policy: tuple[str, ...],
    dataset: tuple[str, ...],
    target: str,
    select: tuple[str, ...],
    no_coverage: bool,
    strict: bool,
    lenient: bool,
    as_json: bool,
) -> None:
    """Check; see `_HELP`."""
    import discover.check as checking  # noqa: PLC0415 - heavy
    from discover.errors import UsageError  # noqa: PLC0415
    from discover.inputs import sort_out  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415
    from models.checks import Severity  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415
    from models.policy import Target  # noqa: PLC0415

    if strict and lenient:
        raise UsageError("--strict and --lenient contradict each other", "leave one out")
    given = sort_out(policy)
    recordings = [*map(str, given.datasets), *dataset]
    if not given.policy_files:
        raise UsageError("no policy was named", "discover check POLICY.yaml --dataset RECORDING")
    checked = checking.check(
        given.policy_files,
        open_dataset(recordings) if recordings else None,
        target=Target(target),
        select=select,
        coverage=not no_coverage,
    )
    if not checked.policies and not checked.findings:
        raise UsageError(f"no KubeArmor policy in {', '.join(policy)}", "name a file with a KubeArmorPolicy in it")
    if as_json:
        for finding in checked.findings:
            click.echo(json_line(checking.as_json(finding)))
    else:
        for line in checking.as_lines(checked):
            click.echo(line)
    counted = [Severity.ERROR] if lenient else list(Severity) if strict else [Severity.ERROR, Severity.WARNING]
    if any(checked.count(s) for s in counted):
        click.get_current_context().exit(1)
