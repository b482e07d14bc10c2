"""Why a person should look at a rule before it is merged: what an intruder would gain by it, what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.evidence import Seen
from models.learn import RuleEvidence, Why
from models.learn.sensitive import SHELLS, TOOLS, Sensitive, is_protected, is_scratch
from models.policy import Rule
from models.policy.patterns import literal_prefix

__all__ = ["KINDS", "Concern", "concerns"]

KINDS = {
    "sensitive": "admits a sensitive file",
    "protected": "lets new names be written where it is decided what runs",
    "scratch-exec": "executes from where files come and go",
    "tool": "executes a shell or a tool that an intruder wants",
    "limits": "wider than the evidence asks for",
    "wide": "admits more than was used",
    "unused": "nothing in this recording uses it",
    "one-unit": "rests on one unit",
    "capability": "gives a capability that is nearly root",
    "raw": "lets raw packets be sent",
    "decided": "people decided it",
}
"""The kinds of concern, for SARIF's rules and the report's filter."""
_NEARLY_ROOT = """
sys_admin sys_module sys_ptrace sys_rawio sys_boot syslog dac_override dac_read_search bpf perfmon net_admin mknod
mac_admin mac_override setfcap
"""


@dataclass(frozen=True, slots=True)
class Concern:
    """One reason: its kind (a key of `KINDS`), how heavy it is (up to 100) and a sentence."""

    kind: str
    weight: float
    text: str


def concerns(
    rule: Rule, evidence: RuleEvidence, known: bool, covers: Sequence[Seen], units: int, sensitive: Sensitive
) -> tuple[Concern, ...]:
    """The concerns about one rule, the heaviest first. `known`: whether `evidence.why` was written down."""
    if rule.action == "Block":
        return ()
    found: list[Concern] = []
    if rule.section == "file":
        found += _file(rule, evidence, sensitive)
    elif rule.section == "process":
        found += _process(rule)
    elif rule.section == "capabilities" and rule.value.lower().removeprefix("cap_") in _NEARLY_ROOT.split():
        found.append(Concern("capability", 35, f"{rule.value} is nearly as much as root"))
    elif rule.section == "network" and rule.value.lower() == "raw":
        found.append(Concern("raw", 10, "raw sockets: netlink, or packets with any header"))
    if known and evidence.why is Why.LIMITS:
        found.append(Concern("limits", 50, "wider than the evidence asks for: the target cannot hold it one by one"))
    if known and evidence.why is Why.DECIDED:
        found.append(Concern("decided", 5, f"decided: {evidence.note}"))
    elif not covers and known and evidence.behaviours:
        found.append(Concern("unused", 3, "another rule of the policy already admits what it covers"))
    elif not covers:
        found.append(Concern("unused", 15, "nothing in this recording uses it"))
    elif units > 2 and len(evidence.units) == 1:
        found.append(Concern("one-unit", 8, f"rests on one of {units} units: {evidence.units[0]}"))
    return tuple(sorted(found, key=lambda c: (-c.weight, c.kind)))


def _file(rule: Rule, evidence: RuleEvidence, sensitive: Sensitive) -> list[Concern]:
    found = []
    admits = evidence.admits
    writable = not rule.read_only
    wide = rule.match != "path"
    if admits.sensitive:
        some = ", ".join(admits.sensitive[:3]) + (" …" if len(admits.sensitive) > 3 else "")
        found.append(Concern("sensitive", 100, f"admits sensitive files that nobody was seen to use: {some}"))
    used = [p for p in (evidence.examples if wide else (rule.value,)) if sensitive(p)]
    if used:
        verb = "changed" if writable else "read"
        found.append(Concern("sensitive", 60 if writable else 30, f"lets a sensitive file be {verb}: {used[0]}"))
    if wide and writable:
        prefix = literal_prefix(rule.value) if rule.match == "pattern" else rule.value
        if is_protected(prefix.rpartition("/")[0] or "/"):
            found.append(Concern("protected", 80, "lets new names be written where it is decided what runs"))
    if wide and admits.existing:
        word = "file" if admits.existing == 1 else "files"
        weight = min(45.0, 10 + admits.existing / 20)
        found.append(Concern("wide", weight, f"also admits {admits.existing:,} existing {word} that nobody used"))
    elif wide and rule.match == "dir":
        reach = "everything below a folder" if rule.recursive else "everything in a folder"
        found.append(Concern("wide", 20 if rule.recursive else 12, f"admits {reach}, whatever will be there"))
    return found


def _process(rule: Rule) -> list[Concern]:
    name = rule.value.rpartition("/")[2]
    stem = name.rstrip("0123456789.-")
    if rule.match == "path" and is_scratch(rule.value.rpartition("/")[0]):
        return [Concern("scratch-exec", 70, "executes from where files come and go")]
    if rule.match in ("dir", "pattern"):
        return [Concern("wide", 40, "lets any executable there be executed")]
    if name in SHELLS or stem in SHELLS:
        return [Concern("tool", 40, f"executes a shell ({name}): whoever gets in has one")]
    if name in TOOLS or stem in TOOLS:
        return [Concern("tool", 25, f"executes {name}, which an intruder would want")]
    return []
