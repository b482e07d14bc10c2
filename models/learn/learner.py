"""`learn`: the policy of one workload from its evidence, fitted to a target and checked against what was seen."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.accesses import Seen, seen_in
from models.behaviour import Class, Phase
from models.distinct import Distinct
from models.evidence import Evidence
from models.learn.files import file_rules
from models.learn.others import (
    SECTIONS,
    capability_rules,
    closing,
    dialect_of,
    network_rules,
    process_rules,
)
from models.learn.outliers import oddities, outliers, rarities
from models.learn.result import ClassState, Learned, LearnedRule, Options, Outlier
from models.learn.running import running
from models.learn.sensitive import Sensitive, is_protected, likely
from models.learn.stock import Stock
from models.learn.trie import Item, items_of
from models.policy.access import NETWORK_OPS, Access, Op, PolicyClass
from models.policy.decision import Dialect, compile  # noqa: A004
from models.policy.limits import LIMITS, Target, key_count
from models.policy.model import File, Spec
from models.policy.patterns import compile_pattern
from models.policy.policy import KubeArmorPolicy, Metadata
from models.policy.posture import Posture

__all__ = ["learn"]

_CLASSES = {
    PolicyClass.PROCESS: Class.EXEC,
    PolicyClass.FILE: Class.FILE,
    PolicyClass.NETWORK: Class.SOCKET,
    PolicyClass.CAPABILITIES: Class.CAPABILITY,
}
_KUBEARMOR = frozenset({Target.KUBEARMOR_BPFLSM, Target.KUBEARMOR_APPARMOR, Target.PORTABLE})
_ID = re.compile(
    r"(?:^|/)(?:(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/|\Z)"
)
"""A name in a path that looks like an id."""
_NO_FILE_RULE = [str(Op.MMAP_EXEC), str(Op.MPROTECT_EXEC), str(Op.SETXATTR)]
"""Operations on files that no rule judges."""
_INSIDE = ["proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "overlay", "fuse.fuse-overlayfs"]
"""File systems of a container itself; its volumes the runtime does not open."""
_BUILT = re.compile(r"/[0-9a-f]{64}(/|\Z)")
"""A container's id in a path of the host's."""
_SPRAYED = 500
"""New names that one unit writes in a protected directory before that is worth a warning."""
_NOT_FROM_ITS_START = (
    "no unit was recorded from its start: what only a start does (an entrypoint, reading libraries and configuration, "
    "giving up root) is in no rule, so under Block a restart fails; restart it while it is recorded"
)
_ORDER = ("process", "file", "network", "capabilities")


def learn(evidence: Evidence, options: Options | None = None) -> Learned:
    """Learn the smallest policy that allows what a workload was seen to do, and little else.

    Pure: the same evidence and options give the same result, whatever the order of the rows. Raises `CannotFit` where
    the target cannot hold it.
    """
    with _without_cycles():
        return _learn(evidence, options or Options())


@contextlib.contextmanager
def _without_cycles() -> Iterator[None]:
    """Learning makes many objects and no cycle of them; looking for cycles all the while would take as long again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _learn(evidence: Evidence, options: Options) -> Learned:
    sensitive = Sensitive((*options.sensitive, *(p for p in options.refuse if p.startswith("/"))))
    leave_out = _phases_left_out(evidence, options)
    units = list(evidence.units)
    rows = _inside(evidence.distinct(leave_out))
    items, seen, refused = _parts(rows, options)
    odd = oddities(seen, items, units, sensitive)
    apart = [] if options.keep_outliers else outliers(odd, units)
    if apart:
        named = {o.unit for o in apart}
        units = [u for u in units if u not in named]
        rows = _inside(evidence.distinct(leave_out, units))
        items, seen, refused = _parts(rows, options)
        odd = oddities(seen, items, units, sensitive)
    warnings = [_set_apart(o) for o in apart] + rarities(odd, units)
    started = evidence.is_host or Phase.START_UP in evidence.phases()
    if not started:
        warnings.append(_NOT_FROM_ITS_START)
        if items:  # a recording of nothing closes nothing
            ran, out = _allowed(_running(rows, seen, evidence), options)
            seen, refused = seen + ran, refused | out
    rules: dict[str, tuple[LearnedRule, ...]] = {}
    host = evidence.is_host
    for section, (found, said) in {
        "process": process_rules(seen, units, options.target),
        "network": network_rules(seen, units, options.target, host=host),
        "capabilities": capability_rules(seen, units, options.target, host=host),
    }.items():
        rules[section] = tuple(found)
        warnings += said
    classes = _classes(evidence, seen, items, refused, started=started)
    for policy_class, state in classes.items():
        if state is ClassState.CLOSED:
            note = "all that was used of it is refused" if policy_class in refused else "watched and never used"
            rules[str(policy_class)] = closing(str(policy_class), note)
    for section, decided in _by_section(options.additions).items():
        if section != "file":
            known = {r.rule for r in rules.get(section, ())}
            rules[section] = (*rules.get(section, ()), *(r for r in decided if r.rule not in known))
    if options.target in _KUBEARMOR:
        _name_executables(items, seen, units)
    stock = Stock(evidence.inventory, items, sensitive)
    extra = _by_section(options.additions).get("file", ())
    files = file_rules(items, units, stock, sensitive, options, _spec(rules), extra)
    rules["file"] = files.rules
    ordered = tuple(r for section in _ORDER for r in rules.get(section, ()))
    warnings += files.warnings
    warnings += _sprayed(items, units)
    warnings += _copied_up(items, options)
    warnings += _ids(ordered)
    spec = _spec(rules)
    policy = KubeArmorPolicy(metadata=Metadata(name="learned"), spec=spec)
    warnings += _not_held(policy, seen, items, ordered, options)
    return Learned(
        workload=evidence.workload,
        options=options,
        rules=ordered,
        classes=classes,
        units=tuple(units),
        outliers=tuple(apart),
        warnings=tuple(dict.fromkeys(warnings)),
        keys=key_count([policy]) if LIMITS[options.target].keys is not None else None,
        spec=spec,
    )


