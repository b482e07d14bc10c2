"""`discover record`."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from discover.errors import UsageError

__all__ = ["command"]

_HELP = """Record what a workload does, into a dataset of Parquet files.

The target is a command to start (after --), or one of --pid, --cgroup, --unit, --container, --pod, --host.
It ends when the target ends, after --for, when --until-covered says enough, or with Ctrl-C.

\b
Examples:
  discover record -- nginx -g 'daemon off;'
  discover record --for 30m --container web -o recordings/web
  discover record --until-covered --for 2h --container web
  discover record --pod checkout-7d4b9 -n staging --for 1h
  discover record --unit postgresql.service --drill reload,rotate --for 10m
  discover record --resume recordings/web
"""


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def callback(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _duration(text: str) -> float:
    from discover.record.options import duration  # noqa: PLC0415 - heavy

    return duration(text)


def _chance(text: str) -> float:
    from discover.record.options import chance  # noqa: PLC0415 - heavy

    return chance(text)


def _size(text: str) -> int:
    from discover.record.options import ring_size  # noqa: PLC0415 - heavy

    return ring_size(text)


@click.command("record", help=_HELP, context_settings={"ignore_unknown_options": False})
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder of the recording; default recordings/NAME-TIME."
)
@click.option("--for", "limit", callback=_parsed(_duration), metavar="TIME", help="Stop after 90s, 30m, 1h30m.")
@click.option(
    "--until-covered",
    is_flag=False,
    flag_value="10%",
    callback=_parsed(_chance),
    metavar="[CHANCE]",
    help="Stop once a while more like those seen shows something new with at most this chance (10% unless told).",
)
@click.option("--pid", type=int, help="A process and its descendants.")
@click.option("--cgroup", help="A cgroup and those below it, as a path.")
@click.option("--unit", help="A systemd unit.")
@click.option("--container", help="A running container by name or id; podman:NAME where several runtimes have it.")
@click.option("--pod", help="A Kubernetes pod on this node.")
@click.option("-n", "--namespace", help="The pod's namespace.")
@click.option("--host", is_flag=True, help="Everything on this host.")
@click.option("--workload", help="The workload's name in the dataset, if not what the target tells.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "lsm", "fentry", "tracepoint", "bcc"]),
    default="auto",
    help="How to watch; auto takes the first that this kernel accepts.",
)
@click.option(
    "--drill", "drills", metavar="LIST", help="Walk the paths that only trouble shows: reload,rotate,stop,crash."
)
@click.option("--raw", is_flag=True, help="Also stream every event with its time, not only counts.")
@click.option(
    "--ready-after",
    default="10s",
    callback=_parsed(_duration),
    metavar="TIME",
    help="Start-up ends then, if nothing listens before.",
)
@click.option(
    "--ring-size", default="16M", callback=_parsed(_size), metavar="SIZE", help="Kernel buffer for new behaviours."
)
@click.option(
    "--redact-rules",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="More rules for what must not reach the disk.",
)
@click.option("--no-inventory", is_flag=True, help="Do not list the workload's file system.")
@click.option("--no-survive", is_flag=True, help="Do not pin: if the recorder is killed, recording ends.")
@click.option(
    "--resume",
    "resumed",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Go on with a recording whose recorder was killed.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="The closing report as JSON on standard output.")
def command(**given: Any) -> None:
    """Record; see `_HELP`."""
    from discover.record import report  # noqa: PLC0415 - heavy
    from discover.record.begin import record, resume  # noqa: PLC0415
    from discover.record.panel import Panel  # noqa: PLC0415

    panel = Panel(quiet=given["quiet"], limit=given["limit"], covered=given["until_covered"] is not None)
    if given["resumed"]:
        with panel:
            outcome = resume(given["resumed"], panel.show, given["limit"])
    else:
        options = _options(given)
        with panel:
            outcome = record(options, panel.show)
    if given["as_json"]:
        click.echo(json.dumps(report.as_json(outcome)))
    else:
        for line in report.lines(outcome):
            click.echo(line, file=sys.stderr if not sys.stdout.isatty() else sys.stdout)


def _options(given: dict[str, Any]) -> Any:
    from collectors.drills import parse  # noqa: PLC0415 - heavy
    from collectors.target import TargetSpec  # noqa: PLC0415
    from discover.record.options import RecordOptions  # noqa: PLC0415

    chosen = [n for n in ("pid", "cgroup", "unit", "container", "pod", "host") if given[n] not in (None, False)]
    if bool(given["argv"]) + len(chosen) != 1:
        names = " and ".join([*(f"--{n}" for n in chosen), *(["a command"] if given["argv"] else [])])
        what = f"{names} are given" if names else "no target is given"
        raise UsageError(f"one target is needed, but {what}", "discover record --for 30m -- nginx -g 'daemon off;'")
    if given["drills"] and given["limit"] is None and given["until_covered"] is None:
        raise UsageError(
            "--drill needs --for or --until-covered: drills begin when the time is over, or enough was seen",
            "add --for 2m",
        )
    fields = {f.name for f in dataclasses.fields(TargetSpec)}
    spec = TargetSpec(command=given["argv"], **{k: v for k, v in given.items() if k in fields - {"command"}})
    return RecordOptions(
        spec=spec,
        output=given["output"] or _default_output(given, chosen),
        backend=given["backend"],
        limit=given["limit"],
        until_covered=given["until_covered"],
        drills=tuple(parse(given["drills"])) if given["drills"] else (),
        raw=given["raw"],
        ready_after=given["ready_after"],
        ring_size=given["ring_size"],
        redact_rules=given["redact_rules"],
        inventory=not given["no_inventory"],
        survive=not given["no_survive"],
    )


def _default_output(given: dict[str, Any], chosen: list[str]) -> Path:
    name = given["workload"] or (Path(given["argv"][0]).name if given["argv"] else str(given[chosen[0]]))
    tame = "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip("-.") or "recording"
    return Path("recordings") / f"{tame}-{time.strftime('%Y%m%d-%H%M%S')}"
