"""`discover enforce` as a person calls it, and what it has written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.policy import KubeArmorPolicy, Metadata, Spec, dump_policies
from models.policy.fields import from_document

__all__ = ["ACCEPT", "alerts", "denied", "discover", "logged", "paths", "standing", "start", "totals", "write_policy"]

ACCEPT = ("--accept-incomplete", "--accept-violations")
"""What a test takes upon itself that has no recordings."""


def discover(*arguments: object, check: bool = False, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """``discover enforce`` with these arguments; with `check` it has to work."""
    command = [str(Path(sys.executable).parent / "discover"), "enforce", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    assert not check or done.returncode == 0, f"{' '.join(command[1:])}: {done.returncode}: {done.stderr}"
    return done


def start(*arguments: object) -> subprocess.Popen[str]:
    """``discover enforce`` that goes on; the caller ends it."""
    command = [str(Path(sys.executable).parent / "discover"), "enforce", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def alerts(text: str) -> list[dict[str, Any]]:
    """The alerts among the lines of an output."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def logged(name: str, *arguments: str) -> list[dict[str, Any]]:
    """The alerts that were kept of a policy set."""
    return alerts(discover("logs", name, "--json", *arguments, check=True).stdout)


def standing(name: str) -> dict[str, Any]:
    """What ``status`` says of a policy set."""
    found = {one["name"]: one for one in alerts(discover("status", "--json", check=True).stdout)}
    one: dict[str, Any] = found[name]
    return one


def totals(name: str) -> tuple[int, int]:
    """(denied, audited) of a policy set, over all classes."""
    one = standing(name)
    return sum(one["denied"].values()), sum(one["audited"].values())


def denied(name: str) -> set[tuple[str, str]]:
    """(operation, object) of what was denied."""
    return {(a["Data"].removeprefix("op="), a["Resource"]) for a in logged(name) if a["Result"] != "Passed"}


def write_policy(where: Path, /, *, annotations: dict[str, str] | None = None, **spec: Any) -> Path:
    """A policy file of one policy, called as the file."""
    policy = KubeArmorPolicy(
        metadata=Metadata(name=where.stem, namespace="default", annotations=annotations),
        spec=from_document(Spec, {"selector": {"matchLabels": {"app": where.stem}}, **spec}),
    )
    where.write_text(dump_policies([policy]))
    return where


def paths(names: Sequence[str], **flags: Any) -> list[dict[str, Any]]:
    """Rules of ``matchPaths``."""
    return [{"path": name, **flags} for name in names]
