"""What the learner gives: rules, each with its evidence and its price, and what could not be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from models.evidence import Workload
from models.policy import PolicyClass, Spec, Target

__all__ = [
    "Admission",
    "CannotFit",
    "ClassState",
    "Learned",
    "LearnedRule",
    "Options",
    "Outlier",
    "RuleEvidence",
    "Why",
]


class ClassState(StrEnum):
    """What is known about a class of behaviour, and so what the policy says about it."""

    USED = "used"
    """It has rules: what they do not list follows the posture."""
    CLOSED = "closed"
    """Watched and never used, or all of it refused by people: closed explicitly, where the CRD can say so."""
    OPEN = "open"
    """Watched and never used, but the CRD cannot close it."""
    UNWATCHED = "unwatched"
    """Nobody looked: no rules, and the class reads incomplete."""


class Why(StrEnum):
    """Why a rule has the shape that it has."""

    SEEN = "seen"
    """Exactly what was seen."""
    SLOT = "slot"
    """A name with a varying part of known shape: pid, uuid, hash, counter, temporary suffix."""
    NAMES = "names"
    """Names with a common beginning or end of which new ones keep coming."""
    DIRECTORY = "directory"
    """A directory in which new names keep coming."""
    TREE = "tree"
    """A directory below which new directories and names keep coming."""
    COMPLETE = "complete"
    """A directory that packages brought, every file of which is read: the same today, in one rule."""
    OWN = "own"
    """A directory of the workload's own: every unit writes every name in it, and nothing else is there."""
    LIMITS = "limits"
    """Wider than the evidence asks for, because the target cannot hold the rules one by one."""
    DECIDED = "decided"
    """People decided it (``discover.yaml``)."""
    CLOSED = "closed"
    """Watched and unused: a Block rule that closes a class."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What exists and a rule admits beyond what was seen (from the inventory)."""

    existing: int = 0
    sensitive: tuple[str, ...] = ()
    """Sensitive ones among them, at most ten named."""
    examples: tuple[str, ...] = ()
    """Some of them, at most five, in order."""
    known: bool = True
    """False where no inventory says what exists there."""


@dataclass(frozen=True, slots=True)
class RuleEvidence:
    """Why a rule is there."""

    why: Why
    behaviours: int = 0
    """Distinct accesses that it covers."""
    count: int = 0
    """How often they happened."""
    units: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    executables: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    examples: tuple[str, ...] = ()
    """Some of the objects that it covers, at most five, in order."""
    admits: Admission = Admission()
    note: str = ""
    """One sentence for a person, where there is something to add."""


@dataclass(frozen=True, slots=True)
class LearnedRule:
    """One rule with its evidence."""

    section: str
    """``process``, ``file``, ``network`` or ``capabilities``: the attribute of `models.policy.Spec`."""
    field: str
    """``match_paths``, ``match_directories``, ``match_patterns``, ``match_protocols``, ``match_capabilities``."""
    rule: Any
    """The model's object: `ProcessPath`, `FilePath`, `FileDirectory`, `FilePattern`, `ProtocolRule`, …"""
    evidence: RuleEvidence


@dataclass(frozen=True, slots=True)
class Outlier:
    """A unit that behaves unlike the others: set apart, not learned from."""

    unit: str
    score: float
    reasons: tuple[str, ...]
    """What it alone did, worst first."""


@dataclass(frozen=True)
class Options:
    """What the learner is asked for."""

    target: Target = Target.DISCOVER
    sessions: bool = False
    """Also learn from what people did through ``exec`` into the container."""
    keep_outliers: bool = False
    """Also learn from units that behave unlike the others."""
    sensitive: tuple[str, ...] = ()
    """Patterns of further sensitive paths (`models.policy.patterns`)."""
    refuse: tuple[str, ...] = ()
    """Patterns of paths, executables, protocols and capabilities that no rule may admit, whatever was seen."""
    additions: tuple[LearnedRule, ...] = ()
    """Rules that people decided to have, whatever was seen."""
    max_file_rules: int | None = None
    """Fewer, wider file rules for people who have to read them: the least wide that keep to this number."""
    denial_weight: float = 25.0
    """What one expected denial per unit costs, in existing files newly admitted."""


@dataclass(frozen=True)
class Learned:
    """The policy of one workload, with why."""

    workload: Workload
    options: Options
    rules: tuple[LearnedRule, ...]
    """In the order in which the policy lists them."""
    classes: Mapping[PolicyClass, ClassState]
    units: tuple[str, ...]
    """Units that were learned from."""
    outliers: tuple[Outlier, ...] = ()
    warnings: tuple[str, ...] = ()
    """What a person should know before applying it, one sentence each."""
    keys: int | None = None
    """KubeArmor's rule keys, where the target counts them."""
    spec: Spec = field(default_factory=Spec)
    """The body of the policy, without a selector."""


class CannotFit(Exception):
    """The target cannot hold what the workload needs.

    `nearest` is the target that can. `hint` says what to do.
    """

    exit_code = 1

    def __init__(self, message: str, nearest: Target, reasons: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.nearest = nearest
        self.reasons = tuple(reasons)
        self.hint = hint or f"--target {nearest} can hold it"
