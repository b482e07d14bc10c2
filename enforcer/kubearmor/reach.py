"""Whom a namespace's posture reaches: every workload there that a policy holds to an allow-list of that class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.policy import API_VERSION, Action, Policy, PolicyError, check, rules

__all__ = ["BLOCK", "CLASSES", "Reached", "classes_of", "promoted", "reached"]

CLASSES = {"process": "file", "file": "file", "network": "network", "capabilities": "capabilities"}
"""The posture that governs each class."""
BLOCK = "discover.kubearmor.com/block"
"""Annotation of a policy: the postures, by comma, under which its Audit is over."""
_IN, _NOT_IN = "In", "NotIn"
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Reached:
    """A workload under an allow-list, by the policies that make it one."""

    workload: str
    """``deployment/web``."""
    policies: tuple[str, ...]
    unfinished: tuple[str, ...]
    """Those of them whose Audit is not over."""


def classes_of(policy: Policy) -> frozenset[str]:
    """The postures that a policy's Allow rules depend on."""
    return frozenset(CLASSES[r.section] for r in rules(policy) if r.action is Action.ALLOW and r.section in CLASSES)


def promoted(document: Document) -> frozenset[str]:
    """The postures under which a policy's Audit is over."""
    written = (document["metadata"].get("annotations") or {}).get(BLOCK, "")
    return frozenset(part.strip() for part in written.split(",") if part.strip())


def reached(posture: str, namespace: str, policies: Iterable[Document], pods: Iterable[Document]) -> list[Reached]:
    """The workloads of a namespace whose unlisted accesses of a class follow its posture.

    `policies`: KubeArmorPolicies of the namespace and KubeArmorClusterPolicies. A policy that cannot be read counts as
    an allow-list: what it would deny is not known.
    """
    listing = [p for p in policies if _lists(p, posture)]
    found: dict[str, dict[str, bool]] = {}
    for pod in pods:
        for policy in listing:
            if _selects(policy, namespace, pod["metadata"].get("labels") or {}):
                whose = found.setdefault(_workload(pod), {})
                whose[policy["metadata"]["name"]] = posture in promoted(policy)
    return [
        Reached(name, tuple(sorted(by)), tuple(sorted(p for p, done in by.items() if not done)))
        for name, by in sorted(found.items())
    ]


def _lists(document: Document, posture: str) -> bool:
    plain = {"apiVersion": API_VERSION, "kind": document["kind"], "metadata": {"name": document["metadata"]["name"]}}
    plain["spec"] = document["spec"]
    try:
        check(plain, document["metadata"]["name"])
    except PolicyError:
        return True
    return posture in classes_of(Policy.from_document(plain))


def _selects(policy: Document, namespace: str, labels: Mapping[str, str]) -> bool:
    selector = policy["spec"].get("selector") or {}
    wanted = selector.get("matchLabels") or {}
    if policy.get("kind") == "KubeArmorPolicy" and policy["metadata"].get("namespace") != namespace:
        return False
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expressed(e, namespace, labels) for e in selector.get("matchExpressions") or ())


def _expressed(expression: Document, namespace: str, labels: Mapping[str, str]) -> bool:
    """As KubeArmor reads them: ``namespace`` by name, ``label`` by ``key=value``; what it does not know selects."""
    values = expression.get("values") or ()
    if expression.get("key") == "namespace":
        holds = namespace in values
    elif expression.get("key") == "label":
        holds = any(f"{k}={v}" in values for k, v in labels.items())
    else:
        return True
    return holds if expression.get("operator") == _IN else not holds if expression.get("operator") == _NOT_IN else True


def _workload(pod: Document) -> str:
    """Who owns a pod, the way people call it: of a ReplicaSet, its Deployment."""
    metadata = pod["metadata"]
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return f"pod/{metadata['name']}"
    suffix = (metadata.get("labels") or {}).get("pod-template-hash", "")
    name = str(owner["name"])
    if owner["kind"] == "ReplicaSet" and suffix and name.endswith(f"-{suffix}"):
        return f"deployment/{name.removesuffix(f'-{suffix}')}"
    return f"{owner['kind'].lower()}/{name}"
