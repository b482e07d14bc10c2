"""A policy as KubeArmor is given it in Audit, and what it costs a namespace when it blocks.

KubeArmor has no Audit of a policy: an allow-list denies or tells by the namespace's posture, and a Block rule denies
always. So a policy in Audit is the same with each Block rule as an Audit rule.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from enforcer.kubearmor.reach import BLOCK, CLASSES, classes_of
from models.policy import ANNOTATIONS, Policy

__all__ = ["document", "needed", "posture_patch"]


def document(policy: Policy, namespace: str, block: Iterable[str]) -> dict[str, Any]:
    """What is applied. `block`: the postures under which it may deny, kept in an annotation; the rest is in Audit."""
    block = frozenset(block)
    made = copy.deepcopy(policy.to_document())
    metadata = {**made["metadata"], "namespace": namespace}
    annotations = {**(metadata.get("annotations") or {}), BLOCK: ",".join(sorted(block))}
    made["metadata"] = metadata | {"annotations": annotations}
    for name, posture in CLASSES.items():
        section = made["spec"].get(name)
        if section is None or posture in block:
            continue
        section["action"] = _audited(section.get("action") or made["spec"].get("action") or "Block")
        for rule in (r for rules in section.values() if isinstance(rules, list) for r in rules):
            if "action" in rule:
                rule["action"] = _audited(rule["action"])
    return made


def _audited(action: str) -> str:
    return "Audit" if action == "Block" else action


def needed(policies: Iterable[Policy]) -> frozenset[str]:
    """The postures that policies' Allow rules depend on: ``file``, ``network``, ``capabilities``."""
    return frozenset(c for p in policies for c in classes_of(p))


def posture_patch(postures: Iterable[str], mode: str) -> Mapping[str, str]:
    """The annotations of a namespace for some postures."""
    return {ANNOTATIONS[name]: mode for name in sorted(postures)}
