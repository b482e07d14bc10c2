"""`discover show`."""

# ruff: noqa: S608 - the names in the SQL are those of the tables above; every value is a parameter
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pyarrow as pa

    from models.dataset import Dataset

__all__ = ["command"]

_HELP = """Show the behaviours of one recording or several.

Rows that differ only by unit, phase or actor's uid are shown as one, with the number of units; --json gives every row
with every column. In --path, --exe and --unit, * stands for anything, / included.

\b
Examples:
  discover show recordings/web --summary
  discover show recordings/web --class file --path '/etc/*'
  discover show recordings/web --op connect --failed
  discover show recordings/web --sql "SELECT op, sum(count) FROM behaviours GROUP BY op"
  discover show recordings/web --json | jq -r .path
"""

_CLASSES = ("exec", "file", "socket", "capability")
_PHASES = ("runtime-init", "start-up", "steady", "shutdown", "drill", "exec-session", "probe")
_SORTS = {
    "path": "path, address, port, op",
    "count": "count DESC, path, op",
    "first": "first_seen, path, op",
    "last": "last_seen DESC, path, op",
}
_COLUMNS = {
    "exec": ["exe", "path", "script", "argv", "errno"],
    "file": ["exe", "op", "access", "path", "object", "errno"],
    "socket": ["exe", "op", "family", "type", "protocol", "address", "port", "path", "errno"],
    "capability": ["exe", "capability", "errno"],
}
_SAMPLES = {"argv"}


@click.command("show", help=_HELP)
@click.argument("dataset", nargs=-1, required=True, type=click.Path())
@click.option("--summary", is_flag=True, help="A report: units, what each executable did, losses, coverage.")
@click.option("--op", "ops", multiple=True, metavar="OP", help="An operation, as open or connect; may be repeated.")
@click.option("--class", "classes", multiple=True, type=click.Choice(_CLASSES), help="A class; may be repeated.")
@click.option("--path", metavar="GLOB", help="Paths that match.")
@click.option("--exe", metavar="GLOB", help="Executables that match.")
@click.option("--unit", metavar="GLOB", help="Units that match.")
@click.option("--phase", "phases", multiple=True, type=click.Choice(_PHASES), help="A phase; may be repeated.")
@click.option("--errno", metavar="NAME", help="Attempts that failed so: ENOENT or 2; 0 for those that succeeded.")
@click.option("--failed", is_flag=True, help="Attempts that failed.")
@click.option("--sort", type=click.Choice(list(_SORTS)), default="path", show_default=True, help="Order of the rows.")
@click.option("--limit", type=click.IntRange(min=0), help="Rows at most; 0 for all. Default 200 a class, all as JSON.")
@click.option("--sql", metavar="SELECT", help="Ask DuckDB: tables behaviours, units, losses, inventory.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row, with the columns of the schema.")
def command(dataset: tuple[str, ...], **given: Any) -> None:
    """Show; see `_HELP`."""
    from models.dataset import open_dataset  # noqa: PLC0415 - heavy

    filters = ("ops", "classes", "path", "exe", "unit", "phases", "errno", "failed")
    if given["sql"] and (given["summary"] or any(given[f] for f in filters)):
        from discover.errors import UsageError  # noqa: PLC0415

        raise UsageError("--sql takes no other filter", "put it into the WHERE of the SELECT")
    opened = open_dataset(dataset)
    if given["sql"]:
        _print_answer(opened, given["sql"], given["limit"], given["as_json"])
    elif given["summary"]:
        _print_summary(opened, given["as_json"])
    else:
        _print_rows(opened, given)


def _print_answer(dataset: Dataset, sql: str, limit: int | None, as_json: bool) -> None:
    from discover.query import query  # noqa: PLC0415 - heavy
    from discover.tables import print_table  # noqa: PLC0415

    answer = query(dataset, sql)
    if limit:
        answer = answer.slice(0, limit)
    if as_json:
        _print_json(answer)
    else:
        print_table(answer.schema.names, zip(*(c.to_pylist() for c in answer.columns), strict=True))


def _print_summary(dataset: Dataset, as_json: bool) -> None:
    from discover.summary import as_lines, summarise  # noqa: PLC0415 - heavy
    from discover.tables import json_line  # noqa: PLC0415

    summary = summarise(dataset)
    if as_json:
        click.echo(json_line(summary))
    else:
        for line in as_lines(summary):
            click.echo(line)