def _parts(rows: Distinct, options: Options) -> tuple[dict[str, Item], list[Seen], set[PolicyClass]]:
    """The files, and the accesses of the other classes; without what was refused, whose classes come last."""
    on_files = rows.columns["class"].where(str(Class.FILE)) & ~rows.columns["op"].where(*_NO_FILE_RULE)
    items = items_of(rows.taken(on_files))
    seen, refused = _allowed(seen_in(rows.taken(~on_files)), options)
    if options.refuse:
        items = {p: i for p, i in items.items() if not _refused(p, options.refuse)}
    return items, seen, refused


def _allowed(seen: list[Seen], options: Options) -> tuple[list[Seen], set[PolicyClass]]:
    """Those that nobody refused, and the classes of the others."""
    if not options.refuse:
        return seen, set()
    out = [s for s in seen if _refused(s.access.path or s.access.capability, options.refuse)]
    dropped = set(map(id, out))
    classes = {s.access.policy_class for s in out if s.access.policy_class is not None}
    return [s for s in seen if id(s) not in dropped], classes


def _running(rows: Distinct, seen: Iterable[Seen], evidence: Evidence) -> list[Seen]:
    """What ran before the recording began, where executions were watched, and was not executed since."""
    if evidence.watched.get(str(Class.EXEC)) != "watched":
        return []
    executed = {s.access.path for s in seen if s.access.op is Op.EXEC}
    return [s for s in running(rows) if s.access.path not in executed]


def _by_section(additions: Iterable[LearnedRule]) -> dict[str, tuple[LearnedRule, ...]]:
    sections: dict[str, tuple[LearnedRule, ...]] = {}
    for rule in additions:
        sections[rule.section] = (*sections.get(rule.section, ()), rule)
    return sections


