"""`discover enforce`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from discover.cli.enforce_learn import learn
from discover.cli.enforce_options import probe as _probe
from discover.cli.enforce_options import readiness as _readiness
from discover.errors import UsageError

__all__ = ["command"]

_HELP = """Put policies in force on a workload: Audit first, then Block.

The target is a command to start (after --), or one of --pid, --cgroup, --unit, --container, --pod. What a policy does
not allow is told, one JSON line a kind of decision, and denied in Block. What was put in force stays so when this
process is killed; `discover enforce stop` takes it away.

With --backend apparmor the target is a command, or none: a profile for containers that are started later. With
--backend kubearmor it is what the policies select.

\b
Examples:
  discover enforce policy.yaml --mode audit --container web
  discover enforce policy.yaml --backend apparmor -- nginx -g 'daemon off;'
  discover enforce policies/web.yaml --backend kubearmor -n shop --dry-run
  discover enforce status
  discover enforce promote web --dataset recordings/web --confirm-within 60s
  discover enforce promote web --confirm
  discover enforce logs web --follow
  discover enforce stop web
  discover enforce break-glass
"""
_CLASSES = ["process", "file", "network", "capabilities"]


class _Group(click.Group):
    """A group whose unnamed command is `start`: its first argument is a policy, not a word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


def _duration(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    from discover.record.options import duration  # noqa: PLC0415 - heavy

    try:
        return None if value is None else duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group("enforce", cls=_Group, help=_HELP)
def command() -> None:
    """See `_HELP`."""


command.add_command(learn)


_accepting = (
    click.option("--dataset", "-d", type=click.Path(path_type=Path), help="Recordings that say how much was seen."),
    click.option("--accept-incomplete", is_flag=True, help="Block although too little was seen."),
    click.option("--accept-violations", is_flag=True, help="Block without an Audit that had none."),
    click.option(
        "--confirm-within", callback=_duration, metavar="TIME", help="Back to Audit then, unless `promote --confirm`."
    ),
    click.option(
        "--most-denials", type=int, default=100, show_default=True, help="Back to Audit after so many, until confirmed."
    ),
    click.option("--probe", metavar="COMMAND", help="Back to Audit when it fails three times, until confirmed."),
)


def _gated(function: Any) -> Any:
    for option in reversed(_accepting):
        function = option(function)
    return function


@command.command("start", hidden=True)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="POLICY… [-- COMMAND…]")
@click.option(
    "--mode", type=click.Choice(["audit", "block"]), default="audit", show_default=True, help="Tell, or deny as well."
)
@click.option(
    "--backend", type=click.Choice(["auto", "bpf-lsm", "apparmor", "kubearmor"]), default="auto", help="Which enforcer."
)
@click.option("--name", help="What it is called from now on; default the first policy's file name.")
@click.option("--posture", type=click.Choice(["audit", "block"]), default="block", help="Of what no rule lists.")
@click.option("--pid", type=int, help="A process and its descendants.")
@click.option("--cgroup", help="A cgroup and those below it, as a path.")
@click.option("--unit", help="A systemd unit.")
@click.option("--container", help="A running container by name or id.")
@click.option("--pod", help="A Kubernetes pod on this node.")
@click.option("-n", "--namespace", help="The pod's namespace.")
@click.option("--dry-run", is_flag=True, help="KubeArmor: show what would be applied.")
@click.option("--accept", multiple=True, metavar="KIND/NAME", help="KubeArmor: a workload that Block may reach.")
@click.option(
    "--on-new-image",
    type=click.Choice(["keep", "audit", "refuse"]),
    default="keep",
    show_default=True,
    help="Where the container's image is none that --dataset was recorded with: Block and an alert, Audit, or neither.",
)
@click.option(
    "--alerts-to",
    type=click.Choice(["stdout", "file", "syslog", "journald"]),
    default="stdout",
    show_default=True,
    help="Beside the file in which `discover enforce logs` finds them.",
)
@click.option("--holds-containers", is_flag=True, help="The cgroup is one in which a runtime makes containers.")
@click.option(
    "--ready",
    multiple=True,
    default=("listen",),
    metavar="listen|told|TIME",
    show_default=True,
    help="When executables that are for the start alone fall away; repeatable.",
)
@click.option("--detach", is_flag=True, help="Return at once; the kernel goes on.")
@_gated
def start(words: tuple[str, ...], mode: str, name: str | None, posture: Any, detach: bool, **given: Any) -> None:
    """Put policies in force on a workload, and tell what they do not allow.

    \b
    Examples:
      discover enforce start policy.yaml --mode audit --container web
      discover enforce policy.yaml --mode audit -- nginx -g 'daemon off;'
    """  # noqa: D301 - click's own mark
    from collectors.target import TargetSpec  # noqa: PLC0415 - heavy
    from discover.enforce.session import Options, enforce  # noqa: PLC0415
    from discover.enforce.sinks import sink_of  # noqa: PLC0415
    from models.policy import Posture  # noqa: PLC0415

    confirm_within = given["confirm_within"]
    files, argv = _split(words)
    chosen = [n for n in ("pid", "cgroup", "unit", "container", "pod") if given[n] is not None]
    if given["backend"] == "auto":
        given["backend"] = _chosen()
    tell = sink_of(given["alerts_to"])
    if given["backend"] in ("apparmor", "kubearmor"):
        from discover.cli.enforce_others import put_in_force  # noqa: PLC0415

        more = {"name": name or files[0].stem, "posture": Posture.all(posture), "detach": detach, "tell": tell}
        sys.exit(put_in_force(files, argv, chosen, block=mode == "block", given=given | more))
    if bool(argv) + len(chosen) != 1:
        raise UsageError("one target is needed", "discover enforce policy.yaml --container web")
    spec = TargetSpec(command=argv, **{n: given[n] for n in (*chosen, "namespace")})
    name, dataset, block = name or files[0].stem, _dataset(given["dataset"]), mode == "block"
    if dataset is not None and (spec.container or spec.pod):
        from collectors.target import resolve  # noqa: PLC0415
        from discover.enforce.drift import meet  # noqa: PLC0415

        block = meet(resolve(spec), dataset, given["on_new_image"], name, tell) and block
    options = Options(
        files=files,
        spec=spec,
        name=name,
        block=tuple(_CLASSES) if block else (),
        posture=Posture.all(posture),
        dataset=dataset,
        confirm_within=confirm_within,
        most_denials=given["most_denials"] if confirm_within is not None else 0,
        probe=_probe(given["probe"], confirm_within, detach),
        holds=given["holds_containers"],
        ready=_readiness(given["ready"]),
        accept_incomplete=given["accept_incomplete"],
        accept_violations=given["accept_violations"],
        detach=detach,
    )
    sys.exit(enforce(options, tell))


