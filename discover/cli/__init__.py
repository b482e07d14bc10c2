"""The command line: a group that imports a command only when it is called."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from discover.cli.registry import COMMANDS
from discover.text import printable

__all__ = ["group", "main"]

_HELP = """Discover what a workload does, and the smallest KubeArmor policy that will not break it.

\b
Examples:
  discover record --for 5m -o recordings/web -- nginx -g 'daemon off;'
  discover show recordings/web --summary
  discover doctor
"""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"discover.cli.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {near[0]}?" if near else "`discover --help` lists the commands"
            raise click.UsageError(f"no command {printable(args[0])!r}\nhint: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()  # here a closed pipe is no error; at the interpreter's end it would be a traceback
        except BrokenPipeError:  # who read our output has enough; click would end with 1, which means findings here
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return answer

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from discover.version import VERSION  # noqa: PLC0415 - reads the installed metadata

        click.echo(f"discover {VERSION}")
        ctx.exit()


@click.group(cls=_Lazy, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def group() -> None:
    """All commands."""


def _name() -> str:
    return "kubectl discover" if Path(sys.argv[0]).name.startswith("kubectl-") else "discover"


def main() -> NoReturn:
    """Run the command line; ends the process with 0, 1 (found something), 2 (usage) or 3 (could not run)."""
    try:
        code = group.main(prog_name=_name(), standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        _complain(error.format_message(), "")
        if isinstance(error, click.UsageError) and error.ctx:
            click.echo(f"hint: {error.ctx.command_path} --help", err=True)
        sys.exit(2)
    except Exception as error:
        if not hasattr(error, "hint"):
            raise
        _complain(str(error), error.hint)
        sys.exit(getattr(error, "exit_code", 3))


def _complain(message: str, hint: str) -> None:
    click.echo("error: " + "\n".join(printable(line) for line in message.splitlines()), err=True)
    if hint:
        click.echo(f"hint: {printable(hint)}", err=True)
