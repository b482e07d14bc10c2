"""What each target can hold, as data, and a check of a policy set against it.

The figures of ``kubearmor-bpflsm`` are those of KubeArmor v1.7.4: the map size of ``bpflsm/enforcer.go``, the buffer
sizes and loop bounds of ``BPF/shared.h``. Those of ``kubearmor-apparmor`` were read from its profile template
(``enforcer/appArmorTemplate.go``) and not tried. ``portable`` is what holds under both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from models.policy.access import Access, Op
from models.policy.decision import Dialect, compile  # noqa: A004
from models.policy.kubearmor_tables import PATH_BYTES, PATH_COMPONENTS, Table
from models.policy.model import Action
from models.policy.patterns import SPECIAL
from models.policy.policy import Policy, Rule, rules
from models.policy.posture import Posture

__all__ = ["LIMITS", "Finding", "Grade", "Limits", "Target", "check_limits", "key_costs", "key_count"]


class Target(StrEnum):
    """Where a policy is to be applied."""

    KUBEARMOR_BPFLSM = "kubearmor-bpflsm"
    KUBEARMOR_APPARMOR = "kubearmor-apparmor"
    PORTABLE = "portable"
    DISCOVER = "discover"


class Grade(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The policy does not do there what it says."""
    WARNING = "warning"
    """It does, with a side effect or under a condition that the message names."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a target can hold; None is no limit."""

    keys: int | None = None
    """Rule keys of one container, over all policies that select it."""
    path_bytes: int | None = None
    directory_bytes: int | None = None
    """Length of a directory rule, with its trailing slash."""
    components: int | None = None
    """Names in a path."""
    patterns: bool = True
    pts: bool = True
    allowed_args: bool = True
    dns: bool = True
    literal_globs: bool = True
    """Whether ``*`` in a path or directory is an ordinary character."""


