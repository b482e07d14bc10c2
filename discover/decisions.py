"""What people decided about a workload: ``discover.yaml``, beside the policy in Git, which `generate` obeys.

    version: 1
    additions:            # allowed though it was not seen
      - {dir: /var/backups/web/, recursive: true, reason: monthly job, owner: ops@example.org, expires: 2027-06-30}
      - {process: /usr/bin/pg_dump, reason: nightly dump, owner: ops@example.org}
      - {path: /etc/ssl/openssl.cnf, readOnly: true, reason: after the upgrade, owner: ops@example.org}
      - {protocol: udp, reason: DNS, owner: net@example.org}
      - {capability: net_bind_service, reason: port 80, owner: net@example.org}
    refusals:             # never allowed, whatever was seen; patterns of paths and executables, names of capabilities
      - {pattern: /usr/bin/curl, reason: only the old health check used it, owner: sec@example.org}
    mustSee:              # the policy is incomplete until this was recorded
      - {drill: stop, reason: it saves on SIGTERM, owner: ops@example.org}
      - {path: /var/lib/web/reports/*, reason: the monthly report, owner: ops@example.org}
      - {units: 3, reason: a failover, owner: ops@example.org}
    sensitive:            # no wider rule may swallow these
      - {pattern: /srv/keys/**, reason: signing keys, owner: sec@example.org}

Every entry has a reason and an owner; `expires` is a date. What has expired is still obeyed, since a right that
vanished on a date would be an outage on that date: `discover check` reports it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discover.errors import UsageError
from models.accesses import seen_in
from models.behaviour import Phase
from models.evidence import Evidence
from models.learn import LearnedRule, RuleEvidence, Why
from models.policy import (
    CapabilityRule,
    FileDirectory,
    FilePath,
    FilePattern,
    ProcessPath,
    ProtocolRule,
    Source,
    compile_pattern,
    printable,
)

__all__ = ["FILE_NAME", "Decision", "Decisions", "MustSee", "read_decisions"]

FILE_NAME = "discover.yaml"
_LISTS = ("additions", "refusals", "mustSee", "sensitive")
_COMMON = {"reason": str, "owner": str, "expires": datetime.date}
_OWN: dict[str, dict[str, type]] = {
    "additions": {
        "path": str,
        "dir": str,
        "pattern": str,
        "process": str,
        "protocol": str,
        "capability": str,
        "recursive": bool,
        "readOnly": bool,
        "ownerOnly": bool,
        "fromSource": list,
    },
    "refusals": {"pattern": str},
    "mustSee": {"drill": str, "path": str, "process": str, "phase": str, "units": int},
    "sensitive": {"pattern": str},
}
_KINDS = {
    "additions": ("path", "dir", "pattern", "process", "protocol", "capability"),
    "refusals": ("pattern",),
    "mustSee": ("drill", "path", "process", "phase", "units"),
    "sensitive": ("pattern",),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry."""

    kind: str
    """What it is about: ``path``, ``dir``, ``pattern``, ``process``, ``protocol``, ``capability``, ``drill``, …"""
    value: str
    reason: str
    owner: str
    expires: datetime.date | None
    where: str
    """``discover.yaml:7``, for messages."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def expired(self, today: datetime.date) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires < today


@dataclass(frozen=True, slots=True)
class MustSee:
    """Something that has to be recorded, and whether it was."""

    decision: Decision
    met: bool

    @property
    def text(self) -> str:
        """For people: ``drill stop (it saves on SIGTERM)``."""
        return f"{self.decision.kind} {self.decision.value} ({self.decision.reason})"


@dataclass(frozen=True, slots=True)
class Decisions:
    """Everything that people decided about a workload."""

    additions: tuple[Decision, ...] = ()
    refusals: tuple[Decision, ...] = ()
    must_see: tuple[Decision, ...] = ()
    sensitive: tuple[Decision, ...] = ()
    path: Path | None = None

    def every(self) -> tuple[Decision, ...]:
        """Every entry."""
        return (*self.additions, *self.refusals, *self.must_see, *self.sensitive)

    def expired(self, today: datetime.date) -> list[Decision]:
        """The entries whose time is over."""
        return [d for d in self.every() if d.expired(today)]

    def rules(self) -> tuple[LearnedRule, ...]:
        """The additions as rules."""
        return tuple(_rule(d) for d in self.additions)

    def must_sees(self, evidence: Evidence, drills: Iterable[str] = ()) -> list[MustSee]:
        """What has to be recorded, and whether it was; `drills` are those that the units went through."""
        drilled = set(drills)
        # the distinct rows: of many workloads at once, the evidence holds no others
        seen = seen_in(evidence.distinct((Phase.EXEC_SESSION,))) if self.must_see else []
        phases = {p for s in seen for p in s.phases}
        answer = []
        for decision in self.must_see:
            match decision.kind:
                case "drill":
                    met = decision.value in drilled
                case "units":
                    met = len(evidence.units) >= int(decision.value)
                case "phase":
                    met = decision.value in phases
                case "process":
                    expression = compile_pattern(decision.value)
                    met = any(s.access.op == "exec" and expression.fullmatch(s.access.path) for s in seen)
                case _:
                    expression = compile_pattern(decision.value)
                    met = any(expression.fullmatch(s.access.path) for s in seen if s.access.path)
            answer.append(MustSee(decision, met))
        return answer


def _rule(decision: Decision) -> LearnedRule:
    options = decision.options
    source = tuple(Source(path=p) for p in options.get("fromSource", ()))
    flags: dict[str, Any] = {
        "read_only": options.get("readOnly") or None,
        "owner_only": options.get("ownerOnly") or None,
    }
    evidence = RuleEvidence(why=Why.DECIDED, note=f"{decision.reason} ({decision.owner})")
    value = decision.value
    match decision.kind:
        case "path":
            return LearnedRule("file", "match_paths", FilePath(path=value, from_source=source, **flags), evidence)
        case "dir":
            recursive = options.get("recursive") or None
            directory = FileDirectory(dir=value, recursive=recursive, from_source=source, **flags)
            return LearnedRule("file", "match_directories", directory, evidence)
        case "pattern":
            return LearnedRule("file", "match_patterns", FilePattern(pattern=value, **flags), evidence)
        case "process":
            return LearnedRule("process", "match_paths", ProcessPath(path=value, from_source=source), evidence)
        case "protocol":
            rule = ProtocolRule(protocol=value, from_source=source)
            return LearnedRule("network", "match_protocols", rule, evidence)
        case _:
            capability = CapabilityRule(capability=value, from_source=source)
            return LearnedRule("capabilities", "match_capabilities", capability, evidence)


def read_decisions(path: Path) -> Decisions:
    """Read a decisions file. Raises `UsageError` with file, line, field and what to write instead."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - heavy
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
        document = YAML(typ="rt").load(text)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", "name a file that is there: --decisions FILE"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{path} is no YAML: {printable(first)}", "`discover generate --help` shows an example"
        ) from error
    if document is None:
        return Decisions(path=path)
    problems: list[str] = []
    if not isinstance(document, Mapping):
        raise UsageError(f"{path}: a mapping is expected, with version, additions, refusals, mustSee, sensitive")
    if document.get("version") != 1:
        problems.append(f"{path}:1: version: 1 is expected, and not {document.get('version')!r}")
    for name in document:
        if name not in (*_LISTS, "version"):
            problems.append(
                f"{path}:{_line(document, name)}: no such list: {printable(str(name))}; there are {', '.join(_LISTS)}"
            )
    found = {name: _entries(path, name, document, problems) for name in _LISTS}
    if problems:
        raise UsageError("\n".join(problems), "each entry needs what it is about, a reason and an owner")
    return Decisions(found["additions"], found["refusals"], found["mustSee"], found["sensitive"], path)


