"""Doctor's words: ten lines, the long form, and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from collectors.probe.attempts import PROGRAMS, Attempt, Outcome, errno_name
from collectors.probe.choice import Choice
from discover.doctor.enforcement import Verdict, judge
from discover.doctor.facts import Facts, Runtime

__all__ = ["SCHEMA_VERSION", "Line", "as_json", "hint", "lines", "more"]

SCHEMA_VERSION = 1
"""Of the JSON: raised when a name goes away or changes its meaning."""

_TITLES = {"bpf-lsm": "BPF-LSM", "apparmor": "AppArmor", "kubearmor": "KubeArmor"}


@dataclass(frozen=True)
class Line:
    """One line: `state` is ``ok``, ``part``, ``no`` or ``?``; an empty one stands for a fact that is neither."""

    state: str
    label: str
    text: str


def lines(facts: Facts) -> list[Line]:
    """The ten lines."""
    return [
        _kernel(facts),
        _btf(facts),
        _lsms(facts),
        _security_path(facts),
        _lockdown(facts),
        _programs(facts),
        _backend(facts),
        _classes(facts),
        _enforcement(judge(facts)),
        _containers(facts),
    ]


def _kernel(facts: Facts) -> Line:
    kernel = facts.kernel
    system = f", {kernel.distribution}" if kernel.distribution else ""
    return Line("", "kernel", f"Linux {kernel.release} on {kernel.machine}{system}")


def _btf(facts: Facts) -> Line:
    if facts.kernel.btf_bytes is None:
        return Line("no", "BTF", "none: the kernel does not describe its types, which compiled programs need")
    return Line(
        "ok", "BTF", f"{facts.kernel.btf_bytes / 1e6:.1f} MB of the kernel's types, so programs fit themselves to it"
    )


def _lsms(facts: Facts) -> Line:
    lsms = facts.security.lsms
    if lsms is None:
        return Line("?", "LSMs", "not known: securityfs is not mounted")
    note = "" if "bpf" in lsms else "; bpf is not among them (lsm= at boot)"
    return Line("ok" if "bpf" in lsms else "part", "LSMs", ", ".join(lsms) + note)


def _security_path(facts: Facts) -> Line:
    label = "SECURITY_PATH"
    if facts.kernel.path_hooks is None:
        return Line("?", label, "CONFIG_SECURITY_PATH not known: neither BTF nor the kernel's configuration is there")
    if facts.kernel.path_hooks:
        return Line("ok", label, "CONFIG_SECURITY_PATH is on: unlink, rename, mkdir and chmod can be judged by path")
    return Line("no", label, "CONFIG_SECURITY_PATH is off: unlink, rename, mkdir and chmod cannot be judged")


def _lockdown(facts: Facts) -> Line:
    words = {
        "none": ("ok", "none"),
        "absent": ("ok", "not in this kernel"),
        "integrity": ("ok", "integrity: programs may read the kernel's memory, not write it"),
        "confidentiality": ("no", "confidentiality: programs may not read the kernel's memory, so paths stay unknown"),
    }
    state, text = words.get(facts.security.lockdown or "", ("?", "not known: securityfs is not mounted"))
    return Line(state, "lockdown", text)


def _programs(facts: Facts) -> Line:
    works = [a.name for a in facts.programs if a.works]
    if all(a.outcome is Outcome.UNTRIED for a in facts.programs):
        return Line("?", "programs", facts.programs[0].reason)
    text = f"loaded: {', '.join(works) or 'none'}"
    for outcome, word in ((Outcome.LOADS, "cannot attach"), (Outcome.REFUSED, "refused")):
        names = _by_errno(a for a in facts.programs if a.outcome is outcome)
        text += f"; {word}: {names}" if names else ""
    return Line("ok" if len(works) == len(facts.programs) else "part", "programs", text)


def _by_errno(attempts: Iterable[Attempt]) -> str:
    groups: dict[int, list[str]] = {}
    for attempt in attempts:
        groups.setdefault(attempt.errno, []).append(attempt.name)
    return ", ".join(f"{', '.join(names)} ({errno_name(number)})" for number, names in groups.items())


def _backend(facts: Facts) -> Line:
    choice = facts.choice
    if choice.backend is None:
        if not facts.root:
            return Line("?", "back end", "not tried without root")
        return Line("no", "back end", "none works: " + "; ".join(_refused(choice)))
    passed = _refused(choice)
    return Line("ok", "back end", choice.backend + (f" ({'; '.join(passed)})" if passed else ""))


def _refused(choice: Choice) -> list[str]:
    """Each refused back end once, with the first line of why."""
    reasons: dict[str, str] = {}
    for refusal in choice.refusals:
        reason = refusal.reason.splitlines()[0].split(": BPF program load failed", maxsplit=1)[0]
        reasons.setdefault(refusal.backend.split(" (", maxsplit=1)[0], reason)
    alike: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        alike.setdefault(reason, []).append(name)
    return [f"not {', '.join(names)}: {reason}" for reason, names in alike.items()]


def _classes(facts: Facts) -> Line:
    watched = [n for n, s in facts.choice.watched.items() if s["state"] == "watched"]
    unwatched = [f"{n} ({s['note']})" for n, s in facts.choice.watched.items() if s["state"] != "watched"]
    if not watched:
        note = next(iter(facts.choice.watched.values()))["note"]
        return Line("no" if facts.root else "?", "classes", f"none watched: {note}")
    notes = [f"{n}: {s['note']}" for n, s in facts.choice.watched.items() if s["state"] == "watched" and s["note"]]
    text = f"watched: {', '.join(watched)}" + (f" ({'; '.join(notes)})" if notes else "")
    return Line(
        "part" if unwatched else "ok", "classes", text + (f"; not: {', '.join(unwatched)}" if unwatched else "")
    )


def _enforcement(verdicts: list[Verdict]) -> Line:
    by_state: dict[bool | None, list[Verdict]] = {}
    for verdict in verdicts:
        by_state.setdefault(verdict.possible, []).append(verdict)
    able = [_TITLES[v.backend] for v in by_state.get(True, [])]
    why = [_why_not(v) for v in verdicts if v.possible is not True and v.missing]
    if able:
        rest = f"; not by others ({'; '.join(why)})" if why else ""
        return Line("ok", "enforcement", f"possible by {' and '.join(able)}{rest}")
    state, word = ("?", "not known") if None in by_state else ("no", "not possible")
    return Line(state, "enforcement", f"{word}. {'; '.join(why)}")


def _why_not(verdict: Verdict) -> str:
    title, what = _TITLES[verdict.backend], verdict.missing[0].what
    return what if what.startswith(title) else f"{title}: {what}"


def _containers(facts: Facts) -> Line:
    cgroups = f"cgroup {facts.choice.cgroup_mode}"
    if facts.choice.cgroup_mode == "hybrid" and facts.choice.hierarchy:
        cgroups += f", told apart by {facts.choice.hierarchy}"
    found = [_runtime(r) for r in facts.runtimes if r.found]
    return Line("", "containers", f"{'; '.join(found) or 'no runtime found'} ({cgroups})")


def _runtime(runtime: Runtime) -> str:
    trouble = f" ({runtime.trouble})" if runtime.trouble else ""
    return f"{runtime.runtime}, {runtime.containers} running{trouble}"


def hint(facts: Facts) -> str:
    """What to do where recording is not possible."""
    if not facts.root:
        return "sudo discover doctor"
    given = [*(r.hint for r in facts.choice.refusals if r.hint), facts.tools.hint]
    if facts.kernel.own_user_namespace:
        return "run on the host itself: in a user namespace no program can be loaded"
    if facts.kernel.btf_bytes is None:
        return "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or apt-get install python3-bpfcc and --backend bcc"
    return next((h for h in given if h), "`discover doctor --full` shows what each back end met")


def more(facts: Facts) -> list[tuple[str, list[tuple[str, str]]]]:
    """The long form: sections of pairs of name and text."""
    kernel, security, tools = facts.kernel, facts.security, facts.tools
    soft, hard = ("unlimited" if limit == -1 else f"{limit // 1024} KiB" for limit in kernel.memlock)
    config = [(f"CONFIG_{name}", value) for name, value in (kernel.config or {}).items()]
    return [
        ("program types", [(a.name, f"{_trial(a)}  [{PROGRAMS[a.name]}]") for a in facts.programs]),
        ("helpers", [(f"bpf_{a.name}", _trial(a)) for a in facts.helpers]),
        ("map types", [(a.name, _trial(a)) for a in facts.maps]),
        ("back ends passed over", [(r.backend, " | ".join(r.reason.splitlines())) for r in facts.choice.refusals]),
        ("enforcement", [row for verdict in judge(facts) for row in _verdict(verdict)]),
        (f"kernel configuration ({kernel.config_from or 'not found'})", config),
        ("mounts", [(name, place or "not mounted") for name, place in kernel.mounts.items()]),
        (
            "security",
            [
                ("LSMs read from", security.lsms_from or "nowhere"),
                ("apparmor_parser", security.apparmor_parser or "not installed"),
                ("KubeArmor", ", ".join(f"pid {pid}" for pid in security.kubearmor) or "not running"),
                ("unprivileged bpf", kernel.unprivileged_bpf or "not known"),
            ],
        ),
        ("limits", [("locked memory", f"{soft} (at most {hard})")]),
        (
            "versions",
            [
                ("libbpf", tools.libbpf or f"missing: {tools.hint}"),
                ("clang", tools.clang or "not installed (only building from source needs it)"),
                ("python3-bpfcc", tools.bcc or "not installed (only --backend bcc needs it)"),
                ("object", facts.choice.object or "none loaded"),
            ],
        ),
    ]


def _trial(attempt: Attempt) -> str:
    name = f" ({errno_name(attempt.errno)})" if attempt.errno else ""
    return f"{attempt.outcome}{name}" + (f": {attempt.reason}" if attempt.reason else "")


def _verdict(verdict: Verdict) -> list[tuple[str, str]]:
    answer = {True: "possible", False: "not possible", None: "not known"}[verdict.possible]
    rows = [(verdict.backend, answer)]
    rows += [("  missing", f"{m.what} -> {m.hint}") for m in verdict.missing]
    return rows + [("  note", f"{m.what} -> {m.hint}") for m in verdict.notes]


def as_json(facts: Facts) -> dict[str, Any]:
    """All facts, with the names that docs/doctor.md lists."""
    verdicts = judge(facts)
    answers = {verdict.possible for verdict in verdicts}
    choice = asdict(facts.choice)
    return {
        "schema_version": SCHEMA_VERSION,
        "root": facts.root,
        "can_record": facts.can_record,
        "can_enforce": True if True in answers else None if None in answers else False,
        "kernel": asdict(facts.kernel),
        "security": asdict(facts.security),
        "programs": [_attempt(a) for a in facts.programs],
        "helpers": [_attempt(a) for a in facts.helpers],
        "maps": [_attempt(a) for a in facts.maps],
        "backend": {
            "chosen": choice["backend"],
            "object": choice["object"],
            "refusals": choice["refusals"],
        },
        "cgroups": {"mode": choice["cgroup_mode"], "hierarchy": choice["hierarchy"]},
        "watched": choice["watched"],
        "enforcement": {v.backend: {k: x for k, x in asdict(v).items() if k != "backend"} for v in verdicts},
        "runtimes": [asdict(r) for r in facts.runtimes],
        "versions": {"libbpf": facts.tools.libbpf, "clang": facts.tools.clang, "bcc": facts.tools.bcc},
        "seconds": facts.seconds,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {**asdict(attempt), "outcome": str(attempt.outcome), "errno_name": errno_name(attempt.errno)}
