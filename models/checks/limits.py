"""What the target cannot hold (`models.policy.check_limits`), each with what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.checks.context import Context, Mistake, Severity, allow_paths
from models.policy import Finding, Grade, Rule, check_limits, compile_pattern
from models.policy.patterns import literal_prefix

__all__ = ["target_limits"]

_QUIET = {"read-only-names"}
"""True of every rule of its kind, so told once a policy and as a note."""
_COMMON_PLACES = ("/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin")
_COMMON_TOOLS = """
bash dash sh zsh python3 python3.11 python3.12 perl ruby node php lua nc nc.openbsd curl wget socat ssh gdb strace
"""
_NAMED = 10


def target_limits(context: Context) -> Iterator[Mistake]:
    """Everything that the target ignores, cannot hold, or reads differently."""
    told: set[tuple[str, str]] = set()
    globs: set[int | str] = set()
    for finding in check_limits(context.policies, context.target):
        name = finding.limit.replace("_", "-")
        if finding.limit in _QUIET:
            if (name, finding.policy) in told:
                continue
            told.add((name, finding.policy))
        severity = Severity.ERROR if finding.grade is Grade.ERROR else Severity.WARNING
        if finding.limit in _QUIET:
            severity = Severity.NOTE
        if finding.limit == "literal-glob" and finding.rule is not None:
            if finding.rule.value.rstrip("/") in context.seen_paths | context.existing:
                continue  # there is a file of that very name
            severity = Severity.ERROR
            globs.add(finding.rule.value)
        if finding.limit == "exec-needs-file" and finding.value in globs:
            continue  # there is no such executable
        yield Mistake(
            name, severity, finding.message, finding.fix, _instead(context, finding), finding.policy, finding.where
        )


def _instead(context: Context, finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    if rule is None:
        return {}
    match finding.limit:
        case "exec-needs-file":
            return allow_paths([rule.value])
        case "patterns" | "literal-glob" | "literal_globs":
            return _named(context, rule)
        case "directory_bytes" | "path_bytes" | "components":
            return _above(rule)
        case "execname-source":
            return context.rewritten(rule, execname=None, path=f"/usr/bin/{rule.value}")
        case "owner-only-overlay":
            return context.rewritten(rule, ownerOnly=None)
        case "pts":
            return context.rewritten(rule, pts=None)
        case "allowed_args":
            return context.rewritten(rule, allowedArgs=None)
        case "last-wins":
            return context.rewritten(rule, action="Block")
    return {}


def _named(context: Context, rule: Rule) -> dict[str, Any]:
    """The paths that a pattern is about: those that exist or were seen, else those that images usually have."""
    if rule.section not in ("process", "file"):
        return {}
    known = _matching(rule, sorted(context.existing | context.seen_paths))
    common = (f"{place}/{tool}" for place in _COMMON_PLACES for tool in _COMMON_TOOLS.split())
    paths = known or (_matching(rule, common) if rule.section == "process" else [])
    flags = {"readOnly": True} if rule.read_only else {}
    if paths and rule.match != "dir":
        items = [{"path": p, **flags, "action": str(rule.action)} for p in paths[:_NAMED]]
        return {rule.section: {"matchPaths": items}}
    prefix = literal_prefix(rule.value)
    directory = prefix[: prefix.rfind("/") + 1]
    if len(directory) < 2:
        return {}
    item = {"dir": directory, "recursive": True, **flags, "action": str(rule.action)}
    return {rule.section: {"matchDirectories": [item]}}


def _matching(rule: Rule, paths: Iterable[str]) -> list[str]:
    try:
        pattern = compile_pattern(rule.value)
    except ValueError:
        return []
    return [p for p in paths if pattern.fullmatch(p)]


def _above(rule: Rule) -> dict[str, Any]:
    """The nearest directory above that fits."""
    directory = rule.value
    while len(directory.encode("utf-8", "surrogatepass")) > 64 or directory.strip("/").count("/") >= 20:
        directory = directory[: directory.rstrip("/").rfind("/") + 1]
    if directory == rule.value:
        directory = directory[: directory.rfind("/") + 1]
    if len(directory) < 2:
        return {}
    flags = {"readOnly": True} if rule.read_only else {}
    item = {"dir": directory, "recursive": True, **flags, "action": str(rule.action)}
    return {rule.section: {"matchDirectories": [item]}}
