"""`discover report`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

_FORMATS = ("html", "md", "sarif", "json")
_SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".sarif": "sarif", ".json": "json"}


@click.command("report")
@click.argument("datasets", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATASET...")
@click.option("--policy", type=click.Path(path_type=Path), help="The policy under review (default: learned now).")
@click.option("--against", type=click.Path(path_type=Path), help="The policy in force, to compare with.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="Default: by the output's ending, else html (md without -o)."
)
@click.option("--workload", help="Only this workload of the recordings.")
@click.option("--select", multiple=True, metavar="LABEL=VALUE|NAME", help="What the workload is, or which policy.")
@click.option(
    "--decisions", type=click.Path(path_type=Path), help="What people decided (default: discover.yaml beside)."
)
@click.option(
    "--at-most",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.25,
    show_default=True,
    help="The chance of something new that still counts as complete.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: everything in it as plain values.")
def command(
    datasets: tuple[Path, ...],
    policy: Path | None,
    against: Path | None,
    output: Path | None,
    form: str | None,
    workload: str | None,
    select: tuple[str, ...],
    decisions: Path | None,
    at_most: float,
    as_json: bool,
) -> None:
    """Write the review of a policy: one page that needs no network, a pull request's body, or findings.

    The page holds what was recorded, which rules need a person's eye first, each rule with its evidence, files,
    processes and sockets, coverage, outliers, the simulation, and the difference to a policy in force.

    \b
    Examples:
      discover report recordings/web --policy web.yaml -o report.html
      discover report recordings/web --policy web.yaml --against in-force.yaml -o report.html
      discover report recordings/web --policy web.yaml --format md > body.md
      discover report recordings/web --policy policies/web.yaml -o discover.sarif
      discover report recordings/web --json | jq '.rules[] | select(.weight >= 25) | .words'
    """  # noqa: D301 - click's own mark
    import json  # noqa: PLC0415 - heavy, all of it

    from discover.report import as_html, as_markdown, as_sarif  # noqa: PLC0415
    from discover.review.make import open_reviews, request_with  # noqa: PLC0415
    from discover.review.plain import as_json as plain  # noqa: PLC0415
    from discover.review.plain import clean  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415
    from discover.writing import write_text  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415

    form = "json" if as_json else form or (_SUFFIXES.get(output.suffix, "html") if output else "md")
    reviews = list(
        open_reviews(
            open_dataset(datasets),
            policy,
            workload=workload,
            against=against,
            request=request_with(decisions, policy),
            select=select,
            at_most=at_most,
        )
    )
    match form:
        case "html":
            text = as_html(reviews)
        case "md":
            text = as_markdown(reviews)
        case "sarif":
            text = json.dumps(as_sarif(reviews), indent=1) + "\n"
        case _:
            text = "".join(json_line(clean(plain(r))) + "\n" for r in reviews)
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    click.echo(f"wrote {output} ({len(text.encode('utf-8', 'replace')):,} bytes)", err=True)