def _where(given: dict[str, Any]) -> tuple[str, list[object]]:
    """The filters as SQL, with every value a parameter."""
    from discover.errors import UsageError  # noqa: PLC0415
    from models.behaviour import Operation  # noqa: PLC0415

    terms, values = ["true"], list[object]()
    for op in given["ops"]:
        if op not in set(map(str, Operation)):
            raise UsageError(f"no operation {op!r}", f"one of {', '.join(Operation)}")
    for column, chosen in (("op", given["ops"]), ("class", given["classes"]), ("phase", given["phases"])):
        if chosen:
            terms.append(f'"{column}" IN ({", ".join("?" * len(chosen))})')
            values += chosen
    for column in ("path", "exe", "unit"):
        if given[column] is not None:
            terms.append(f"regexp_full_match({column}, ?, 's')")
            values.append(_regex(given[column]))
    if given["errno"] is not None:
        terms.append("errno = ?")
        values.append(_errno(given["errno"]))
    if given["failed"]:
        terms.append("errno <> 0")
    return " AND ".join(terms), values


def _regex(glob: str) -> str:
    """As RE2: of a glob's signs only * and ? mean something, since names hold brackets."""
    import re  # noqa: PLC0415

    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in glob)


def _errno(text: str) -> int:
    import errno  # noqa: PLC0415

    from discover.errors import UsageError  # noqa: PLC0415

    number = getattr(errno, text.upper(), None) if text.upper().startswith("E") else None
    if isinstance(number, int):
        return number
    if text.isdecimal() and int(text) < 65536:
        return int(text)
    raise UsageError(f"no errno {text!r}", "a name such as ENOENT, or a number")


def _print_json(table: pa.Table) -> None:
    from discover.tables import json_line  # noqa: PLC0415

    for batch in table.to_batches(max_chunksize=8192):
        for row in batch.to_pylist(maps_as_pydicts="lossy"):
            click.echo(json_line(row))


def _print_rows(dataset: Dataset, given: dict[str, Any]) -> None:
    from discover.query import query  # noqa: PLC0415 - heavy
    from discover.tables import print_table  # noqa: PLC0415

    where, values = _where(given)
    order = _SORTS[given["sort"]]
    limit = given["limit"] if given["limit"] is not None else 200
    if given["as_json"]:
        capped = f"LIMIT {given['limit']}" if given["limit"] else ""
        sql = f'SELECT * FROM behaviours WHERE {where} ORDER BY {order}, unit, "class", phase, exe {capped}'
        _print_json(query(dataset, sql, values))
        return
    shown = False
    for name in given["classes"] or _CLASSES:
        columns = _COLUMNS[name]
        grouped = ", ".join(f'"{c}"' for c in columns if c not in _SAMPLES)
        wanted = ", ".join(f'min("{c}") AS "{c}"' if c in _SAMPLES else f'"{c}"' for c in columns)
        hidden = ", ".join(f"any_value({c}) AS {c}" for c in ("path", "address", "port", "op") if c not in columns)
        sql = (
            f"SELECT {wanted}, string_agg(DISTINCT phase, '+' ORDER BY phase) AS phase, count(DISTINCT unit) AS units, "
            f"sum(count)::UBIGINT AS count, min(first_seen) AS first_seen, max(last_seen) AS last_seen"
            f"{', ' + hidden if hidden else ''} "
            f'FROM behaviours WHERE "class" = ? AND {where} GROUP BY {grouped} ORDER BY exe, {order}'
        )
        if given["sort"] != "path":
            sql = sql.replace(f"ORDER BY exe, {order}", f"ORDER BY {order}, exe")
        answer = query(dataset, sql, [name, *values])
        if not answer.num_rows:
            continue
        if shown:
            click.echo()
        shown = True
        titles = [*columns, "phase", "units", "count"]
        kept = answer.slice(0, limit) if limit else answer
        print_table(titles, _told(kept.select(titles)), title=f"{name}: {answer.num_rows}")
        if kept.num_rows < answer.num_rows:
            click.echo(f"{answer.num_rows - kept.num_rows} more rows; --limit 0 shows all", err=True)
    if not shown:
        click.echo("no behaviour matches", err=True)


def _told(table: pa.Table) -> Iterator[list[object]]:
    import errno  # noqa: PLC0415
    import shlex  # noqa: PLC0415

    for row in table.to_pylist():
        row["errno"] = errno.errorcode.get(row["errno"], row["errno"]) if row["errno"] else ""
        if row.get("argv") is not None:
            row["argv"] = shlex.join(row["argv"])
        yield list(row.values())
