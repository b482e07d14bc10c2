"""One policy a workload: learned, named, selected, commented."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from discover.decisions import Decisions, MustSee
from discover.errors import UsageError
from discover.generate.comments import comments_of, header_of
from discover.generate.pool import side_by_side
from models.coverage import Estimate
from models.dataset import Dataset
from models.evidence import Evidence
from models.evidence_parts import stored
from models.learn import CannotFit, Learned, Options, learn
from models.learn.estimates import rule_estimates
from models.learn.kinds import Kind, kinds
from models.learn.starting import for_the_start_alone
from models.policy import (
    START_UP,
    KubeArmorHostPolicy,
    KubeArmorPolicy,
    Metadata,
    NodeSelector,
    Policy,
    Selector,
    Target,
    dump_policy,
    start_up_annotation,
)

__all__ = ["LARGE", "Generated", "Refused", "Request", "generate", "generate_each"]

LARGE = 2_000_000
"""Rows from which the workloads of a dataset are learned side by side."""
Answer = TypeVar("Answer")

_CHANGING = re.compile(
    r"pod-template-hash|controller-revision-hash|pod-template-generation|statefulset\.kubernetes\.io/pod-name|"
    r"apps\.kubernetes\.io/pod-index|batch\.kubernetes\.io/.*|job-name|controller-uid|io\.kubernetes\..*|"
    r"io\.(?:cri-containerd|buildah|podman).*|org\.opencontainers\..*|com\.docker\..*|maintainer|helm\.sh/chart|"
    r"app\.kubernetes\.io/version"
)
"""Labels that change from run to run or from release to release, or that a runtime or an image sets."""


@dataclass(frozen=True)
class Request:
    """What `generate` is asked for."""

    options: Options = field(default_factory=Options)
    workload: str | None = None
    """Only this one."""
    name: str | None = None
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the policy selects, instead of the labels that were recorded."""
    decisions: Decisions = field(default_factory=Decisions)
    file: Path | None = None
    """Where the policy is to go, if there is room for one alone."""


@dataclass(frozen=True)
class Generated:
    """A policy and everything about how it came to be."""

    evidence: Evidence
    learned: Learned
    policy: Policy
    coverage: Mapping[str, Estimate]
    must_see: tuple[MustSee, ...]
    assumed: tuple[str, ...]
    """What was taken for granted, a sentence each."""
    kinds: tuple[Kind, ...]
    """Units that work alike; empty with fewer than four."""
    text: str
    """The policy as YAML, with comments."""


@dataclass(frozen=True)
class Refused:
    """A workload that the target cannot hold."""

    evidence: Evidence
    error: CannotFit


def generate(dataset: Dataset, request: Request | None = None) -> Iterator[Generated | Refused]:
    """Learn a policy for each workload of a dataset, one at a time, in the order of their names.

    Raises `UsageError` where a workload is named that is not there, or one name is given to several.
    """
    return generate_each(dataset, request or Request(), _itself, jobs=1)


def generate_each(
    dataset: Dataset, request: Request, finish: Callable[[Generated | Refused], Answer], *, jobs: int | None = None
) -> Iterator[Answer]:
    """The same, side by side in `jobs` processes: what `finish` makes of each policy, in the process that learned it.

    By default one process a processor where there are many rows, else none besides this one. `finish` and its answers
    have to be picklable then, and better small.
    """
    drills = {u["unit"]: set(u["drills"] or ()) for u in dataset.units().to_pylist()}
    everything = stored(dataset)
    wanted = [(e, n) for e, n in everything if request.workload in (None, e.workload.name, str(e.workload))]
    if not wanted:
        have = ", ".join(str(e.workload) for e, _ in everything) or "none"
        raise UsageError(f"no workload {request.workload!r} in what was recorded", f"there are: {have}")
    if request.name and len(wanted) > 1:
        raise UsageError(
            "several workloads were recorded, and --name names one policy", "add --workload NAME to choose one"
        )
    if request.file and len(wanted) > 1:
        raise UsageError(
            f"several workloads were recorded ({wanted[0][0].workload}, {wanted[1][0].workload}), and "
            f"{request.file} is one file",
            f"name a folder: -o {request.file.with_suffix('')}/",
        )
    taken: set[str] = set()
    tasks = [
        _Task(evidence, _name(evidence, request, taken), {d for u in evidence.units for d in drills.get(u, ())})
        for evidence, _ in wanted
    ]
    if jobs is None:
        jobs = (os.cpu_count() or 1) if sum(rows for _, rows in wanted) >= LARGE else 1
    work = partial(_worked, request=request, options=_options(request), finish=finish)
    yield from side_by_side(work, tasks, min(jobs, len(tasks)), (__name__, "sklearn.cluster"))


