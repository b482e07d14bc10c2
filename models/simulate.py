"""What policies would deny of a recorded behaviour: pure, from a compiled rule set and what was seen to a report.

Two things that a recording cannot contain are derived for KubeArmor, because a real one shows them:

- *copy-up*: the first change of a file of the image on overlayfs. The kernel copies the file up through a temporary
  file beside the layers, whose path no list has (``fs/overlayfs/copy_up.c``; `models.policy.Access.copy_up`). It is
  the first change where the recorder saw overlayfs, and the file was not made by the workload itself, and the inventory
  has it, if there is one.
- *runtime*: what the container runtime does at an exec (`models.runtime_needs`), where the recording has no probe. It
  is reported apart, since a workload that nobody executes anything in does not need it.

An executable that is judged under the file class, and a rename that is denied without an alert, are the dialect's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.behaviour import Object, Phase
from models.evidence import Seen
from models.policy import Access, Decision, Dialect, Op, PolicyClass, Rule, Ruleset, Verdict
from models.policy.decision import DEFAULT_POSTURE
from models.policy.kubearmor import COPY_UP
from models.runtime_needs import AT_EXEC

__all__ = ["Denial", "Group", "Simulation", "Tally", "images_files", "simulate"]

_MAKES = frozenset({Op.RENAME_TO, Op.LINK_TO, Op.MKNOD, Op.SYMLINK, Op.MKDIR})
_COPIES_UP = frozenset({Op.TRUNCATE, Op.CHMOD, Op.CHOWN, Op.RENAME_FROM, Op.LINK_FROM})
"""Beside an open for writing: ``ovl_setattr``, ``ovl_rename`` and ``ovl_link`` copy the file up before they act."""
_SECTIONS = {
    "Process": PolicyClass.PROCESS,
    "File": PolicyClass.FILE,
    "Network": PolicyClass.NETWORK,
    "Capabilities": PolicyClass.CAPABILITIES,
    "Syscall": PolicyClass.SYSCALLS,
}
_START = frozenset({str(Phase.RUNTIME_INIT)})


@dataclass(frozen=True, slots=True)
class Denial:
    """One distinct access that would be denied, or that would raise an alert."""

    seen: Seen
    decision: Decision
    section: PolicyClass
    """The class that decided: KubeArmor judges the opening of an executable under ``file``."""
    reason: str = ""
    """Empty, or why the recording could not show it: ``copy-up``, ``exec-file``."""

    @property
    def path(self) -> str:
        """The path or other object."""
        return self.seen.access.path

    @property
    def silent(self) -> bool:
        """Whether it is denied without an alert."""
        return self.decision.verdict is Verdict.BLOCK and not self.decision.alerts


@dataclass(frozen=True)
class Group:
    """What one rule, or the posture of one class, would deny."""

    section: PolicyClass
    verdict: Verdict
    policy: str
    """Name of the policy, or ``DefaultPosture``."""
    rule: Rule | None
    denials: tuple[Denial, ...]
    """The most frequent first."""

    @property
    def listed(self) -> bool:
        """Whether a rule speaks, and not the posture about what no rule lists."""
        return self.rule is not None

    @property
    def count(self) -> int:
        """Events of all its accesses."""
        return sum(d.seen.count for d in self.denials)

    @property
    def units(self) -> frozenset[str]:
        """The units in which any of it happened."""
        return frozenset().union(*(d.seen.units for d in self.denials))

    @property
    def phases(self) -> frozenset[str]:
        """The phases in which any of it happened."""
        return frozenset().union(*(d.seen.phases for d in self.denials))


@dataclass(slots=True)
class Tally:
    """x of y: distinct accesses and events of a class, judged and denied."""

    accesses: int = 0
    events: int = 0
    denied: int = 0
    denied_events: int = 0


@dataclass(frozen=True)
class Simulation:
    """What would happen to everything that was seen."""

    units: tuple[str, ...]
    by_class: Mapping[PolicyClass, Tally]
    """By the class that judges an access first; ``denied`` counts whatever denied it in the end."""
    groups: tuple[Group, ...]
    """What would be denied (or alerted by an audit posture), the most frequent first."""
    audited: tuple[Group, ...] = ()
    """What Audit rules would tell."""
    runtime: tuple[Decision, ...] = ()
    """What KubeArmor would deny of the container runtime at an exec, where no probe was recorded."""
    unjudged: int = 0
    """Distinct accesses that no policy judges (mappings, messages)."""
    at_start: int = 0
    """Distinct accesses of the container runtime at the start, which are not judged."""
    notes: tuple[str, ...] = field(default=())

    @property
    def total(self) -> Tally:
        """All classes together."""
        out = Tally()
        for tally in self.by_class.values():
            out.accesses += tally.accesses
            out.events += tally.events
            out.denied += tally.denied
            out.denied_events += tally.denied_events
        return out

    @property
    def denials(self) -> tuple[Denial, ...]:
        """Every access that would be denied or alerted by posture."""
        return tuple(d for g in self.groups for d in g.denials)

    @property
    def units_hit(self) -> frozenset[str]:
        """The units in which anything would be denied."""
        return frozenset().union(*(g.units for g in self.groups))


def images_files(paths: Iterable[str], objects: Iterable[str]) -> frozenset[str]:
    """The regular files of an inventory."""
    return frozenset(p for p, o in zip(paths, objects, strict=True) if o == Object.FILE)


def simulate(
    ruleset: Ruleset,
    seen: Sequence[Seen],
    *,
    dialect: Dialect = Dialect.DISCOVER,
    units: Iterable[str] = (),
    inventory: frozenset[str] | None = None,
) -> Simulation:
    """Judge every access of one workload.

    `units` are all that were recorded, so that x of y counts those in which nothing happened too. `inventory` are the
    files of the image, None where nobody listed them.
    """
    kubearmor = dialect is Dialect.KUBEARMOR_BPFLSM
    made = _made(seen) if kubearmor else frozenset()
    tallies: dict[PolicyClass, Tally] = {}
    found: dict[tuple[str, str, str, str], list[Denial]] = {}
    unjudged = at_start = 0
    for one in seen:
        policy_class = one.access.policy_class
        if policy_class is None:
            unjudged += 1
            continue
        if one.phases == _START:
            at_start += 1
            continue
        tally = tallies.get(policy_class)
        if tally is None:
            tally = tallies[policy_class] = Tally()
        tally.accesses += 1
        tally.events += one.count
        decision, reason = _decide(ruleset, one, made, inventory) if kubearmor else (ruleset.decide(one.access), "")
        if decision.verdict is Verdict.ALLOW:
            continue
        section = _section(decision, policy_class)
        if kubearmor and one.access.op is Op.EXEC and section is PolicyClass.FILE:
            reason = "exec-file"
        denial = Denial(one, decision, section, reason)
        where = decision.rule.where if decision.rule else _alerted(decision)
        found.setdefault((section, decision.verdict, decision.policy, where), []).append(denial)
        if _counts(decision):
            tally.denied += 1
            tally.denied_events += one.count
    groups = [_group(denials) for denials in found.values()]
    groups.sort(key=lambda g: (g.verdict is not Verdict.BLOCK, -g.count, g.section, g.policy, g.denials[0].path))
    probed = any(Phase.PROBE in s.phases for s in seen)
    return Simulation(
        units=tuple(sorted(set(units) | {u for s in seen for u in s.units})),
        by_class={c: tallies[c] for c in PolicyClass if c in tallies},
        groups=tuple(g for g in groups if _counts(g.denials[0].decision)),
        audited=tuple(g for g in groups if not _counts(g.denials[0].decision)),
        runtime=() if probed or not kubearmor else _at_exec(ruleset),
        unjudged=unjudged,
        at_start=at_start,
    )


def _at_exec(ruleset: Ruleset) -> tuple[Decision, ...]:
    answers = [(a, ruleset.decide(a)) for a in AT_EXEC]
    return tuple(replace(d, path=a.path or _socket_name(a)) for a, d in answers if d.verdict is Verdict.BLOCK)


def _socket_name(access: Access) -> str:
    return "a unix stream socket" if access.type == 1 else "a netlink socket"


def _counts(decision: Decision) -> bool:
    """A denial, or an alert because no rule lists the access; not what an Audit rule was written to tell."""
    return decision.verdict is Verdict.BLOCK or decision.policy == DEFAULT_POSTURE


def _alerted(decision: Decision) -> str:
    return decision.alerts[0].where if decision.alerts else ""


def _section(decision: Decision, first: PolicyClass) -> PolicyClass:
    if decision.rule is not None:
        return PolicyClass.DNS if decision.rule.match == "domain" else PolicyClass(decision.rule.section)
    if decision.alerts and first is not PolicyClass.DNS:
        return _SECTIONS.get(decision.alerts[-1].operation, first)
    return first


def _group(denials: list[Denial]) -> Group:
    first = denials[0]
    ordered = sorted(denials, key=lambda d: (-d.seen.count, d.seen.access.path, d.seen.access.op, d.seen.access.source))
    return Group(first.section, first.decision.verdict, first.decision.policy, first.decision.rule, tuple(ordered))


# -- what only a real KubeArmor shows --------------------------------------------------------------------------------


def _made(seen: Iterable[Seen]) -> frozenset[str]:
    """The paths that the workload made itself: they are no files of the image."""
    return frozenset(s.access.path for s in seen if s.access.create or s.access.op in _MAKES)


def _decide(
    ruleset: Ruleset, one: Seen, made: frozenset[str], inventory: frozenset[str] | None
) -> tuple[Decision, str]:
    access = one.access
    if access.op is Op.EXEC and one.fs == "overlay":
        access = replace(access, overlay=True, owner_match=True)
    decision = ruleset.decide(access)
    if decision.verdict is Verdict.BLOCK or one.fs != "overlay" or not _changes_image(one, made, inventory):
        return decision, ""
    if access.op is Op.OPEN:
        copied = ruleset.decide(replace(access, copy_up=True))
    else:  # the copy is the same; what asks for it has been judged above
        copied = ruleset.decide(replace(access, op=Op.OPEN, path=COPY_UP, write=True, owner_match=True))
    if copied.verdict is decision.verdict:
        return decision, ""
    return copied, "copy-up"


def _changes_image(one: Seen, made: frozenset[str], inventory: frozenset[str] | None) -> bool:
    access = one.access
    changes = (access.op is Op.OPEN and access.write and not access.create) or access.op in _COPIES_UP
    if not changes or access.path in made or access.directory:
        return False
    if inventory is not None:
        return access.path in inventory
    return one.object == Object.FILE
