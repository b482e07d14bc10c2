"""What a check looks at, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from models.behaviour import Object
from models.completeness import Assessment
from models.evidence import Evidence, Seen, accesses
from models.policy import (
    Access,
    Action,
    Dialect,
    Policy,
    PolicyClass,
    Posture,
    Rule,
    Ruleset,
    Target,
    compile,  # noqa: A004
    rules,
)
from models.simulate import Simulation

__all__ = ["Context", "Mistake", "Severity", "fragment", "item_of"]

KUBEARMOR = frozenset({Target.KUBEARMOR_BPFLSM, Target.PORTABLE})
"""Targets on which KubeArmor's BPF-LSM enforcer may decide."""


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The policy does not do what it says, or breaks its workload."""
    WARNING = "warning"
    """It probably does so, or will under a condition that the message names."""
    NOTE = "note"
    """Something to know; nothing may be wrong."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One finding."""

    id: str
    severity: Severity
    message: str
    """What is wrong and what comes of it."""
    fix: str
    """What to do, in words."""
    corrected: Mapping[str, Any] = field(default_factory=dict)
    """What to write, as plain data: a part of ``spec`` (or a whole object, if it has a ``kind``); empty: remove it."""
    policy: str = ""
    where: str = ""
    """Field path of the rule, empty if it is about the policy as a whole."""


@dataclass(frozen=True)
class Context:
    """Policies that select the same workload, and what is known about it."""

    policies: tuple[Policy, ...]
    target: Target = Target.KUBEARMOR_BPFLSM
    evidence: tuple[Evidence, ...] = ()
    simulations: tuple[Simulation, ...] = ()
    """Of each of `evidence`, posture Block."""
    assessments: tuple[Assessment, ...] = ()
    """Of each of `evidence`; empty: coverage was not asked for."""
    explained: frozenset[tuple[str, str]] = frozenset()
    """(policy, field path) of rules whose evidence lies beside the policy."""

    @cached_property
    def is_known(self) -> bool:
        """Whether it is known what the workload does: from recordings, or from the evidence beside every allow-list."""
        listing = {r.policy for r in self.rules if r.action is Action.ALLOW}
        return bool(self.evidence) or (bool(listing) and listing <= {name for name, _ in self.explained})

    @property
    def kubearmor(self) -> bool:
        """Whether KubeArmor's BPF-LSM enforcer is to decide."""
        return self.target in KUBEARMOR

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, inheritance applied."""
        return tuple(r for p in self.policies for r in rules(p))

    def of(self, section: str, *actions: Action) -> list[Rule]:
        """The rules of a section with these actions, or all."""
        return [r for r in self.rules if r.section == section and (not actions or r.action in actions)]

    def is_list(self, policy_class: PolicyClass) -> bool:
        """Whether a class is an allow-list."""
        return any(
            r.action is Action.ALLOW
            and (PolicyClass.DNS if r.match == "domain" else PolicyClass(r.section)) is policy_class
            for r in self.rules
        )

    def name_of_list(self, section: str) -> str:
        """The first policy that makes a section an allow-list."""
        return next((r.policy for r in self.of(section, Action.ALLOW)), self.policies[0].name)

    @cached_property
    def ruleset(self) -> Ruleset:
        """The policies as the target decides them, posture Block."""
        dialect = Dialect.KUBEARMOR_BPFLSM if self.kubearmor else Dialect.DISCOVER
        return compile(self.policies, Posture.all("block"), dialect)

    @cached_property
    def written(self) -> Ruleset:
        """The policies as they are written, posture Block."""
        return compile(self.policies, Posture.all("block"), Dialect.DISCOVER)

    def denies(self, access: Access) -> bool:
        """Whether the target would deny an access under the posture Block."""
        return not self.ruleset.decide(access).allowed

    @cached_property
    def seen(self) -> list[Seen]:
        """The accesses of all evidence."""
        return [s for e in self.evidence for s in accesses(e.behaviours)]

    @cached_property
    def seen_paths(self) -> frozenset[str]:
        """Every path of them."""
        return frozenset(s.access.path for s in self.seen if s.access.path)

    @cached_property
    def links(self) -> dict[str, str]:
        """The symlinks of the inventories, with where they point."""
        return {
            row["path"]: row["link_target"]
            for e in self.evidence
            for row in e.inventory.select(["path", "object", "link_target"]).to_pylist()
            if row["object"] == Object.SYMLINK and row["link_target"]
        }

    @cached_property
    def existing(self) -> frozenset[str]:
        """Every path of the inventories."""
        return frozenset(p for e in self.evidence for p in e.inventory["path"].to_pylist())

    def policy(self, name: str) -> Policy:
        """A policy by name; the first where several have it."""
        return next((p for p in self.policies if p.name == name), self.policies[0])

    def mistake(
        self,
        check: str,
        severity: Severity,
        rule: Rule,
        message: str,
        fix: str,
        corrected: Mapping[str, Any] | None = None,
    ) -> Mistake:
        """A finding about one rule."""
        return Mistake(check, severity, message, fix, corrected or {}, rule.policy, rule.where)

    def rewritten(self, rule: Rule, **changes: Any) -> dict[str, Any]:
        """The rule's own entry with some fields changed (None: left out), as a part of ``spec``."""
        section, name, item = item_of(self.policy(rule.policy), rule.where)
        changed = {k: v for k, v in {**item, **changes}.items() if v is not None}
        changed.setdefault("action", str(rule.action))
        return {section: {name: [changed]}}


_PLACE = re.compile(r"spec\.(\w+)\.(\w+)\[(\d+)\]")


def item_of(policy: Policy, where: str) -> tuple[str, str, dict[str, Any]]:
    """The section, list and entry at a field path, as plain data."""
    match = _PLACE.fullmatch(where)
    if match is None:
        return "", "", {}
    section, name, index = match[1], match[2], int(match[3])
    items = (policy.to_document()["spec"].get(section) or {}).get(name) or []
    return section, name, dict(items[index]) if index < len(items) else {}


def fragment(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Several parts of ``spec`` as one."""
    out: dict[str, Any] = {}
    for part in parts:
        for section, lists in part.items():
            mine = out.setdefault(section, {})
            for name, items in lists.items():
                listed = mine.setdefault(name, [])
                listed += [i for i in items if i not in listed]
    return out


def allow_paths(paths: Sequence[str], *, section: str = "file", read_only: bool = True) -> dict[str, Any]:
    """Allow rules for paths."""
    flags = {"readOnly": True} if read_only and section == "file" else {}
    return {section: {"matchPaths": [{"path": p, **flags, "action": "Allow"} for p in paths]}}


def allow_directory(path: str, *, recursive: bool = False, read_only: bool = True) -> dict[str, Any]:
    """An Allow rule for a directory of files."""
    flags = {k: True for k, on in (("recursive", recursive), ("readOnly", read_only)) if on}
    return {"file": {"matchDirectories": [{"dir": path, **flags, "action": "Allow"}]}}