def _chosen() -> str:
    from discover.enforce.choice import choose  # noqa: PLC0415 - heavy
    from discover.text import printable  # noqa: PLC0415

    choice = choose()
    click.echo(f"back end: {choice.backend} ({printable(choice.why)})", err=True)
    return choice.backend


def _split(words: tuple[str, ...]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Policies, and the command behind ``--``: click has taken the dashes away, so policies are what files end like."""
    files = []
    for word in words:
        if not word.endswith((".yaml", ".yml", ".json")):
            break
        files.append(Path(word))
    if not files:
        raise UsageError(f"{words[0]} is no policy file", "name a .yaml file, then -- and the command")
    return tuple(files), words[len(files) :]


def _dataset(path: Path | None) -> Any:
    if path is None:
        return None
    from discover.inputs import sort_out  # noqa: PLC0415 - heavy

    return sort_out([path]).dataset()


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a policy set.")
def status(as_json: bool) -> None:
    """List what is enforced on this node, and what it has counted.

    \b
    Examples:
      discover enforce status
      discover enforce status --json
    """  # noqa: D301 - click's own mark
    from discover.enforce import others  # noqa: PLC0415
    from discover.enforce.control import status as found  # noqa: PLC0415 - heavy
    from discover.text import printable  # noqa: PLC0415

    sets = found() + others.status()
    for one in sets:
        if as_json:
            click.echo(json.dumps(one))
            continue
        mode = f"Block ({', '.join(one['block'])})" if one["block"] else "Audit"
        if one["confirm_within_s"] is not None:
            left = one["confirm_within_s"]
            mode += f", to be confirmed within {left:.0f} s" if left > 0 else ", not confirmed: Audit"
        if one.get("failed"):
            mode = f"Audit, after a Block that failed: {one['failed']}"
        counts = ", ".join(
            f"{c}: {one['denied'][c]} denied, {one['audited'][c]} audited"
            for c in _CLASSES
            if one["denied"][c] or one["audited"][c]
        )
        click.echo(f"{one['name']}: {mode}; {printable(one['target'])}{_processes(one)}")
        if one["processes"] is not None:  # KubeArmor counts for itself
            click.echo(f"  {counts or 'no violation'}")
        for line in one.get("said", ()):
            click.echo(f"  {printable(line)}")
        for container in one.get("unprotected", ()):
            click.echo(f"  NOT PROTECTED, made anew since: {printable(container)}")
        for denied in one.get("failed_after", ()):
            click.echo(f"  denied before: {printable(denied)}")
    if not sets and not as_json:
        click.echo("nothing is enforced here")


def _processes(one: dict[str, Any]) -> str:
    return "" if one["processes"] is None else f"; {one['processes']} processes"


@command.command("promote")
@click.argument("name")
@click.option("--class", "classes", multiple=True, type=click.Choice(_CLASSES), help="Only these; repeatable.")
@click.option("--accept", multiple=True, metavar="KIND/NAME", help="KubeArmor: a workload that Block may reach.")
@click.option("--confirm", is_flag=True, help="Keep the Block that had a time to be confirmed in.")
@_gated
def promote(name: str, classes: tuple[str, ...], confirm: bool, dataset: Path | None, **given: Any) -> None:
    """From Audit to Block, class by class if wanted.

    With --probe it asks until the time to confirm is over, and ends with status 1 if Block had to end before.

    \b
    Examples:
      discover enforce promote web --class process --dataset recordings/web --confirm-within 60s
      discover enforce promote web --dataset recordings/web --confirm-within 60s --probe 'curl -fsS http://localhost/'
      discover enforce promote web --confirm
    """  # noqa: D301 - click's own mark
    from discover.enforce import others  # noqa: PLC0415 - heavy

    if other := others.owner(name):
        from discover.cli.enforce_others import promote_at  # noqa: PLC0415

        blocked = promote_at(other, name, classes or _CLASSES, confirm=confirm, given=given | {"dataset": dataset})
        click.echo(f"{name}: Block ({', '.join(blocked)})")
        return
    given.pop("accept")
    from discover.enforce import control  # noqa: PLC0415

    if confirm:
        now = control.confirm(name)
    else:
        within = given["confirm_within"]
        probe = _probe(given.pop("probe"), within)
        if within is None:
            given["most_denials"] = 0
        now = control.promote(name, classes or _CLASSES, dataset=_dataset(dataset), **given)
    click.echo(f"{now.name}: Block ({', '.join(now.block)})")
    if not confirm and probe and (failed := control.attend(name, probe, within)):
        click.echo(f"error: {name} is back in Audit: {failed}", err=True)
        sys.exit(1)


@command.command("ready")
@click.argument("name")
def ready(name: str) -> None:
    """Say that the workload is ready: executables that are for its start alone fall away.

    \b
    Examples:
      discover enforce policy.yaml --ready told --container web --detach
      discover enforce ready web
    """  # noqa: D301 - click's own mark
    from discover.enforce.control import ready as told  # noqa: PLC0415 - heavy

    click.echo(f"{told(name)} instances are ready")


@command.command("stop")
@click.argument("name")
def stop(name: str) -> None:
    """Enforce a policy set no longer.

    \b
    Examples:
      discover enforce stop web
    """  # noqa: D301 - click's own mark
    from discover.enforce import others  # noqa: PLC0415 - heavy
    from discover.enforce.control import stop as stopped  # noqa: PLC0415

    other = others.owner(name)
    (other.stop if other else stopped)(name)


@command.command("break-glass")
def break_glass() -> None:
    """Everything on this node back to Audit, at once.

    \b
    Examples:
      discover enforce break-glass
    """  # noqa: D301 - click's own mark
    from discover.enforce import others  # noqa: PLC0415 - heavy
    from discover.enforce.control import break_glass as broken  # noqa: PLC0415

    click.echo(f"{others.break_glass(broken)} policy sets are in Audit")


@command.command("logs")
@click.argument("name", required=False)
@click.option("--policy", help="Only alerts of this policy.")
@click.option("--namespace", help="Only alerts of this namespace.")
@click.option(
    "--operation",
    type=click.Choice(["Process", "File", "Network", "Capabilities"], case_sensitive=False),
    help="Only alerts of this class.",
)
@click.option(
    "--log-filter", type=click.Choice(["policy", "system", "all"]), default="all", help="By rule, by posture."
)
@click.option("--json", "as_json", is_flag=True, help="The alerts as they are kept.")
@click.option("--follow", is_flag=True, help="Go on with what comes.")
def logs(name: str | None, as_json: bool, follow: bool, **wanted: str | None) -> None:
    """Show alerts.

    \b
    Examples:
      discover enforce logs web --operation file --log-filter policy
      discover enforce logs --json --follow
    """  # noqa: D301 - click's own mark
    from discover.enforce.logs import attended, lines  # noqa: PLC0415 - heavy

    seen: dict[Path, int] = {}
    with attended() as step:
        while True:
            step()
            for line in lines(name, seen, as_json=as_json, **wanted):
                click.echo(line)
            if not follow:
                return
            time.sleep(0.5)
