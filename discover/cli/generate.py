"""`discover generate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from discover.generate import Generated, Refused

__all__ = ["command"]

_TARGETS = ("discover", "kubearmor-bpflsm", "kubearmor-apparmor", "portable")


@click.command("generate")
@click.argument("datasets", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATASET...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A policy file, or a folder for one a workload.")
@click.option("--target", type=click.Choice(_TARGETS), default="discover", show_default=True, help="Where it will run.")
@click.option("--workload", help="Only this workload of the recordings.")
@click.option("--name", help="The policy's name (default: the workload's).")
@click.option("-n", "--namespace", help="The policy's namespace (default: the recorded one).")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="What the policy selects; repeatable.")
@click.option(
    "--decisions",
    type=click.Path(path_type=Path),
    help="What people decided (default: discover.yaml beside the output, if it is there).",
)
@click.option(
    "--posture",
    type=click.Choice(("audit", "block")),
    default="audit",
    show_default=True,
    help="For the namespace's posture patch.",
)
@click.option("--max-file-rules", type=click.IntRange(1), help="Fewer, wider file rules: at most so many.")
@click.option("--include-sessions", is_flag=True, help="Learn from people's exec sessions in the container too.")
@click.option("--keep-outliers", is_flag=True, help="Learn from units that behave unlike the others too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a workload instead of the policy.")
def command(
    datasets: tuple[Path, ...],
    output: Path | None,
    target: str,
    workload: str | None,
    name: str | None,
    namespace: str | None,
    labels: tuple[str, ...],
    decisions: Path | None,
    posture: str,
    max_file_rules: int | None,
    include_sessions: bool,
    keep_outliers: bool,
    as_json: bool,
) -> None:
    """Learn the smallest KubeArmorPolicy that will not break what was recorded.

    Without -o the policy goes to standard output. With it, the rules' evidence (NAME.evidence.json, for `discover
    explain`) and the namespace's posture patch (NAME.posture.yaml) are written beside it.

    Exit status: 0; 1 where a target cannot hold a workload, with the nearest target that can.

    \b
    Examples:
      discover generate recordings/web > web.yaml
      discover generate recordings/web -o policies/web.yaml --label app=web -n shop
      discover generate recordings -o policies/ --target kubearmor-bpflsm
      discover generate recordings/web --decisions discover.yaml --json | jq .warnings
    """  # noqa: D301 - click's own mark
    from discover.decisions import FILE_NAME, Decisions, read_decisions  # noqa: PLC0415 - heavy
    from discover.errors import UsageError  # noqa: PLC0415
    from discover.generate import Request, generate_each  # noqa: PLC0415
    from discover.labels import read_labels  # noqa: PLC0415
    from models.dataset import open_dataset  # noqa: PLC0415
    from models.learn import Options  # noqa: PLC0415
    from models.policy import Target  # noqa: PLC0415

    selected = read_labels(labels)
    folder = output is not None and (output.is_dir() or str(output).endswith("/") or output.suffix not in _YAML)
    if decisions is None:
        beside = Path() if output is None else output if folder else output.parent
        decisions = beside / FILE_NAME if (beside / FILE_NAME).is_file() else None
    request = Request(
        Options(
            target=Target(target),
            sessions=include_sessions,
            keep_outliers=keep_outliers,
            max_file_rules=max_file_rules,
        ),
        workload,
        name,
        namespace,
        selected,
        read_decisions(decisions) if decisions else Decisions(),
        None if folder else output,
    )
    if output is not None and not folder and output.name == FILE_NAME:
        raise UsageError(f"{output} is where people's decisions are", "give the policy another name: -o policy.yaml")
    finish = partial(
        _finished, output=output, folder=folder, posture=posture, as_json=as_json, obeyed=request.decisions.path
    )
    refused, several = False, False
    for told in generate_each(open_dataset(datasets), request, finish):
        refused |= told.refused
        if told.text:
            click.echo(("---\n" if several and output is None and not as_json else "") + told.text, nl=False)
            several = True
        for line in told.lines:
            click.echo(line, err=True)
    if refused:
        click.get_current_context().exit(1)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of one workload."""

    text: str
    """For standard output."""
    lines: tuple[str, ...]
    """For standard error."""
    refused: bool = False


def _finished(
    made: Generated | Refused, output: Path | None, folder: bool, posture: str, as_json: bool, obeyed: Path | None
) -> _Told:
    """Write the files of a policy, wherever it was learned, and say what there is to say."""
    from discover.generate import Refused, write  # noqa: PLC0415
    from discover.tables import json_line  # noqa: PLC0415

    if isinstance(made, Refused):
        return _Told("", tuple(_refusal(made)), refused=True)
    files = None
    if output is not None:
        files = write(made, output / _file_name(made.policy.name) if folder else output, posture)
    if as_json:
        return _Told(json_line(_row(made, files)) + "\n", ())
    return _Told(made.text if output is None else "", tuple(_lines(made, files, obeyed)))


_YAML = (".yaml", ".yml")


def _file_name(policy: str) -> str:
    """The file of a policy in a folder; one that is called discover leaves ``discover.yaml`` to the decisions."""
    from discover.decisions import FILE_NAME  # noqa: PLC0415

    name = f"{policy}.yaml"
    return f"{policy}-policy.yaml" if name == FILE_NAME else name


def _refusal(refused: Refused) -> Iterator[str]:
    from discover.text import printable  # noqa: PLC0415

    yield f"error: {printable(str(refused.evidence.workload))}: {printable(str(refused.error))}"
    for why in refused.error.reasons:
        yield f"  {printable(why)}"
    yield f"hint: {refused.error.hint}"


def _row(made: Generated, files: Any) -> dict[str, object]:
    learned = made.learned
    counts: dict[str, int] = {}
    for rule in learned.rules:
        counts[rule.section] = counts.get(rule.section, 0) + 1
    return {
        "workload": str(made.evidence.workload),
        "policy": made.policy.name,
        "target": str(learned.options.target),
        "files": [str(f) for f in (files.policy, files.evidence, files.posture) if f] if files else [],
        "units": len(learned.units),
        "rules": counts,
        "keys": learned.keys,
        "classes": {str(c): str(s) for c, s in learned.classes.items()},
        "expected_new": {c: e.new_count if e.units > 1 else None for c, e in made.coverage.items()},
        "existing_admitted": sum(r.evidence.admits.existing for r in learned.rules),
        "sensitive_admitted": sorted({p for r in learned.rules for p in r.evidence.admits.sensitive}),
        "kinds": [{"units": list(k.units), "only": list(k.only)} for k in made.kinds],
        "outliers": [{"unit": o.unit, "score": o.score, "reasons": list(o.reasons)} for o in learned.outliers],
        "lost": dict(made.evidence.lost),
        "must_see": [{"what": m.text, "met": m.met} for m in made.must_see],
        "assumed": list(made.assumed),
        "warnings": list(learned.warnings),
    }


def _lines(made: Generated, files: Any, obeyed: Path | None) -> list[str]:
    """A few lines about the policy."""
    from discover.text import printable  # noqa: PLC0415

    learned = made.learned
    counts: dict[str, int] = {}
    for rule in learned.rules:
        counts[rule.section] = counts.get(rule.section, 0) + 1
    rules = ", ".join(f"{n} {section}" for section, n in counts.items())
    admitted = sum(r.evidence.admits.existing for r in learned.rules)
    unknown = any(not r.evidence.admits.known for r in learned.rules)
    lines = [f"{made.evidence.workload}: {len(learned.rules)} rules ({rules}) from {len(learned.units)} units"]
    if learned.keys is not None:
        lines.append(f"  KubeArmor's rule keys: {learned.keys} of 256")
    lines.append(
        f"  existing files admitted beyond those used: {admitted}" + (" where that is known" if unknown else "")
    )
    lines += [f"  assumed: {a}" for a in made.assumed]
    lines += [f"  must see {m.text}: {'recorded' if m.met else 'NOT RECORDED'}" for m in made.must_see]
    lines += [f"  warning: {w}" for w in learned.warnings]
    if files is not None:
        lines += [f"  wrote {f}" for f in (files.policy, files.evidence, files.posture) if f]
        lines.append(f"  next: discover simulate {files.policy} RECORDING; discover check {files.policy}")
    if obeyed:
        lines.append(f"  obeyed {obeyed}")
    return [printable(line) for line in lines]