def _phases_left_out(evidence: Evidence, options: Options) -> tuple[str, ...]:
    """What is no evidence: a person's session, and what the runtime does where the target does not judge it.

    KubeArmor judges what the container runtime does inside the container's namespaces at each exec, so where probes
    were seen it is evidence (at the start KubeArmor has no rules yet). Before a recorded command there is only the
    recorder.
    """
    out = [] if options.sessions else [Phase.EXEC_SESSION]
    in_container = evidence.workload.kind not in ("Command", "Process", "Cgroup", "Service", "Host")
    probed = Phase.PROBE in evidence.phases()
    if options.target not in _KUBEARMOR or not in_container or not probed:
        out.append(Phase.RUNTIME_INIT)
    return tuple(map(str, out))


def _inside(rows: Distinct) -> Distinct:
    """Without what the container runtime does before it is inside the container, where nothing judges it.

    The recorder sees it by the cgroup: the runtime executing itself, its state directory, the root it builds under a
    host's path. Inside there are /proc, /sys, devices and the image.
    """
    kinds, places = rows.columns["class"], rows.columns["fs"].where(*_INSIDE)
    runtime = rows.columns["phase"].where(str(Phase.RUNTIME_INIT))
    out = runtime & kinds.where(str(Class.EXEC))
    numbers = (runtime & kinds.where(str(Class.FILE))).nonzero()[0]
    for number, path in zip(numbers, rows.columns["path"].taken(numbers).column(), strict=True):
        inside = places[number] or (path or "").startswith("/dev/")
        out[number] = not inside or _BUILT.search(path or "") is not None
    return rows.taken(~out) if out.any() else rows


def _refused(name: str, patterns: Sequence[str]) -> bool:
    return bool(name) and any(compile_pattern(p).fullmatch(name) for p in patterns)


def _set_apart(outlier: Outlier) -> str:
    return f"unit {outlier.unit} behaves unlike the others and was not learned from: {'; '.join(outlier.reasons)}"


def _classes(
    evidence: Evidence, seen: Iterable[Seen], items: Mapping[str, Item], refused: set[PolicyClass], *, started: bool
) -> dict[PolicyClass, ClassState]:
    used = {PolicyClass.FILE} if items else set()
    for one in seen:
        if one.access.op is Op.EXEC:
            used.add(PolicyClass.PROCESS)
        elif one.access.op in NETWORK_OPS:
            used.add(PolicyClass.NETWORK)
        elif one.access.op is Op.CAPABLE:
            used.add(PolicyClass.CAPABILITIES)
    states = {}
    for policy_class, name in _CLASSES.items():
        if policy_class in used:
            states[policy_class] = ClassState.USED
        elif policy_class in refused and policy_class is not PolicyClass.FILE and not evidence.is_host:
            # all that was used is refused: without a rule the class would be open, and the refusal its opposite
            states[policy_class] = ClassState.CLOSED
        elif evidence.watched.get(str(name)) != "watched":
            states[policy_class] = ClassState.UNWATCHED
        elif policy_class is PolicyClass.FILE or evidence.is_host or not started:
            # a file class that nothing used is a recording of nothing; a host policy's rules need a source; and what
            # only a start does (the first exec, giving up root) was not there to be seen
            states[policy_class] = ClassState.OPEN
        else:
            states[policy_class] = ClassState.CLOSED
    return states


def _name_executables(items: dict[str, Item], seen: Iterable[Seen], units: Sequence[str]) -> None:
    """KubeArmor judges the opening of an executable by the file class too: each is a file that is read."""
    bit = {name: 1 << place for place, name in enumerate(units)}
    for one in seen:
        path = one.access.path
        if one.access.op is Op.EXEC and len(path) > 1 and path.startswith("/") and path not in items:
            item = items[path] = Item(path, owned=False)
            item.reads = sum(bit[u] for u in one.units)
            item.count, item.accesses = one.count, 1
            item.phases, item.exes = one.phases, frozenset({one.access.source})
            item.first, item.last = (int(t.timestamp() * 1_000_000) for t in (one.first, one.last))


