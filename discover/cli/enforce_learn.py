"""`discover enforce learn`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["learn"]


@click.command("learn")
@click.argument("name")
@click.option(
    "--dataset", "-d", type=click.Path(path_type=Path), required=True, help="The recording that the policy is from."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A folder for the decisions.")
def learn(name: str, dataset: Path, output: Path) -> None:
    """Write what was decided as a recording: `discover generate` learns from it beside those that were made before.

    \b
    Examples:
      discover enforce learn web --dataset recordings/web -o recordings/web-decided
      discover generate recordings/web recordings/web-decided -o new/web.yaml
      discover diff policies/web.yaml new/web.yaml
    """  # noqa: D301 - click's own mark
    from discover.enforce.learned import write  # noqa: PLC0415 - heavy
    from discover.errors import UsageError  # noqa: PLC0415
    from discover.text import printable  # noqa: PLC0415
    from enforcer import store  # noqa: PLC0415
    from enforcer.apparmor import kept  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415
    from models.policy import Dialect, Posture, compile, load_policies  # noqa: PLC0415, A004

    one = kept.read(name) or store.read(name)
    if one is None:
        raise UsageError(f"no policy set called {name} is known here", "`discover enforce status` lists them")
    file, network, capabilities = one.posture
    posture = Posture(file, network, capabilities)  # type: ignore[arg-type]
    ruleset = compile(load_policies(one.policies), posture, Dialect.DISCOVER)
    count = write(name, store.FOLDER / f"{name}.alerts.jsonl", output, open_dataset(dataset), ruleset)
    click.echo(f"{printable(str(output))}: {count} decisions")
