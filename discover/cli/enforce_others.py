"""What `discover enforce` asks of the back ends beside BPF-LSM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from collectors.target import TargetSpec
from discover.enforce import apparmor, kubearmor
from discover.errors import UsageError
from discover.inputs import sort_out
from discover.text import printable

__all__ = ["promote_at", "put_in_force"]

_CLASSES = ("process", "file", "network", "capabilities")


def put_in_force(
    files: tuple[Path, ...], argv: tuple[str, ...], chosen: list[str], *, block: bool, given: dict[str, Any]
) -> int:
    """`chosen`: the options that name a target; `given`: all options. The exit status."""
    start = _kubearmor if given["backend"] == "kubearmor" else _apparmor
    return start(files, argv, chosen, block, given)


def _apparmor(
    files: tuple[Path, ...], argv: tuple[str, ...], chosen: list[str], block: bool, given: dict[str, Any]
) -> int:
    if bool(argv) + len(chosen) > 1:
        raise UsageError("one target at most", "a command, or none: the profile for containers that are started later")
    asked = apparmor.Asked(
        files=files,
        spec=TargetSpec(command=argv, **{n: given[n] for n in (*chosen, "namespace")}),
        name=given["name"],
        posture=given["posture"],
        block=_CLASSES if block else (),
        detach=given["detach"],
        dataset=_dataset(given),
        **_accepted(given),
    )
    return apparmor.enforce(asked, given["tell"], _say)


def _kubearmor(
    files: tuple[Path, ...], argv: tuple[str, ...], chosen: list[str], block: bool, given: dict[str, Any]
) -> int:
    if argv or chosen or given["confirm_within"] is not None:
        raise UsageError(
            "KubeArmor picks its targets by the policies' selectors, and has no --confirm-within",
            "discover enforce policy.yaml --backend kubearmor -n shop",
        )
    asked = kubearmor.Asked(
        files=files,
        name=given["name"],
        namespace=given["namespace"],
        block=block,
        dataset=_dataset(given),
        accept=given["accept"],
        accept_incomplete=given["accept_incomplete"],
        accept_violations=given["accept_violations"],
        dry_run=given["dry_run"],
    )
    return kubearmor.enforce(asked, _say, click.echo)


def promote_at(
    backend: ModuleType, name: str, classes: Sequence[str], *, confirm: bool, given: dict[str, Any]
) -> tuple[str, ...]:
    """Promote at the back end that has the policy set. What is in Block then."""
    more = _accepted(given) | {"accept": given["accept"]}
    blocked: tuple[str, ...] = backend.promote(
        name, classes, confirm=confirm, dataset=_dataset(given), say=_say, **more
    )
    return blocked


def _accepted(given: dict[str, Any]) -> dict[str, Any]:
    return {n: given[n] for n in ("confirm_within", "accept_incomplete", "accept_violations")}


def _dataset(given: dict[str, Any]) -> Any:
    return None if given["dataset"] is None else sort_out([given["dataset"]]).dataset


def _say(line: str) -> None:
    click.echo(printable(line), err=True)