_BPFLSM = Limits(
    keys=256,
    path_bytes=PATH_BYTES - 1,
    directory_bytes=64,
    components=PATH_COMPONENTS,
    patterns=False,
)
_APPARMOR = Limits(pts=False, allowed_args=False, dns=False, literal_globs=False)
LIMITS: dict[Target, Limits] = {
    Target.KUBEARMOR_BPFLSM: _BPFLSM,
    Target.KUBEARMOR_APPARMOR: _APPARMOR,
    Target.PORTABLE: Limits(
        keys=256,
        path_bytes=PATH_BYTES - 1,
        directory_bytes=64,
        components=PATH_COMPONENTS,
        patterns=False,
        pts=False,
        allowed_args=False,
        dns=False,
        literal_globs=False,
    ),
    Target.DISCOVER: Limits(),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a target cannot hold."""

    target: Target
    grade: Grade
    limit: str
    """The limit's name: a field of `Limits`, or the name of a rule of the check."""
    value: int | str
    """What the policy has."""
    allowed: int | str
    """What the target takes."""
    message: str
    fix: str
    policy: str = ""
    where: str = ""
    """Field path of the rule; empty if it is about the whole set."""
    rule: Rule | None = None


def key_count(policies: Iterable[Policy]) -> int:
    """Return how many of a container's 256 keys KubeArmor's BPF-LSM enforcer uses for a policy set.

    A directory costs itself, itself as a file and a hint for each directory above it, all of it once for each source;
    keys that rules share cost once; each class that is an allow-list costs one more.
    """
    return len(Table.build(policies))


def key_costs(policies: Iterable[Policy]) -> dict[str, int]:
    """Return how many keys each rule is the last to write, by ``policy:where``: what there is to save."""
    table = Table.build(policies)
    costs: dict[str, int] = {}
    seen = set()
    for (_, key), rule in table.origin.items():
        if key not in seen:
            seen.add(key)
            name = f"{rule.policy}:{rule.where}"
            costs[name] = costs.get(name, 0) + 1
    return costs


def check_limits(policies: Iterable[Policy], target: Target) -> list[Finding]:
    """Return what a target cannot hold of policies that select the same workload, in the order of the rules."""
    policies = list(policies)
    limits = LIMITS[target]
    found: list[Finding] = []
    everything = [r for p in policies for r in rules(p)]

    def add(limit: str, value: int | str, allowed: int | str, message: str, fix: str, rule: Rule | None = None) -> None:
        grade = Grade.WARNING if limit in WARNINGS else Grade.ERROR
        policy, where = (rule.policy, rule.where) if rule else ("", "")
        found.append(Finding(target, grade, limit, value, allowed, message, fix, policy, where, rule))

    if limits.keys is not None and (count := key_count(policies)) > limits.keys:
        costly = sorted(key_costs(policies).items(), key=lambda item: (-item[1], item[0]))[:3]
        most = ", ".join(f"{name} ({cost})" for name, cost in costly)
        add(
            "keys",
            count,
            limits.keys,
            f"{count} rule keys, and a container has {limits.keys}: KubeArmor logs the rest as errors and drops them",
            f"name fewer, shallower directories or fewer sources; the costliest: {most}",
        )
    for rule in everything:
        for check in _CHECKS:
            for limit, value, allowed, message, fix in check(rule, limits):
                add(limit, value, allowed, message, fix, rule)
    if target in (Target.KUBEARMOR_BPFLSM, Target.PORTABLE):
        for rule in everything:
            for limit, value, allowed, message, fix in _bpflsm_quirks(rule):
                add(limit, value, allowed, message, fix, rule)
        for loser, winner in _overwritten(everything):
            message = f"{winner.policy} {winner.where} has the same key and comes later, so this rule is gone"
            add("last-wins", loser.action, winner.action, message, "keep one of the two", loser)
        _executable(policies, everything, add)
    for policy in policies:
        for limit, message, fix in _unsupported(policy, target):
            found.append(Finding(target, Grade.ERROR, limit, 1, 0, message, fix, policy.name, f"spec.{limit}"))
    return found


WARNINGS = {"literal-glob", "owner-only-overlay", "read-only-names", "last-wins"}
Check = Iterator[tuple[str, int | str, int | str, str, str]]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _paths_of(rule: Rule) -> Iterator[tuple[str, bool]]:
    if rule.match in ("path", "dir") and rule.section in ("process", "file"):
        yield rule.value, rule.match == "dir"
    for source in rule.sources or ():
        if source.startswith("/"):
            yield source, False


def _lengths(rule: Rule, limits: Limits) -> Check:
    for path, is_directory in _paths_of(rule):
        size, names = _size(path), path.strip("/").count("/") + 1
        if is_directory and limits.directory_bytes is not None and size > limits.directory_bytes:
            message = f"{path} has {size} bytes: directories are looked for in the first {limits.directory_bytes}"
            fix = "name a directory above it, or its files one by one"
            yield "directory_bytes", size, limits.directory_bytes, message, fix
        if not is_directory and limits.path_bytes is not None and size > limits.path_bytes:
            message = f"{path} has {size} bytes: the kernel side reads {limits.path_bytes}, so it never matches"
            yield "path_bytes", size, limits.path_bytes, message, "name a directory above it"
        if limits.components is not None and names > limits.components:
            message = f"{path} has {names} names: of a path only the last {limits.components} are seen"
            yield "components", names, limits.components, message, "name a directory nearer to the root"


def _features(rule: Rule, limits: Limits) -> Check:
    if rule.match == "pattern" and not limits.patterns:
        message = f"matchPatterns are ignored: {rule.action} {rule.value} does nothing"
        fix = "name the paths, or the directory"
        yield "patterns", rule.value, "none", message, fix
    if rule.no_terminal and not limits.pts:
        yield "pts", "false", "none", "pts is ignored: the rule holds on a terminal too", "leave pts out"
    if rule.allowed_args and not limits.allowed_args:
        message = "allowedArgs are ignored: the rule holds for any arguments"
        yield "allowed_args", len(rule.allowed_args), 0, message, "leave allowedArgs out"
    if rule.match == "domain" and not limits.dns:
        yield "dns", rule.value, "none", "matchDNSQueries are ignored", "use a network policy for names"
    if rule.match in ("path", "dir") and any(c in rule.value for c in SPECIAL):
        if limits.literal_globs:
            message = f"{rule.value}: * and its kind stand for themselves in a {rule.match}"
            yield "literal-glob", rule.value, "literal", message, "name the paths, or use matchPatterns where they work"
        else:
            message = f"{rule.value}: AppArmor reads this as a pattern, BPF-LSM as it stands"
            yield "literal_globs", rule.value, "literal", message, "name the paths without special characters"


def _bpflsm_quirks(rule: Rule) -> Check:
    if rule.match == "execname" and rule.sources:
        message = "execname with fromSource never matches: the name is only looked up without a source"
        yield "execname-source", rule.value, "path", message, "name the binary by its path"
    if rule.section == "file" and rule.owner_only:
        message = "on a file of the image overlayfs opens a second time as root, who is not the owner: denied"
        fix = "use ownerOnly on volumes only, or leave it out"
        yield "owner-only-overlay", rule.value, "a volume", message, fix
    if rule.section == "file" and rule.read_only and rule.action is Action.ALLOW:
        message = "readOnly refuses writes only: unlink, rename, truncate, chmod and link are allowed"
        yield "read-only-names", rule.value, "write", message, "protect the directory by file modes too"


def _overwritten(everything: list[Rule]) -> Iterator[tuple[Rule, Rule]]:
    last: dict[tuple[str, str, str, str], Rule] = {}
    for rule in everything:
        if rule.action is Action.AUDIT or rule.match == "pattern":
            continue
        for source in rule.sources or ("",):
            key = (rule.section, rule.match, rule.value.lower() if rule.match == "protocol" else rule.value, source)
            before = last.get(key)
            if before is not None and _facets(before) != _facets(rule):
                yield before, rule
            last[key] = rule


def _facets(rule: Rule) -> tuple[object, ...]:
    return rule.action, rule.read_only, rule.owner_only, rule.no_terminal, rule.recursive, rule.allowed_args


def _executable(policies: list[Policy], everything: list[Rule], add: Callable[..., None]) -> None:
    """Find binaries that the process class allows and a file allow-list does not: their exec fails at the open."""
    ruleset = compile(policies, Posture.all("block"), Dialect.KUBEARMOR_BPFLSM)
    for rule in everything:
        if rule.section != "process" or rule.match != "path" or rule.action is not Action.ALLOW:
            continue
        source = next((s for s in rule.sources or () if s), "")
        open_for_exec = Access(op=Op.OPEN, path=rule.value, source=source, read=True, owner_match=True)
        decision = ruleset.decide(open_for_exec)
        if not decision.allowed and decision.rule is None:
            message = f"{rule.value} may be executed but not opened: the file allow-list has no rule for it"
            fix = f"add to spec.file.matchPaths: {{path: {rule.value}, readOnly: true, action: Allow}}"
            add("exec-needs-file", rule.value, "listed under file", message, fix, rule)


def _unsupported(policy: Policy, target: Target) -> Iterator[tuple[str, str, str]]:
    if policy.spec.apparmor and target is not Target.KUBEARMOR_APPARMOR:
        yield "apparmor", "a native AppArmor profile holds for the AppArmor enforcer alone", "write it as rules"
    if policy.spec.presets and target is not Target.KUBEARMOR_BPFLSM:
        yield "presets", "presets are programs of KubeArmor's BPF-LSM enforcer", "apply them in a policy of their own"
    if policy.spec.device is not None and target is Target.DISCOVER:
        yield "device", "USB devices are not judged here", "keep KubeArmor's host policy for them"


_CHECKS = (_lengths, _features)