def _spec(rules: Mapping[str, Sequence[LearnedRule]]) -> Spec:
    sections: dict[str, Any] = {}
    for section, learned in rules.items():
        if not learned:
            continue
        lists: dict[str, list[Any]] = {}
        for rule in learned:
            lists.setdefault(rule.field, []).append(rule.rule)
        kind = File if section == "file" else SECTIONS[section]
        sections[section] = kind(action="Allow", **{name: tuple(models) for name, models in lists.items()})
    return replace(Spec(), **sections)


def _sprayed(items: Mapping[str, Item], units: Sequence[str]) -> list[str]:
    """Many new names in one protected directory: a workload that wants a wide rule, or should not write there."""
    counts: dict[str, int] = {}
    for item in items.values():
        if item.writes and is_protected(directory := item.path.rpartition("/")[0] or "/"):
            counts[directory] = counts.get(directory, 0) + 1
    return [
        f"{count} different names were written in {directory}, which no rule generalises: each has its own"
        for directory, count in sorted(counts.items())
        if count >= _SPRAYED * max(1, min(len(units), 4))
    ]


def _ids(rules: Iterable[LearnedRule]) -> list[str]:
    """Names that look like an id and were seen once: the next start may have another."""
    paths = [r.rule.path for r in rules if r.field == "match_paths" and r.rule.path]
    names = [p for p in likely(paths, ".*[0-9a-f-]{16}.*") if _ID.search(p)]
    return [f"{n} has a name that looks like an id: if the next start has another, it is denied" for n in names[:5]]


def _copied_up(items: Mapping[str, Item], options: Options) -> list[str]:
    if options.target not in (Target.KUBEARMOR_BPFLSM, Target.PORTABLE):
        return []
    names = sorted(i.path for i in items.values() if i.overlay and i.writes and i.reads)
    if not names:
        return []
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [
        f"{some}: KubeArmor denies the first write to a file of the image under an allow-list; mount a volume there"
    ]


def _not_held(
    policy: KubeArmorPolicy,
    seen: Iterable[Seen],
    items: Mapping[str, Item],
    rules: Iterable[LearnedRule],
    options: Options,
) -> list[str]:
    """What the finished policy would still deny of what was seen, by the target's own decisions.

    Every access of the other classes is asked; of the files the first few that a wider rule covers, since the rest
    differ from them in name alone, and for KubeArmor, whose keys have quirks, those with a rule of their own as well.
    """
    dialect = dialect_of(options.target)
    if dialect is Dialect.DISCOVER and policy.spec.file is not None:
        # a rule on a path holds that path, and none of the questions is about one
        file = replace(policy.spec.file, match_paths=policy.spec.file.match_paths[:1])
        policy = KubeArmorPolicy(metadata=policy.metadata, spec=replace(policy.spec, file=file))
    ruleset = compile([policy], Posture.all("block"), dialect)
    questions = [(s.access, s.count) for s in seen]
    own = "match_paths" if dialect is Dialect.DISCOVER else ""
    paths = {p for r in rules if r.section == "file" and r.field != own for p in r.evidence.examples}
    for path in sorted(paths & items.keys()):
        item = items[path]
        source = min(item.exes, default="")
        for reading, used in ((True, item.reads), (False, item.writes)):
            if used:
                asked = Access(
                    op=Op.OPEN, path=path, source=source, read=reading, write=not reading, owner_match=item.owned
                )
                questions.append((asked, item.count))
    denied: dict[str, int] = {}
    for access, count in questions:
        if not ruleset.decide(access).allowed:
            name = f"{access.op} {access.path or access.capability or 'socket'}"
            denied[name] = denied.get(name, 0) + count
    return [
        f"{options.target} would deny what was seen, and no rule of it helps: {name} ({count} times)"
        for name, count in sorted(denied.items())
    ]
