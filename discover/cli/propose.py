"""`discover propose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discover.decisions import Decisions
    from discover.review import Review

__all__ = ["command"]


@click.command("propose")
@click.argument("datasets", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATASET...")
@click.option("--to", "remote", required=True, metavar="REPOSITORY", help="Its address: https, ssh, or a folder.")
@click.option("--policy", type=click.Path(path_type=Path), help="The policy to propose (default: learned now).")
@click.option(
    "--path", default="policies", show_default=True, help="Folder; {namespace}, {workload}, {policy} are filled in."
)
@click.option("--base", default="", help="The branch to merge into (default: the repository's).")
@click.option("--branch", default="", help="The branch to push (default: discover/POLICY).")
@click.option(
    "--layout",
    type=click.Choice(("auto", "plain", "kustomize")),
    default="auto",
    show_default=True,
    help="auto: kustomize where the folder has a kustomization.yaml.",
)
@click.option(
    "--posture", type=click.Choice(("audit", "block")), default="audit", show_default=True, help="To annotate."
)
@click.option(
    "--forge",
    type=click.Choice(("auto", "github", "gitlab", "none")),
    default="auto",
    show_default=True,
    help="Where the request is made; none: a branch is pushed.",
)
@click.option("--forge-url", default="", metavar="URL", help="Its API, where it is not the usual one.")
@click.option("--author", default="", metavar="'NAME <MAIL>'", help="Who signs off (default: git's configuration).")
@click.option(
    "--pages",
    type=click.Choice(("md", "html", "both", "none")),
    default="both",
    show_default=True,
    help="Which reviews lie beside the policy.",
)
@click.option(
    "--decisions",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What people decided, to be obeyed and put there (default: what the folder holds is obeyed).",
)
@click.option(
    "--target",
    type=click.Choice(("discover", "kubearmor-bpflsm", "kubearmor-apparmor", "portable")),
    default="discover",
    show_default=True,
    help="Where a learned policy will run.",
)
@click.option("--workload", help="Only this workload of the recordings.")
@click.option("--name", help="A learned policy's name (default: the workload's).")
@click.option("-n", "--namespace", help="A learned policy's namespace.")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="What a learned policy selects; repeatable."
)
@click.option("--select", multiple=True, metavar="LABEL=VALUE|NAME", help="What the workload is, or which policy.")
@click.option("--dry-run", is_flag=True, help="Show the diff and the request's text; change nothing anywhere.")
@click.option("--json", "as_json", is_flag=True, help="What came of it as one JSON object.")
def command(
    datasets: tuple[Path, ...],
    remote: str,
    policy: Path | None,
    path: str,
    base: str,
    branch: str,
    layout: str,
    posture: str,
    forge: str,
    forge_url: str,
    author: str,
    pages: str,
    decisions: Path | None,
    target: str,
    workload: str | None,
    name: str | None,
    namespace: str | None,
    labels: tuple[str, ...],
    select: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring a policy to a Git repository as a pull or merge request that carries its own evidence.

    Policy, posture annotation, evidence and review are committed to a branch, signed off, and pushed; the request says
    what changes and why, what was observed and lost, what the simulation says, which rules to look at first, and how
    to roll back. A second run updates the same request; where no rule changes, there is none.

    The token comes from DISCOVER_GIT_TOKEN, GH_TOKEN or GITHUB_TOKEN, GITLAB_TOKEN, or from git's credential helper.

    Exit status: 0 proposed, up to date or nothing new; 2 usage; 3 not done, and the repository is as it was.

    \b
    Examples:
      discover propose recordings/web --to https://github.com/shop/policies --path policies/{namespace}
      discover propose recordings/web --to git@gitlab.example.org:shop/policies.git --policy web.yaml --dry-run
      discover propose recordings/web --to /srv/git/policies.git --author 'Ada <ada@example.org>' --pages md
    """  # noqa: D301 - click's own mark
    from dataclasses import asdict, replace  # noqa: PLC0415 - heavy, all of it

    from discover.labels import read_labels  # noqa: PLC0415
    from discover.propose import Proposal, propose  # noqa: PLC0415
    from discover.propose.remote import parse_remote  # noqa: PLC0415
    from discover.review.make import open_reviews, request_with  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415
    from discover.text import printable  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415
    from models.learn import Options  # noqa: PLC0415
    from models.policy import Target  # noqa: PLC0415

    dataset = open_dataset(datasets)
    options = Options(target=Target(target))
    request = request_with(
        decisions, policy, options=options, name=name, namespace=namespace, labels=read_labels(labels)
    )

    def reviews(found: Decisions | None) -> Sequence[Review]:
        asked = replace(request, decisions=found) if found else request
        return list(open_reviews(dataset, policy, workload=workload, request=asked, select=select))

    proposal = Proposal(
        remote,
        path,
        base,
        branch,
        layout,
        posture,
        forge,
        forge_url,
        author,
        {"both": ("md", "html"), "none": ()}.get(pages, (pages,)),
        decisions,
        dry_run,
    )
    outcome = propose(reviews, proposal)
    if as_json:
        click.echo(json_line(asdict(outcome)))
        return
    if dry_run and outcome.state == "dry run":
        lines = [*outcome.diff.splitlines(), "", f"title: {outcome.title}", "", *outcome.body.splitlines()]
        for line in lines:
            click.echo(printable(line))
        return
    if forge == "auto" and outcome.state == "pushed" and parse_remote(remote).scheme != "file":
        said = "no request was opened: the host's name says neither GitHub nor GitLab"
        click.echo(f"{said}\nhint: --forge github or --forge gitlab says it", err=True)
    where = f" {outcome.url}" if outcome.url else ""
    commit = f" at {outcome.commit[:12]}" if outcome.commit else ""
    click.echo(printable(f"{outcome.state}: {outcome.branch}{commit} for {outcome.base}{where}"))
