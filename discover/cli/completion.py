"""`discover completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["command"]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      discover completion bash > /etc/bash_completion.d/discover
      discover completion fish > ~/.config/fish/completions/discover.fish
    """  # noqa: D301 - click's own mark
    from discover.cli import group  # noqa: PLC0415 - a command of the group that it completes

    if kind := get_completion_class(shell):
        click.echo(kind(group, {}, "discover", "_DISCOVER_COMPLETE").source())
