"""What a command was given on its command line: policies or recordings, and which policy is for which workload.

A file is a policy file, but for ``recording.json``; a folder with recordings in it is a dataset; a folder with YAML
files is a folder of policies.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from discover.errors import UsageError
from models.dataset import Dataset, DatasetError, find_recordings, open_dataset
from models.dataset_layout import MANIFEST
from models.evidence import Evidence
from models.policy import Kind, MatchExpression, Policy, PolicyError, read_policies

__all__ = ["Chosen", "Given", "PolicyFault", "choose", "fits", "labels_of", "read_policy_files", "sort_out"]

_SUFFIXES = (".yaml", ".yml", ".json")


class PolicyFault(UsageError):
    """A policy file that cannot be used; the message has every problem with its line."""

    exit_code = 2


@dataclass(frozen=True)
class Given:
    """What was named on a command line."""

    policy_files: tuple[Path, ...]
    datasets: tuple[Path, ...]

    def policies(self) -> list[Policy]:
        """The policies of all files, in the order in which they were named. Raises `PolicyFault`."""
        return [p for policies in read_policy_files(self.policy_files).values() for p in policies]

    def dataset(self) -> Dataset:
        """The recordings read as one. Raises what `open_dataset` raises."""
        return open_dataset(self.datasets)


def sort_out(named: Sequence[str | Path]) -> Given:
    """Tell policy files from datasets. Raises `UsageError` for what is neither, or both."""
    files: list[Path] = []
    datasets: list[Path] = []
    for name in named:
        place = Path(name)
        try:
            is_folder, exists = place.is_dir(), place.exists()
        except OSError as e:
            raise DatasetError(f"cannot read {place}: {e.strerror}", "use sudo, or name another place", place) from e
        if not exists:
            raise UsageError(f"{place} does not exist", "name a policy file, a folder of them, or a recording's folder")
        if not is_folder:
            if place.name == MANIFEST:
                datasets.append(place.parent)
            else:
                files.append(place)
            continue
        recordings = bool(find_recordings(place))
        inside = [] if recordings and (place / MANIFEST).is_file() else _policy_files(place)
        if recordings and inside:
            hint = f"name them apart, as {inside[0]} and the folder of a recording"
            raise UsageError(f"{place} holds policies and recordings", hint)
        if recordings:
            datasets.append(place)
        elif inside:
            files += inside
        else:
            raise UsageError(f"{place} holds neither YAML files nor a recording", "name a policy file or a recording")
    return Given(tuple(files), tuple(datasets))


_POLICY = re.compile(r"""kind["']?\s*:\s*["']?KubeArmor|security\.kubearmor\.com/""")


def _policy_files(folder: Path) -> list[Path]:
    """The files below a folder that hold policies; others lie there too: posture patches, evidence, kustomizations."""
    found = (f for f in sorted(folder.rglob("*")) if f.suffix in _SUFFIXES and f.is_file())
    return [f for f in found if _POLICY.search(f.read_text(encoding="utf-8", errors="replace"))]


def read_policy_files(files: Iterable[Path]) -> dict[Path, list[Policy]]:
    """The policies by file. Raises `PolicyFault` with the problems of all files, and for no policy at all."""
    read: dict[Path, list[Policy]] = {}
    problems: list[str] = []
    for file in files:
        try:
            read[file] = read_policies(file)
        except PolicyError as error:
            problems += map(str, error.problems)
        except OSError as error:
            problems.append(f"{file}: {error.strerror}")
    if problems:
        raise PolicyFault("\n".join(problems), "`discover check FILE` says what is wrong with a policy")
    if not any(read.values()):
        names = ", ".join(map(str, read)) or "nothing that was named"
        raise UsageError(f"no KubeArmor policy in {names}", "name a file with a KubeArmorPolicy in it")
    return read


@dataclass(frozen=True)
class Chosen:
    """The policies for one workload."""

    policies: tuple[Policy, ...]
    assumed: tuple[str, ...]
    """What was taken for granted, a sentence each."""


def labels_of(policy: Policy) -> str:
    """What a policy selects, as people write it: ``app=web``."""
    spec = policy.spec
    if policy.kind is Kind.HOST:
        chosen = spec.node_selector.match_labels if spec.node_selector else None
        return ",".join(f"{k}={v}" for k, v in sorted((chosen or {}).items())) or "every node"
    if spec.selector is None:
        return "everything"
    parts = [f"{k}={v}" for k, v in sorted((spec.selector.match_labels or {}).items())]
    parts += [f"{e.key} {e.operator} ({', '.join(e.values)})" for e in spec.selector.match_expressions]
    return ",".join(parts) or "everything"


def choose(policies: Sequence[Policy], evidence: Evidence, select: Sequence[str] = ()) -> Chosen:
    """The policies that select a workload.

    `select` holds ``LABEL=VALUE`` (what the workload's labels are) and names of policies (globs; the only ones that
    apply). A recording without labels is taken to be what the policies select, and that is said; where they select
    different workloads nothing is guessed.

    Raises `UsageError` for a name that no policy has, and for selectors that contradict each other.
    """
    names = [s for s in select if "=" not in s]
    told = dict(s.split("=", 1) for s in select if "=" in s)
    for name in names:
        if not any(fnmatch.fnmatchcase(p.name, name) for p in policies):
            have = ", ".join(sorted({p.name for p in policies}))
            raise UsageError(f"no policy is named {name}", f"there are {have}")
    kept = [p for p in policies if not names or any(fnmatch.fnmatchcase(p.name, n) for n in names)]
    host = [p for p in kept if (p.kind is Kind.HOST) == evidence.is_host]
    assumed = [] if len(host) == len(kept) else [_other_kind(evidence, len(kept) - len(host))]
    labels = {**evidence.labels, **told}
    if names:
        if not labels:
            assumed.append(f"the policies that were selected by name are for {evidence.workload}")
        return Chosen(tuple(host), tuple(assumed))
    if labels:
        return Chosen(tuple(p for p in host if fits(p, evidence, labels)), tuple(assumed))
    wanted = {labels_of(p) for p in host}
    if len(wanted) > 1:
        listed = "; ".join(sorted(f"{p.name}: {labels_of(p)}" for p in host))
        hint = "say what the workload is with --select LABEL=VALUE, or which policy is meant with --select NAME"
        raise UsageError(
            f"{evidence.workload} has no labels, and the policies select different things ({listed})", hint
        )
    if host and wanted != {"everything"}:
        assumed.append(f"{evidence.workload} has no labels: taken to be what the policy selects ({wanted.pop()})")
    return Chosen(tuple(host), tuple(assumed))


def _other_kind(evidence: Evidence, count: int) -> str:
    many = "1 policy is" if count == 1 else f"{count} policies are"
    kind = "containers" if evidence.is_host else "hosts"
    return f"{many} for {kind}, and {evidence.workload} is none: left out"


def fits(policy: Policy, evidence: Evidence, labels: Mapping[str, str]) -> bool:
    """Whether a policy selects a workload with these labels."""
    namespace = policy.metadata.namespace
    ours = evidence.workload.namespace
    if policy.kind is Kind.POLICY and namespace and ours and namespace != ours:
        return False
    chosen = policy.spec.node_selector if policy.kind is Kind.HOST else policy.spec.selector
    if chosen is None:
        return True
    for key, value in (chosen.match_labels or {}).items():
        if key == "kubearmor.io/container.name":
            if evidence.workload.container and evidence.workload.container not in value.strip("[]").split(","):
                return False
        elif labels.get(key) != value:
            return False
    return all(_expression(e, evidence, labels) for e in getattr(chosen, "match_expressions", ()))


def _expression(expression: MatchExpression, evidence: Evidence, labels: Mapping[str, str]) -> bool:
    """One expression: a label is written ``key=value``."""
    if expression.key == "namespace":
        inside = evidence.workload.namespace in expression.values
    else:
        inside = any(labels.get(k) == v for k, _, v in (x.partition("=") for x in expression.values))
    return inside if expression.operator == "In" else not inside
