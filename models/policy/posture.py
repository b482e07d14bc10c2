"""The default posture: what happens to an access that an allow-list does not list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from models.policy.access import PolicyClass

__all__ = ["ANNOTATIONS", "Posture", "PostureMode"]

PostureMode = Literal["audit", "block"]

ANNOTATIONS = {
    "file": "kubearmor-file-posture",
    "network": "kubearmor-network-posture",
    "capabilities": "kubearmor-capabilities-posture",
}
"""The namespace annotations that override the global posture."""


@dataclass(frozen=True, slots=True)
class Posture:
    """The posture of each class. Processes follow `file`, DNS queries follow `network`."""

    file: PostureMode = "audit"
    network: PostureMode = "audit"
    capabilities: PostureMode = "audit"

    @classmethod
    def all(cls, mode: PostureMode) -> Posture:
        """Return the same posture for every class."""
        return cls(mode, mode, mode)

    def of(self, policy_class: PolicyClass) -> PostureMode:
        """Return the posture that governs a class."""
        if policy_class in (PolicyClass.PROCESS, PolicyClass.FILE):
            return self.file
        if policy_class is PolicyClass.CAPABILITIES:
            return self.capabilities
        return self.network

    def for_namespace(self, annotations: Mapping[str, str]) -> Posture:
        """Return the posture with a namespace's annotations applied to this global one.

        A value other than ``audit`` or ``block``, in any case, changes nothing (KubeArmor v1.7.4 rewrites such an
        annotation to the global value).
        """
        changed: dict[str, PostureMode] = {}
        for name, annotation in ANNOTATIONS.items():
            match annotations.get(annotation, "").lower():
                case "audit":
                    changed[name] = "audit"
                case "block":
                    changed[name] = "block"
                case _:
                    pass
        return replace(self, **changed)