@dataclass(frozen=True)
class _Task:
    """What is known of a workload before it is learned."""

    evidence: Evidence
    name: str
    drills: set[str]


def _worked(task: _Task, request: Request, options: Options, finish: Callable[[Generated | Refused], Answer]) -> Answer:
    try:
        learned = learn(task.evidence, options)
    except CannotFit as error:
        return finish(Refused(task.evidence, error))
    return finish(_made(task.evidence, learned, task.name, request, task.drills))


def _itself(made: Generated | Refused) -> Generated | Refused:
    return made


def _options(request: Request) -> Options:
    decisions = request.decisions
    return replace(
        request.options,
        sensitive=(*request.options.sensitive, *(d.value for d in decisions.sensitive)),
        refuse=(*request.options.refuse, *(d.value for d in decisions.refusals)),
        additions=(*request.options.additions, *decisions.rules()),
    )


def _made(evidence: Evidence, learned: Learned, name: str, request: Request, drills: set[str]) -> Generated:
    labels, assumed = _labels(evidence, request)
    namespace = request.namespace or evidence.workload.namespace or None
    annotations = {"discover.kubearmor.io/target": str(learned.options.target)}
    starting = for_the_start_alone(learned) if learned.options.target is Target.DISCOVER else []
    if starting:
        annotations[START_UP] = start_up_annotation(starting)
        assumed.append(
            f"{', '.join(starting)} ran while the workload started and never later: `discover enforce` withdraws it "
            f"then (annotation {START_UP})"
        )
    policy: Policy
    if evidence.is_host:
        spec = replace(learned.spec, node_selector=NodeSelector(match_labels=labels))
        policy = KubeArmorHostPolicy(metadata=Metadata(name=name, annotations=annotations), spec=spec)
    else:
        spec = replace(learned.spec, selector=Selector(match_labels=labels))
        metadata = Metadata(name=name, namespace=namespace, annotations=annotations)
        policy = KubeArmorPolicy(metadata=metadata, spec=spec)
    coverage = rule_estimates(learned)
    must_see = tuple(request.decisions.must_sees(evidence, drills))
    alike = kinds(learned)
    body = dump_policy(policy, comments_of(learned))
    text = header_of(evidence, learned, coverage, must_see, assumed, alike) + body
    return Generated(evidence, learned, policy, coverage, must_see, tuple(assumed), alike, text)


def _labels(evidence: Evidence, request: Request) -> tuple[dict[str, str], list[str]]:
    if request.labels:
        return dict(sorted(request.labels.items())), []
    kept = {k: v for k, v in sorted(evidence.labels.items()) if not _CHANGING.fullmatch(k)}
    if kept:
        return kept, []
    if evidence.is_host:
        return {"kubernetes.io/os": "linux"}, ["no node label was recorded: the policy selects every Linux node"]
    label = _dns_name(evidence.workload.name)
    return {"app": label}, [f"no label was recorded: the policy selects app={label} (--label KEY=VALUE says otherwise)"]


def _name(evidence: Evidence, request: Request, taken: set[str]) -> str:
    """A name that no earlier policy has; `taken` gains it."""
    workload = evidence.workload
    base = request.name or _dns_name(workload.name)
    if base in taken and workload.container:
        base = _dns_name(f"{workload.name}-{workload.container}")
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    taken.add(name)
    return name


def _dns_name(text: str) -> str:
    """A name that Kubernetes takes (RFC 1123 label), from one that a workload may have chosen."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:58].strip("-")
    return name or "workload"
