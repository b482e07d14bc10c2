"""``admits-shell``, ``admits-token``, ``admits-shadow``: Allow rules that let through what an intruder wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.attribution import decide_path
from models.checks.context import Context, Mistake, Severity
from models.learn.sensitive import SHELLS
from models.policy import Access, Action, Op, PolicyClass, Rule

__all__ = ["admits_secret", "admits_shell"]

_PLACES = ("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin")
_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
_SECRETS = {
    "admits-token": (
        f"{_ACCOUNT}/token",
        f"{_ACCOUNT}/..2026_01_01_00_00_00.1234567890/token",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ),
    "admits-shadow": ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"),
}
_WORDS = {
    "admits-token": "the service account's token, with which one speaks to the cluster",
    "admits-shadow": "the passwords' hashes",
}
_CLOSED: dict[str, dict[str, Any]] = {
    "admits-token": {"file": {"matchDirectories": [{"dir": f"{_ACCOUNT}/", "recursive": True, "action": "Block"}]}},
    "admits-shadow": {
        "file": {"matchPaths": [{"path": p, "action": "Block"} for p in ("/etc/shadow", "/etc/gshadow")]}
    },
}


def admits_shell(context: Context) -> Iterator[Mistake]:
    """A rule by which a shell may be executed."""
    if not context.is_list(PolicyClass.PROCESS):
        return
    found: dict[tuple[str, str], tuple[Rule, list[str]]] = {}
    shells = [f"{place}/{name}" for place in _PLACES for name in sorted(SHELLS)]
    named = [r.value for r in context.of("process", Action.ALLOW) if r.match == "path"]
    shells += [v for v in named if v.rpartition("/")[2] in SHELLS and v not in shells]
    parents = {s for r in context.of("process", Action.ALLOW) for s in r.sources or ()}
    for shell in shells:
        for parent in ("", *sorted(parents)):
            decision = context.written.decide(Access(op=Op.EXEC, path=shell, parent=parent, owner_match=True))
            rule = decision.rule
            if decision.allowed and rule is not None and rule.action is Action.ALLOW:
                _, listed = found.setdefault((rule.policy, rule.where), (rule, []))
                if shell not in listed:
                    listed.append(shell)
    for rule, listed in found.values():
        runs = [s for s in context.seen if s.access.op is Op.EXEC and s.access.path in listed]
        executed = sorted({s.access.path for s in runs})
        parents_seen = sorted({s.access.parent for s in runs if s.access.parent})
        bound = rule.match == "path" and rule.sources is not None
        known = rule.match == "path" and (executed or (rule.policy, rule.where) in context.explained)
        what = listed[0] if rule.match == "path" else f"every shell below {rule.value}"
        if bound or known:
            who = f"; it was recorded from {', '.join(parents_seen)}" if parents_seen else ""
            message = f"{what} may be executed{' by ' + ', '.join(rule.sources or ()) if bound else ''}{who}"
            severity = Severity.NOTE
        else:
            message = f"{what} may be executed: whoever breaks in has a shell"
            severity = Severity.WARNING
        if rule.match == "path":
            origin = parents_seen or ["/usr/bin/the-program-that-calls-it"]
            wanted = {} if bound else context.rewritten(rule, fromSource=[{"path": p} for p in origin])
            fix = "leave it out, or bind it to the program that calls it"
        else:
            items = [{"path": p, "action": "Allow"} for p in executed or ["/usr/bin/the-program"]]
            wanted, fix = {"process": {"matchPaths": items}}, "name the executables that run, one by one"
        yield context.mistake("admits-shell", severity, rule, message, fix, wanted)


def admits_secret(context: Context) -> Iterator[Mistake]:
    """A rule by which the service account's token or the shadow file may be read."""
    if not context.is_list(PolicyClass.FILE):
        return
    sources = {s for r in context.of("file", Action.ALLOW) for s in r.sources or ()}
    for check, paths in _SECRETS.items():
        found: dict[tuple[str, str], tuple[Rule, str]] = {}
        for path, source in _each(paths, ("", *sorted(sources))):
            decision = decide_path(context.written, path, source=source)
            rule = decision.rule
            if decision.allowed and rule is not None and rule.action is Action.ALLOW:
                found.setdefault((rule.policy, rule.where), (rule, path))
        for rule, path in found.values():
            readers = sorted({s.access.source for s in context.seen if s.access.path == path and s.access.read})
            message = f"{path} may be read by this rule ({rule.value}): {_WORDS[check]}"
            if readers:
                message += f"; it was recorded that {', '.join(readers)} did"
            severity = Severity.NOTE if readers else Severity.WARNING
            fix = "close it by a rule of its own, which is the more specific one, or name what is needed file by file"
            yield context.mistake(check, severity, rule, message, fix, _CLOSED[check])


def _each(paths: Iterable[str], sources: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        for source in sources:
            yield path, source
