"""Rows for people and for programs: a table on a terminal, plain columns in a pipe, JSON lines where asked for."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterable, Sequence

import click

from discover.text import printable

__all__ = ["cell", "json_line", "print_table"]


def json_line(row: dict[str, object]) -> str:
    """One row as JSON on one line of ASCII: times in ISO 8601, bytes in hex, maps as objects."""
    return json.dumps(row, default=_plain, ensure_ascii=True)


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def cell(value: object) -> str:
    """A value for a column: nothing that a terminal would obey, no line breaks; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return " ".join(cell(v) for v in value)
    return printable(str(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print rows: with rich on a terminal (colour unless NO_COLOR), else columns parted by two spaces."""
    texts = [[cell(v) for v in row] for row in rows]
    right = {n for n, _ in enumerate(columns) if texts and all(t[n].isdigit() or not t[n] for t in texts)}
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for n, name in enumerate(columns):
            table.add_column(name, justify="right" if n in right else "left", overflow="fold")
        for row in texts:
            table.add_row(*(Text(t) for t in row))  # Text: names are no markup
        Console(highlight=False).print(table)
        return
    if title:
        click.echo(title)
    widths = [max([len(name), *(min(len(t[n]), 60) for t in texts)]) for n, name in enumerate(columns)]
    for row in [list(columns), *texts]:
        parts = [t.rjust(w) if n in right else t.ljust(w) for n, (t, w) in enumerate(zip(row, widths, strict=True))]
        click.echo("  ".join(parts).rstrip())
