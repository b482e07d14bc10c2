"""One policy set that KubeArmor enforces: applied in Audit, promoted by the namespace's posture, taken away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from discover.enforce import gates
from discover.errors import UsageError
from discover.inputs import read_policy_files
from enforcer.kubearmor.cluster import Cluster, Kubectl
from enforcer.kubearmor.phases import document, needed, posture_patch
from enforcer.kubearmor.reach import CLASSES, Reached, reached
from enforcer.store import FOLDER
from models.dataset import Dataset
from models.policy import ANNOTATIONS, KubeArmorPolicy, Policy, dump_policies, load_policies

__all__ = ["Applied", "Asked", "break_glass", "enforce", "names", "promote", "status", "stop"]

_FOLDER = FOLDER / "kubearmor"
_KIND = "kubearmorpolicies.security.kubearmor.com"
_CLUSTER_KIND = "kubearmorclusterpolicies.security.kubearmor.com"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What was asked of ``discover enforce --backend kubearmor``."""

    files: tuple[Path, ...]
    name: str
    namespace: str | None = None
    block: bool = False
    dataset: Dataset | None = None
    accept: tuple[str, ...] = ()
    """Workloads that may be reached by a posture though their Audit is not over."""
    accept_incomplete: bool = False
    accept_violations: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Applied:
    """What was applied from here."""

    name: str
    namespace: str
    policies: str
    """YAML, as it was given."""
    block: tuple[str, ...] = ()
    """Postures."""

    @property
    def parsed(self) -> list[Policy]:
        """The policies."""
        return load_policies(self.policies)


def _file(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a policy set", "letters, digits, dots and dashes: --name web")
    return _FOLDER / f"{name}.json"


def _read(name: str) -> Applied | None:
    file = _file(name)
    if not file.exists():
        return None
    data = json.loads(file.read_text())
    return Applied(**data | {"block": tuple(data["block"])})


def _write(applied: Applied) -> None:
    _FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = _file(applied.name).with_suffix(".new")
    fresh.write_text(json.dumps(asdict(applied)))
    fresh.replace(_file(applied.name))


def names() -> list[str]:
    """The policy sets that were applied from here."""
    return sorted(f.stem for f in _FOLDER.glob("*.json")) if _FOLDER.is_dir() else []


def enforce(asked: Asked, say: Say, show: Say | None, cluster: Cluster | None = None) -> int:
    """Apply policies, in Audit unless Block was asked for; with `dry_run`, `show` them. The exit status."""
    cluster = cluster or Kubectl()
    _file(asked.name)
    policies = [p for found in read_policy_files(asked.files).values() for p in found]
    if other := next((p for p in policies if not isinstance(p, KubeArmorPolicy)), None):
        raise UsageError(
            f"{other.name} is a {other.kind.value}: it reaches further than a namespace",
            "apply it with kubectl; this back end is for KubeArmorPolicies",
        )
    namespace = _namespace(policies, asked.namespace)
    postures = needed(policies)
    if asked.block:
        gates.checked(asked.files, asked.dataset, accept_incomplete=asked.accept_incomplete)
        _audited(asked.name, accept=asked.accept_violations)
    applied = Applied(asked.name, namespace, dump_policies(policies))
    show = show if asked.dry_run else None
    if not asked.block:
        blocked = postures - _to_change(cluster, namespace, postures, "block")
        if blocked:
            raise UsageError(
                f"namespace {namespace} has the posture Block for {', '.join(sorted(blocked))}: an allow-list there "
                "denies from its first moment, and there is no Audit for it",
                "apply it in a namespace of its own first, or take the risk: --mode block --accept-violations",
            )
        _apply(cluster, applied, postures, "audit", show)
    else:
        _block(cluster, applied, frozenset(CLASSES.values()), asked.accept, show, say)
    if show is None:
        mode = "Block" if asked.block else "Audit"
        say(f"applied in {mode} in namespace {namespace}; KubeArmor's alerts are in `karmor logs -n {namespace}`")
    return 0


def _namespace(policies: Iterable[Policy], given: str | None) -> str:
    found = {given} if given else {p.metadata.namespace for p in policies if p.metadata.namespace} or {"default"}
    if len(found) > 1:
        raise UsageError(
            f"policies of several namespaces: {', '.join(sorted(map(str, found)))}", "one at a time: -n shop"
        )
    return str(found.pop())


def _to_change(cluster: Cluster, namespace: str, postures: Iterable[str], mode: str) -> frozenset[str]:
    """Those of the postures that the namespace has not."""
    now = cluster.namespace(namespace)["metadata"].get("annotations") or {}
    return frozenset(p for p in postures if now.get(ANNOTATIONS[p], "").lower() != mode)


def _apply(cluster: Cluster, applied: Applied, postures: frozenset[str], mode: str, show: Say | None) -> None:
    """Policies and posture. To Block the policies go first, to Audit the posture, so that nothing is denied between."""
    change = _to_change(cluster, applied.namespace, postures, mode)
    documents = [document(p, applied.namespace, applied.block) for p in applied.parsed]
    if show is not None:
        for one in documents:
            show(json.dumps(one, indent=2))
        if change:
            metadata = {"name": applied.namespace, "annotations": dict(posture_patch(change, mode))}
            show(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, indent=2))
        return
    if change and mode == "audit":
        cluster.annotate(applied.namespace, posture_patch(change, mode))
    before = _read(applied.name)
    for one in documents:
        cluster.apply(one)
    for gone in {p.name for p in before.parsed} - {p.name for p in applied.parsed} if before else ():
        cluster.delete(_KIND, gone, applied.namespace)
    if change and mode == "block":
        cluster.annotate(applied.namespace, posture_patch(change, mode))
    _write(applied)