def _line(mapping: Any, key: object) -> int:
    try:
        return int(mapping.lc.key(key)[0]) + 1
    except (AttributeError, KeyError, TypeError):
        return 1


def _entries(path: Path, name: str, document: Mapping[str, Any], problems: list[str]) -> tuple[Decision, ...]:
    entries = document.get(name)
    if entries is None:
        return ()
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        problems.append(f"{path}:{_line(document, name)}: {name}: a list is expected")
        return ()
    answer = []
    for number, entry in enumerate(entries):
        try:
            line = int(entries.lc.item(number)[0]) + 1  # type: ignore[attr-defined]
        except (AttributeError, KeyError, TypeError):
            line = _line(document, name)
        where = f"{path.name}:{line}"
        at = f"{path}:{line}: {name}[{number}]"
        if not isinstance(entry, Mapping):
            problems.append(f"{at}: a mapping is expected, as {{{_KINDS[name][0]}: …, reason: …, owner: …}}")
            continue
        if found := _entry(name, entry, at, where, problems):
            answer.append(found)
    return tuple(answer)


def _entry(name: str, entry: Mapping[str, Any], at: str, where: str, problems: list[str]) -> Decision | None:
    before = len(problems)
    allowed = {**_OWN[name], **_COMMON}
    for key, value in entry.items():
        expected = allowed.get(key)
        if expected is None:
            problems.append(f"{at}.{printable(str(key))}: no such field; there are {', '.join(allowed)}")
        elif (expected is int and isinstance(value, bool)) or not isinstance(value, expected):
            problems.append(f"{at}.{key}: {_expected(expected)} is expected, and not {printable(repr(value))}")
    for needed in ("reason", "owner"):
        if not entry.get(needed):
            problems.append(
                f"{at}: {needed} is missing: who decides here has to say {'why' if needed == 'reason' else 'who'}"
            )
    kinds = [k for k in _KINDS[name] if k in entry]
    if len(kinds) != 1:
        problems.append(f"{at}: exactly one of {', '.join(_KINDS[name])} is expected")
    if len(problems) > before:
        return None
    kind = kinds[0]
    value = str(entry[kind])
    _check_value(name, kind, value, f"{at}.{kind}", problems)
    if len(problems) > before:
        return None
    expires = entry.get("expires")
    if isinstance(expires, datetime.datetime):
        expires = expires.date()
    options = {k: list(v) if isinstance(v, list) else v for k, v in entry.items() if k in _OWN[name] and k != kind}
    return Decision(kind, value, str(entry["reason"]), str(entry["owner"]), expires, where, options)


def _expected(kind: type) -> str:
    return {str: "text", bool: "true or false", int: "a number", list: "a list of paths"}.get(
        kind, "a date (2027-06-30)"
    )


def _check_value(name: str, kind: str, value: str, at: str, problems: list[str]) -> None:
    if kind == "dir" and not re.fullmatch(r"/|/.*/", value):
        problems.append(f"{at}: a directory begins and ends with a slash: {printable(value)}")
    elif name == "additions" and kind in ("path", "process") and not re.fullmatch(r"/.*[^/]", value):
        problems.append(f"{at}: a path begins with a slash and does not end with one: {printable(value)}")
    elif (kind in ("pattern", "path", "process") and name != "additions") or kind == "pattern":
        try:
            compile_pattern(value)
        except ValueError as error:
            problems.append(f"{at}: {printable(str(error))}")
    elif kind == "drill" and value not in ("reload", "rotate", "stop", "crash"):
        problems.append(f"{at}: no such drill: {printable(value)}; there are reload, rotate, stop, crash")
