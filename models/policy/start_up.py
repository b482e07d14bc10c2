"""Executables that a workload needs while it starts and never again: an annotation of a policy names them.

    discover.kubearmor.io/start-up: '["/docker-entrypoint.sh", "/bin/busybox"]'

The value is a JSON list of paths of ``spec.process.matchPaths``. An enforcer that can tell when the workload is ready
takes those rules away then, and gives them back to its next start; for any other the annotation changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from models.policy.model import Action, Process, ProcessPath
from models.policy.policy import Policy, rules

__all__ = ["START_UP", "after_start_up", "start_up_annotation", "start_up_paths"]

START_UP = "discover.kubearmor.io/start-up"
_NOTHING = ProcessPath(path="/", action="Allow")
"""Keeps a class an allow-list where all that it lists has fallen away: a directory is never executed."""


def start_up_annotation(paths: Iterable[str]) -> str:
    """The annotation's value."""
    return json.dumps(sorted(set(paths)))


def start_up_paths(policy: Policy) -> frozenset[str]:
    """The executables that a policy allows only while the workload starts. Raises ValueError if it cannot be read."""
    text = (policy.metadata.annotations or {}).get(START_UP)
    if text is None:
        return frozenset()
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(p, str) for p in found):
        raise ValueError(f"policy {policy.name}: the annotation {START_UP} is no JSON list of paths: {text!r}")
    return frozenset(found)


def after_start_up(policies: Sequence[Policy]) -> list[Policy] | None:
    """The policies that hold once the workload is ready; None where nothing falls away."""
    later = [_without(policy, start_up_paths(policy)) for policy in policies]
    if later == list(policies):
        return None
    if _lists(policies) and not _lists(later):
        one = later[0]
        process = one.spec.process or Process()
        process = replace(process, match_paths=(*process.match_paths, _NOTHING))
        later[0] = replace(one, spec=replace(one.spec, process=process))
    return later


def _without(policy: Policy, paths: frozenset[str]) -> Policy:
    process = policy.spec.process
    if process is None or not any(rule.path in paths for rule in process.match_paths):
        return policy
    kept = tuple(rule for rule in process.match_paths if rule.path not in paths)
    return replace(policy, spec=replace(policy.spec, process=replace(process, match_paths=kept)))


def _lists(policies: Iterable[Policy]) -> bool:
    return any(r.section == "process" and r.action is Action.ALLOW for p in policies for r in rules(p))