def _block(
    cluster: Cluster, applied: Applied, wanted: frozenset[str], accept: tuple[str, ...], show: Say | None, say: Say
) -> None:
    """Change the namespace's postures to Block, unless that reaches somebody whose Audit is not over."""
    postures = needed(applied.parsed) & wanted
    change = _to_change(cluster, applied.namespace, postures, "block")
    ours = {p.name for p in applied.parsed}
    unready: dict[str, Reached] = {}
    policies = [*cluster.items(_KIND, applied.namespace), *cluster.items(_CLUSTER_KIND)]
    # As it will be: what is about to be applied counts as it is in the files, not as it is there.
    later = [p for p in policies if not (p["kind"] == "KubeArmorPolicy" and p["metadata"]["name"] in ours)]
    applied = replace(applied, block=tuple(sorted({*applied.block, *wanted})))
    later += [document(p, applied.namespace, applied.block) for p in applied.parsed]
    pods = cluster.items("pods", applied.namespace)
    for posture in sorted(change):
        for one in reached(posture, applied.namespace, later, pods):
            state = f"its Audit is not over ({', '.join(one.unfinished)})" if one.unfinished else "Audit over"
            accepted = " accepted" if one.unfinished and one.workload in accept else ""
            say(f"{posture} posture reaches {one.workload}: {state}{accepted}")
            if one.unfinished and one.workload not in accept:
                unready[one.workload] = one
    if unready:
        listed = ", ".join(unready)
        raise UsageError(
            f"the posture is that of the whole namespace {applied.namespace}, and the Audit of {listed} is not over",
            "promote their policies first, or name them: " + " ".join(f"--accept {w}" for w in unready),
        )
    _apply(cluster, applied, postures, "block", show)


def _audited(name: str, *, accept: bool) -> None:
    if not accept:
        raise UsageError(
            f"whether the Audit of {name} had violations is known to KubeArmor alone",
            "look at `karmor logs --logFilter=policy`, and if there is none: --accept-violations",
        )


def promote(
    name: str,
    classes: Iterable[str],
    *,
    dataset: Dataset | None,
    accept_incomplete: bool,
    accept_violations: bool,
    confirm: bool,
    confirm_within: float | None,
    say: Say,
    accept: tuple[str, ...] = (),
    cluster: Cluster | None = None,
) -> tuple[str, ...]:
    """From Audit to Block, by postures: files and processes share one. Those that are in Block then."""
    applied = _in_force(name)
    if confirm or confirm_within is not None:
        raise UsageError(
            "KubeArmor has no deadline: --confirm-within is for the other back ends",
            f"`discover enforce stop {name}` takes the policies away",
        )
    wanted = frozenset(CLASSES[c] for c in classes)
    file = _FOLDER / f"{name}.yaml"
    file.write_text(applied.policies)
    gates.checked([file], dataset, accept_incomplete=accept_incomplete)
    _audited(name, accept=accept_violations)
    _block(cluster or Kubectl(), applied, wanted, accept, None, say)
    return tuple(sorted({*applied.block, *wanted}))


def _in_force(name: str) -> Applied:
    applied = _read(name)
    if applied is None:
        raise UsageError(
            f"no policy set called {name} was applied from here", f"applied: {', '.join(names()) or 'none'}"
        )
    return applied


def stop(name: str, cluster: Cluster | None = None) -> None:
    """Delete the policies. The namespace's posture stays: others may depend on it."""
    applied = _in_force(name)
    for policy in applied.parsed:
        (cluster or Kubectl()).delete(_KIND, policy.name, applied.namespace)
    _file(name).unlink()


def break_glass(cluster: Cluster | None = None) -> int:
    """Every namespace of ours back to Audit, with its policies; how many policy sets that was. Needs the API server."""
    for name in names():
        applied = _in_force(name)
        audit = Applied(applied.name, applied.namespace, applied.policies)
        _apply(cluster or Kubectl(), audit, needed(applied.parsed), "audit", None)
    return len(names())


def status() -> list[dict[str, Any]]:
    """Each policy set as it was applied from here; KubeArmor counts what it decides."""
    found = []
    for name in names():
        applied = _in_force(name)
        none = dict.fromkeys(("process", "file", "network", "capabilities"), 0)
        found.append(
            {
                "name": name,
                "target": f"namespace {applied.namespace}, by KubeArmor",
                "backend": "kubearmor",
                "block": [c for c, posture in CLASSES.items() if posture in applied.block],
                "failed": "",
                "failed_after": [],
                "confirm_within_s": None,
                "processes": None,
                "denied": none,
                "audited": none,
                "said": [f"what it decides is in `karmor logs -n {applied.namespace}`"],
            }
        )
    return found
