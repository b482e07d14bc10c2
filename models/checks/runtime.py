"""``exec-probe``: what the container runtime does inside the container at an exec, and an allow-list does not have."""

from __future__ import annotations

from collections.abc import Iterator

from models.behaviour import Phase
from models.checks.context import Context, Mistake, Severity, fragment
from models.policy import Kind, PolicyClass
from models.runtime_needs import AT_EXEC, RULES

__all__ = ["exec_probe"]


def exec_probe(context: Context) -> Iterator[Mistake]:
    """KubeArmor judges the runtime too: without rules for it every exec fails, health probes included."""
    if not context.kubearmor or any(p.kind is Kind.HOST for p in context.policies):
        return
    denied = [a for a in AT_EXEC if context.denies(a)]
    if not denied:
        return
    phases = {p for s in context.seen for p in s.phases}
    unprobed = context.is_known and Phase.PROBE not in phases
    paths = [a.path for a in denied if a.path]
    sockets = [f"a {'unix' if a.type == 1 else 'netlink'} socket" for a in denied if not a.path]
    parts = []
    if paths:
        proc = {"file": {"matchDirectories": RULES["file"]["matchDirectories"]}}
        other = {"file": {"matchPaths": RULES["file"]["matchPaths"]}}
        parts += [other] if any(p.startswith("/sys/") for p in paths) else []
        parts += [proc] if any(p.startswith("/proc/") for p in paths) else []
    if sockets:
        words = ["tcp" if "unix" in s else "raw" for s in sockets]
        parts.append({"network": {"matchProtocols": [{"protocol": w, "action": "Allow"} for w in words]}})
    section = PolicyClass.FILE if paths else PolicyClass.NETWORK
    yield Mistake(
        "exec-probe",
        Severity.NOTE if unprobed or not paths else Severity.WARNING,
        f"{'every exec into the container fails' if paths else 'an exec into the container may fail'}, and so does a "
        f"health probe's: KubeArmor judges what the container runtime does inside it, and no rule has "
        + ", ".join([*paths, *sockets]),
        "list it if anything executes commands in the container; /proc/ as a whole, since the pid varies",
        fragment(*parts),
        context.name_of_list(str(section)),
    )
