"""One policy set as AppArmor profiles: loaded, watched, promoted, stopped."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectors.live.launch import launch
from collectors.target import TargetSpec, resolve
from discover.enforce import gates, timer
from discover.enforce.asked import Asked
from discover.enforce.cover import workload_fields
from discover.errors import DiscoverError, UsageError
from discover.inputs import read_policy_files
from discover.record.run import Stop
from enforcer.apparmor import kept
from enforcer.apparmor.alerts import told
from enforcer.apparmor.kept import CLASSES, Kept
from enforcer.apparmor.loading import PREFIX, check_here, confined, label, load, loaded, remove
from enforcer.apparmor.log import Log
from enforcer.bpf_lsm.domains import Totals
from enforcer.store import FOLDER
from enforcer.telling import as_alert
from models.dataset import Dataset
from models.policy import Dialect, compile, dump_policies  # noqa: A004

__all__ = ["Asked", "break_glass", "enforce", "names", "promote", "status", "stop"]

_INTERVAL = 0.2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
Tell = Callable[[dict[str, Any]], None]


def names() -> list[str]:
    """The policy sets that are loaded."""
    there = loaded()
    return [one.name for one in kept.read_all() if one.profile in there]


def enforce(options: Asked, tell: Tell, say: Callable[[str], None]) -> int:
    """Load policies as profiles, and tell alerts until the command ends or Ctrl-C. The exit status."""
    if os.geteuid() != 0:
        raise DiscoverError("enforcing needs root: it loads profiles into the kernel", "run it again with sudo")
    check_here()
    if not _NAME.fullmatch(options.name):
        raise UsageError(
            f"{options.name!r} is no name for a policy set", "letters, digits, dots and dashes: --name web"
        )
    policies = [p for found in read_policy_files(options.files).values() for p in found]
    before = kept.read(options.name)
    if before and before.profile not in loaded():
        before = None
    if not before and PREFIX + options.name in loaded():
        raise UsageError(
            f"a profile {PREFIX}{options.name} is loaded that this command did not load", "choose another --name"
        )
    command = options.spec.command
    entry = _executable(command) if command else ""
    workload = _workload(options.spec, PREFIX + options.name)
    if options.block:
        gates.checked(options.files, options.dataset, accept_incomplete=options.accept_incomplete)
        _audited(before, options.name, options.block, accept=options.accept_violations)
    posture = options.posture
    new = Kept(
        name=options.name,
        target=f"command {command[0]}" if command else "what is started under its profile",
        policies=dump_policies(policies),
        posture=(posture.file, posture.network, posture.capabilities),
        entry=entry,
        extra_files=_handed() if command else (),
        block=options.block,
        audited_since=0.0 if options.block else (before.audited_since if before else 0.0) or time.time(),
        workload=workload,
    )
    made = new.translated()
    for note in made.notes:
        say(f"AppArmor: {note}")
    with Log() as log:
        new = _apply(new.looked(), options.confirm_within)
        if not command:
            for line in _how_to_start(new):
                say(line)
            return 0 if options.detach else _watch(log, new.name, tell, lambda: True)
        child = launch((_aa_exec(), "-p", made.of(entry), "--", *command))
        try:
            child.release()
            _watch(log, new.name, tell, lambda: child.poll() is None)
        finally:
            if child.poll() is None:
                child.send(15)  # type: ignore[arg-type]
                child.wait()
            stop(new.name)
        return max(child.status or 0, 0)


def _aa_exec() -> str:
    found = shutil.which("aa-exec")
    if found is None:
        raise DiscoverError(
            "aa-exec is not installed: a command cannot be started under a profile", "apt-get install apparmor"
        )
    return found


def _executable(command: tuple[str, ...]) -> str:
    found = shutil.which(command[0])
    if found is None:
        raise UsageError(f"cannot run {command[0]!r}: not found", "give the command's path after --")
    return os.path.realpath(found)


def _handed() -> tuple[str, ...]:
    """Files that a command is handed as its input and output: they were opened by somebody else."""
    handed = [Path(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)]
    found = {str(one.readlink()) for one in handed if one.exists()}
    return tuple(sorted(f for f in found if f.startswith("/")))


def _workload(spec: TargetSpec, profile: str) -> dict[str, str]:
    """Whose alerts they will be. Raises `UsageError` for a process that runs already under no profile of ours."""
    chosen = [n for n in ("pid", "cgroup", "unit", "container", "pod") if getattr(spec, n) is not None]
    if not chosen:
        return {}
    target = resolve(spec)
    now = label(target.root_pid) if target.root_pid else ""
    if now == profile or now.startswith(profile + "/"):
        return workload_fields(target)
    raise UsageError(
        f"{target.describe()} runs already, under {now or 'no profile'}: a running process cannot be confined",
        _restart(chosen[0], getattr(spec, chosen[0]), profile),
    )


def _restart(kind: str, name: object, profile: str) -> str:
    ours = "discover enforce POLICY --backend apparmor --name " + profile.removeprefix(PREFIX)
    match kind:
        case "container":
            how = f"start it again: docker run --security-opt apparmor={profile} … (docker-default is left as it is)"
        case "pod":
            how = (
                f"start it again with securityContext.appArmorProfile: {{type: Localhost, localhostProfile: {profile}}}"
            )
        case "unit":
            how = f"`systemctl edit {name}`: [Service] AppArmorProfile={profile}, then restart it"
        case _:
            how = f"start it again: {ours} -- COMMAND"
    return f"`{ours}` loads the profile; then {how}"


def _how_to_start(one: Kept) -> list[str]:
    made = one.translated()
    lines = [
        f"loaded {one.profile} ({'enforce' if one.block else 'complain'})",
        f"start a container under it: docker run --security-opt apparmor={one.profile} …",
    ]
    lines += [f"  if {p.source} is its first program: apparmor={p.name}" for p in made.found if p.source]
    return lines


def _apply(one: Kept, confirm_within: float | None) -> Kept:
    """Load it and keep it; with a time, back to complain then, whoever is alive."""
    if confirm_within is not None and one.block:
        timer.check_here()
    timer.cancel(one.profile)
    if confirm_within is not None and one.block:
        fallback = FOLDER / "apparmor" / f"{one.name}.audit"
        fallback.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fallback.write_text(replace(one, block=()).translated().text, errors="surrogateescape")
        timer.set_off(one.profile, confirm_within, fallback)
        one = replace(one, deadline=time.time() + confirm_within)
    else:
        one = replace(one, deadline=0.0)
    load(one.translated().text)
    kept.write(one)
    return one


def _watch(log: Log, name: str, tell: Tell, going: Callable[[], bool]) -> int:
    with Stop() as asked:
        while not asked.reason and going():
            _tell(log, name, tell)
            time.sleep(_INTERVAL)
        time.sleep(_INTERVAL)
        _tell(log, name, tell)
    return 0


def _tell(log: Log, name: str, tell: Tell) -> None:
    entries, one = log.take(), kept.read(name)
    if one is None:
        return
    if not entries and time.time() - one.seen < 1:
        return
    ruleset = compile(one.parsed, one.as_posture, Dialect.DISCOVER)
    news = told(entries, one.translated(), ruleset) if entries else []
    audited, denied = dict(one.audited), dict(one.denied)
    with (FOLDER / f"{name}.alerts.jsonl").open("a") as file:
        for what, rule in news:
            counts = denied if what.denied else audited
            counts[what.policy_class] = counts.get(what.policy_class, 0) + what.count
            alert = as_alert(what, [rule] if rule else [], one.workload, platform.node()) | {"Enforcer": "AppArmor"}
            file.write(json.dumps(alert) + "\n")
            tell(alert)
    sys.stdout.flush()
    one = one.looked()
    kept.write(replace(one, audited=audited, denied=denied, unseen=one.unseen + log.lost))
    log.lost = 0


def _in_force(name: str) -> Kept:
    one = kept.read(name)
    if one is None or one.profile not in loaded():
        known = ", ".join(names())
        raise UsageError(f"no policy set called {name} is loaded", f"loaded: {known}" if known else "none is")
    return one


def _audited(one: Kept | None, name: str, classes: Iterable[str], *, accept: bool) -> None:
    """As the gate of the other back ends, and nobody may have looked away: AppArmor counts nothing by itself."""
    if one is not None and not accept:
        missed = one.looked().unseen
        if missed:
            raise UsageError(
                f"nobody watched {name} for {missed:.0f} s of its Audit, and AppArmor counts nothing by itself",
                "leave `discover enforce` running during the Audit, or --accept-violations",
            )
    totals = Totals(*(_by_class(c) for c in (one.denied, one.audited, {}))) if one else None
    gates.audited(one, totals, list(classes), accept=accept)


def _by_class(counts: Any) -> dict[str, int]:
    return {c: counts.get(c, 0) for c in CLASSES}


def promote(
    name: str,
    classes: Iterable[str],
    *,
    confirm_within: float | None,
    confirm: bool,
    dataset: Dataset | None,
    accept_incomplete: bool,
    accept_violations: bool,
    say: Callable[[str], None],
    accept: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """From complain to enforce, for who runs under the profile now too; or, with `confirm`, for good."""
    one = _in_force(name)
    if accept:
        raise UsageError("--accept is for KubeArmor, whose posture is a whole namespace's", "leave it out")
    if confirm:
        timer.cancel(one.profile)
        one = replace(one, deadline=0.0)
        kept.write(one)
        return one.block
    wanted = tuple(c for c in CLASSES if c in set(classes) or c in one.block)
    file = FOLDER / f"{name}.yaml"
    file.write_text(one.policies)
    gates.checked([file], dataset, accept_incomplete=accept_incomplete)
    fresh = [c for c in wanted if c not in one.block]
    _audited(one, name, fresh, accept=accept_violations)
    changed = replace(one, block=wanted, audited_since=one.audited_since if len(wanted) < len(CLASSES) else 0.0)
    for note in changed.translated().notes:
        say(f"AppArmor: {note}")
    return _apply(changed, confirm_within).block


def stop(name: str) -> None:
    """Take the profiles out of the kernel; who runs under them is confined no longer."""
    one = _in_force(name)
    timer.cancel(one.profile)
    remove(p.name for p in one.translated().found)
    kept.forget(name)


def break_glass() -> int:
    """Every profile of ours to complain, at once; how many policy sets that was."""
    there = [kept.read(name) for name in names()]
    for one in filter(None, there):
        _apply(replace(one, block=()), None)
    return len(there)


def status() -> list[dict[str, Any]]:
    """Each policy set that is loaded, with what was counted while somebody watched."""
    modes = loaded()
    found = []
    for name in names():
        one = _in_force(name)
        mode = modes[one.profile]
        left = one.deadline - time.time() if one.deadline else None
        found.append(
            {
                "name": name,
                "target": one.target,
                "backend": "apparmor",
                "profile": one.profile,
                "block": list(one.block) if mode == "enforce" else [],
                "failed": "",
                "failed_after": [],
                "confirm_within_s": None if left is None else round(left, 1),
                "processes": len(confined(one.profile)),
                "denied": _by_class(one.denied),
                "audited": _by_class(one.audited),
                "unseen_s": round(one.looked().unseen, 1),
                "said": _how_to_start(one)[1:],
            }
        )
    return found
