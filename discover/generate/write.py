"""Writes what was generated: the policy, its evidence and the namespace's posture, each whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from discover.generate.make import Generated
from discover.writing import write_text
from models.learn import ClassState
from models.learn.sidecar import to_json
from models.policy import ANNOTATIONS, PolicyClass, quote

__all__ = ["Written", "posture_patch", "write"]


@dataclass(frozen=True, slots=True)
class Written:
    """The files of one policy."""

    policy: Path
    evidence: Path
    posture: Path | None
    """None for a host policy: nodes have no posture annotations."""


def write(made: Generated, policy: Path, posture: str) -> Written:
    """Write ``NAME.yaml``, ``NAME.evidence.json`` and ``NAME.posture.yaml`` beside each other.

    Raises `DiscoverError` where that cannot be; a file that was there before is then still whole.
    """
    base = policy.with_suffix("") if policy.suffix in (".yaml", ".yml") else policy
    evidence = base.with_name(base.name + ".evidence.json")
    patch = None if made.evidence.is_host else base.with_name(base.name + ".posture.yaml")
    write_text(evidence, to_json(made.learned, made.policy.name, made.evidence.recordings))
    if patch is not None:
        write_text(patch, posture_patch(made, posture))
    write_text(policy, made.text)
    return Written(policy, evidence, patch)


def posture_patch(made: Generated, posture: str) -> str:
    """The posture of the namespace, as a patch: ``kubectl patch namespace NAME --patch-file FILE``.

    Only for classes that the policy makes an allow-list; processes follow the file posture.
    """
    classes = made.learned.classes
    listed = {
        "file": ClassState.USED in (classes.get(PolicyClass.FILE), classes.get(PolicyClass.PROCESS)),
        "network": classes.get(PolicyClass.NETWORK) is ClassState.USED,
        "capabilities": classes.get(PolicyClass.CAPABILITIES) is ClassState.USED,
    }
    namespace = made.policy.metadata.namespace or "default"
    lines = [
        f"# A posture holds for the whole namespace: every workload in {namespace} with an allow-list follows it.",
        f"# kubectl patch namespace {namespace} --patch-file THIS-FILE",
        "metadata:",
        "  annotations:",
    ]
    lines += [f"    {ANNOTATIONS[name]}: {quote(posture)}" for name, is_list in listed.items() if is_list]
    return "\n".join(lines) + "\n"
