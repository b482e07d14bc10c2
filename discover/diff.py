"""Two policies or two recordings compared, with the evidence for what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from discover.check import sidecar_of
from discover.coverage import learner
from discover.errors import UsageError
from discover.explain import rule_words
from discover.inputs import Given, labels_of, read_policy_files, sort_out
from discover.text import printable
from discover.words import access_words, listed, many, share
from models.behaviour_diff import Difference, difference
from models.dataset import open_dataset
from models.evidence import Evidence, Seen, Workload, gather
from models.learn import RuleEvidence
from models.learn.sidecar import BadSidecar
from models.policy import Policy, Rule
from models.policy_diff import Change, compare

__all__ = ["DatasetDiff", "PolicyDiff", "as_json", "as_lines", "diff"]

_WORDS = {
    "class opened": "is no allow-list any more: everything in it is permitted",
    "class closed": "is an allow-list now: what it does not list follows the posture",
}


@dataclass(frozen=True)
class PolicyDiff:
    """One policy in two versions; a side is None where only the other has it."""

    name: str
    old: Policy | None
    new: Policy | None
    changes: tuple[Change, ...]
    evidence: Mapping[tuple[str, str], RuleEvidence] = field(default_factory=dict)
    """By side (``old``, ``new``) and field path."""
    units: Mapping[str, int] = field(default_factory=dict)
    """By side: how many units its evidence is from."""

    @property
    def differs(self) -> bool:
        """Whether the two permit different things, or select different workloads."""
        return bool(self.changes) or self.selects is not None or self.old is None or self.new is None

    @property
    def selects(self) -> tuple[str, str] | None:
        """What the two select, if that differs."""
        if self.old is None or self.new is None:
            return None
        before, after = labels_of(self.old), labels_of(self.new)
        return (before, after) if before != after else None


@dataclass(frozen=True)
class DatasetDiff:
    """One workload in two recordings; a side is None where only the other has it."""

    workload: Workload
    difference: Difference | None
    only: str = ""
    """``old`` or ``new``, where only one side has the workload."""

    @property
    def differs(self) -> bool:
        """Whether anything came or went."""
        return self.difference is None or self.difference.differs


def diff(old: str | Path, new: str | Path, *, raw: bool = False) -> list[PolicyDiff] | list[DatasetDiff]:
    """Compare two policies (files or folders), or two datasets. Raises `UsageError` for one of each.

    `raw` takes every name that only one of two recordings has for a difference, random ones too.
    """
    before, after = sort_out([old]), sort_out([new])
    if before.datasets and after.datasets:
        return _datasets(before, after, raw=raw)
    if before.policy_files and after.policy_files:
        return _policies(before, after)
    raise UsageError(f"{old} and {new} are not of one kind", "compare two policies, or two recordings")


# -- policies --------------------------------------------------------------------------------------------------------


def _policies(before: Given, after: Given) -> list[PolicyDiff]:
    sides = {name: _named(given) for name, given in (("old", before), ("new", after))}
    old, new = sides["old"], sides["new"]
    if len(old) == 1 == len(new):  # a renamed policy is the same one
        (was,), (now,) = old.values(), new.values()
        return [_one(now[0].name, was, now)]
    return [_one(key[2], old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())]


_Placed = tuple[Policy, Path]


def _named(given: Given) -> dict[tuple[str, str, str], _Placed]:
    return {
        (str(p.kind), p.metadata.namespace or "", p.name): (p, file)
        for file, policies in read_policy_files(given.policy_files).items()
        for p in policies
    }


def _one(name: str, old: _Placed | None, new: _Placed | None) -> PolicyDiff:
    evidence: dict[tuple[str, str], RuleEvidence] = {}
    units: dict[str, int] = {}
    for side, placed in (("old", old), ("new", new)):
        if placed is None:
            continue
        try:
            sidecar = sidecar_of(placed[1])
        except BadSidecar:
            continue  # evidence that cannot be read is none
        if sidecar is not None and sidecar.policy == placed[0].name:
            evidence |= {(side, where): e for where, e in sidecar.rules.items()}
            units[side] = len(sidecar.units)
    changes = compare([old[0]] if old else [], [new[0]] if new else [])
    return PolicyDiff(name, old and old[0], new and new[0], tuple(changes), evidence, units)


# -- datasets --------------------------------------------------------------------------------------------------------


def _datasets(before: Given, after: Given, *, raw: bool) -> list[DatasetDiff]:
    old, new = ({e.workload: e for e in gather(open_dataset(g.datasets))} for g in (before, after))
    learn = None if raw else learner()
    if len(old) == 1 == len(new):
        (was,), (now,) = old.values(), new.values()
        return [DatasetDiff(now.workload, difference(was, now, learn))]
    answer = []
    for workload in sorted(old.keys() | new.keys()):
        first, second = old.get(workload), new.get(workload)
        if first is not None and second is not None:
            answer.append(DatasetDiff(workload, difference(first, second, learn)))
        else:
            answer.append(DatasetDiff(workload, None, "new" if first is None else "old"))
    return answer


# -- for programs ----------------------------------------------------------------------------------------------------


def as_json(found: PolicyDiff | DatasetDiff) -> dict[str, Any]:
    """One policy or workload as plain values."""
    if isinstance(found, DatasetDiff):
        return _dataset_json(found)
    return {
        "policy": found.name,
        "only": "new" if found.old is None else "old" if found.new is None else None,
        "selects": list(found.selects) if found.selects else None,
        "changes": [
            {
                "kind": str(c.kind),
                "class": c.section,
                "gives": c.gives,
                "old": [_rule_json(found, "old", r) for r in c.old],
                "new": [_rule_json(found, "new", r) for r in c.new],
            }
            for c in found.changes
        ],
    }


def _rule_json(found: PolicyDiff, side: str, rule: Rule) -> dict[str, Any]:
    evidence = found.evidence.get((side, rule.where))
    return {
        "rule": rule.where,
        "action": str(rule.action),
        "value": rule.value,
        "words": rule_words(rule),
        "evidence": asdict(evidence) if evidence else None,
    }


def _dataset_json(found: DatasetDiff) -> dict[str, Any]:
    different = found.difference
    return {
        "workload": str(found.workload),
        "only": found.only or None,
        "classes": {
            str(name): {
                "old": c.old,
                "new": c.new,
                "only_old": c.only_old,
                "only_new": c.only_new,
                "comparable": c.comparable,
                "gone": [_seen_json(s) for s in c.gone],
                "came": [_seen_json(s) for s in c.came],
            }
            for name, c in (different.classes.items() if different else ())
        },
    }


def _seen_json(seen: Seen) -> dict[str, Any]:
    access = seen.access
    return {
        "access": access_words(access),
        "path": access.path or None,
        "by": access.source,
        "count": seen.count,
        "units": sorted(seen.units),
        "phases": sorted(seen.phases),
        "first": seen.first,
        "last": seen.last,
    }


# -- for people ------------------------------------------------------------------------------------------------------


def as_lines(found: Sequence[PolicyDiff] | Sequence[DatasetDiff], limit: int = 20) -> Iterator[str]:
    """The report, a line each; `limit` accesses of a class are named, 0 for all. Nothing that a terminal would obey."""
    each: list[PolicyDiff | DatasetDiff] = [*found]
    for n, one in enumerate(each):
        if n:
            yield ""
        lines = _dataset_lines(one, limit) if isinstance(one, DatasetDiff) else _policy_lines(one)
        for line in lines:
            yield printable(line)


def _policy_lines(found: PolicyDiff) -> Iterator[str]:
    if found.old is None or found.new is None:
        yield f"{found.name}: only in the {'new' if found.old is None else 'old'} version"
    elif not found.differs:
        yield f"{found.name}: permits the same"
        return
    else:
        gives = sum(c.gives for c in found.changes)
        yield f"{found.name}: {many(len(found.changes), 'change')}, {gives:,} of them permit something new"
    if found.selects:
        yield f"  selects      {found.selects[0]} -> {found.selects[1]}"
    for change in found.changes:
        yield from _change_lines(found, change)


def _change_lines(found: PolicyDiff, change: Change) -> Iterator[str]:
    kind = str(change.kind)
    if kind in _WORDS:
        yield f"  {change.section} {_WORDS[kind]}"
        return
    old, new = change.old, change.new
    if kind in ("new", "gone"):
        rule = (new or old)[0]
        yield f"  {kind + ':':13}{change.section}, {rule_words(rule)}"
        yield from _because(found, "new" if new else "old", rule)
        return
    if kind == "wider" and len(old) > 1:
        yield f"  {'wider:':13}{change.section}, {rule_words(new[0])} stands for {many(len(old), 'rule')}"
        yield f"                 {listed((r.value for r in old), 4)}"
    elif kind == "narrower" and len(new) > 1:
        yield f"  {'narrower:':13}{change.section}, {many(len(new), 'rule')} stand for {rule_words(old[0])}"
        yield f"                 {listed((r.value for r in new), 4)}"
    else:
        yield f"  {kind + ':':13}{change.section}, {rule_words(old[0])} -> {rule_words(new[0])}"
    yield from _because(found, "new", new[0])


def _because(found: PolicyDiff, side: str, rule: Rule) -> Iterator[str]:
    evidence = found.evidence.get((side, rule.where))
    if evidence is None:
        return
    word = "because" if side == "new" else "was there because"
    if not evidence.behaviours:
        if evidence.note:
            yield f"                 {word} {evidence.note}"
        return
    accesses = many(evidence.behaviours, "distinct access", "distinct accesses")
    by = f", by {listed(evidence.executables, 3)}" if evidence.executables else ""
    yield (
        f"                 {word} of {accesses} in {share(len(evidence.units), found.units.get(side, 0))} units, "
        f"{listed(evidence.phases)}{by}"
    )


def _dataset_lines(found: DatasetDiff, limit: int) -> Iterator[str]:
    different = found.difference
    if different is None:
        yield f"{found.workload}: only in the {found.only} recording"
        return
    names = " -> ".join(dict.fromkeys(str(e.workload) for e in (different.old, different.new)))
    units = f"{many(len(different.old.units), 'unit')} -> {many(len(different.new.units), 'unit')}"
    yield f"{names}: {units}"
    if _images(different.old) != _images(different.new):
        yield f"  image      {_images(different.old)} -> {_images(different.new)}"
    for name, one in different.classes.items():
        blind = "" if one.comparable else "; not watched on both sides: nothing follows from what is missing"
        new_words = f"{share(one.only_new, one.new)} accesses only in the new, {len(one.came):,} of them denied"
        old_words = f"{share(one.only_old, one.old)} only in the old, {len(one.gone):,} of them gone"
        yield f"  {name + ':':12}{new_words}; {old_words}{blind}"
        for word, listed_, side in (("new", one.came, different.new), ("gone", one.gone, different.old)):
            shown = listed_[:limit] if limit else listed_
            for seen in shown:
                yield (
                    f"    {word + ':':6}{access_words(seen.access)} by {seen.access.source or '?'} "
                    f"({many(seen.count, 'time')}, {share(len(seen.units), len(side.units))} units, "
                    f"{listed(sorted(seen.phases))})"
                )
            if len(listed_) > len(shown):
                yield f"    {word + ':':6}and {len(listed_) - len(shown):,} more; --limit 0 shows all"


def _images(evidence: Evidence) -> str:
    return listed(f"{image} {digest[:19]}".strip() for image, digest in evidence.images) or "unknown"
