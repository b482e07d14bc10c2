"""One policy set in force: begun or taken over, watched, promoted, stopped."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectors.live.launch import Launched, launch
from collectors.target import TargetSpec, resolve
from discover.enforce import gates
from discover.enforce.bpffs import BPFFS, mount_bpffs
from discover.enforce.cover import cover, own_mounts, workload_fields
from discover.errors import DiscoverError, UsageError
from discover.inputs import read_policy_files
from discover.record.run import Stop
from enforcer import store
from enforcer.bpf_lsm.alerts import Alerts, Told
from enforcer.bpf_lsm.domains import CLASSES, Domains
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import compile_tables
from enforcer.errors import EnforceError
from enforcer.store import Enforced
from enforcer.telling import as_alert
from models.dataset import Dataset
from models.policy import Policy, Posture

__all__ = ["PINS", "Options", "break_glass", "enforce", "promote", "status", "stop"]

PINS = BPFFS / "discover-enforce"
_INTERVAL = 0.2


@dataclass(frozen=True)
class Options:
    """What was asked of `discover enforce`."""

    files: tuple[Path, ...]
    spec: TargetSpec
    name: str
    posture: Posture
    block: tuple[str, ...] = ()
    dataset: Dataset | None = None
    confirm_within: float | None = None
    accept_incomplete: bool = False
    accept_violations: bool = False
    detach: bool = False


def enforce(options: Options, tell: Callable[[dict[str, Any]], None]) -> int:
    """Put policies in force and tell alerts until the target ends or Ctrl-C; not with `detach`. The exit status."""
    if os.geteuid() != 0:
        raise DiscoverError("enforcing needs root: it loads programs into the kernel", "run it again with sudo")
    policies = [p for found in read_policy_files(options.files).values() for p in found]
    tables = compile_tables(policies, options.posture)
    target = resolve(options.spec)
    before = store.read(options.name)
    with _programs() as programs:
        domains = Domains(programs)
        in_force = before if before and before.domain in domains.in_use else None
        if options.block:
            gates.checked(options.files, options.dataset, accept_incomplete=options.accept_incomplete)
            totals = domains.totals(in_force.domain) if in_force else None
            gates.audited(in_force, totals, options.block, accept=options.accept_violations)
        child = launch(target.command) if target.command else None
        try:
            if in_force:
                _tell(Alerts(programs), in_force, tell)  # while its rules are known by their numbers
                number, generation = in_force.domain, domains.swap(in_force.domain, tables)
                domains.block(number, options.block, confirm_within=options.confirm_within)
            else:
                number = domains.add(tables, own_mounts=own_mounts(target))
                generation = domains.generation(number)
                domains.block(number, options.block, confirm_within=options.confirm_within)
            enforced = _kept(
                options, policies, number, generation, target.describe(), workload_fields(target), in_force
            )
            store.write(enforced)
            cover(domains, number, target, child, whole_pod=options.spec.pod_container is None)
            if child:
                _release(child)
            if options.detach and child is None:
                return 0
            return _watch(programs, enforced, child, tell)
        except BaseException:
            if child and child.poll() is None:
                child.send(signal.SIGTERM)
            raise


def _kept(
    options: Options,
    policies: Sequence[Policy],
    number: int,
    generation: int,
    target: str,
    workload: dict[str, str],
    before: Enforced | None,
) -> Enforced:
    posture = options.posture
    since = 0.0 if options.block else (before.audited_since if before else 0.0) or time.time()
    return Enforced(
        name=options.name,
        domain=number,
        generation=generation,
        target=target,
        policies=store.as_yaml(list(policies)),
        posture=(posture.file, posture.network, posture.capabilities),
        block=options.block,
        audited_since=since,
        workload=workload,
    )


def _programs() -> Programs:
    """Those in the kernel, or fresh ones, pinned."""
    if not mount_bpffs():
        raise DiscoverError(
            f"there is no bpffs at {BPFFS}, so nothing could outlive this process", "mount -t bpf bpf /sys/fs/bpf"
        )
    return Programs.found(PINS) if (PINS / "links").is_dir() else Programs.load(PINS)


def _release(child: Launched) -> None:
    try:
        child.release()
    except OSError as error:
        raise UsageError(
            f"cannot run {child.command[0]!r}: {error.strerror}",
            "is it the policy? `discover enforce` told of it above; else give the command's path after --",
        ) from None


def _watch(
    programs: Programs, enforced: Enforced, child: Launched | None, tell: Callable[[dict[str, Any]], None]
) -> int:
    alerts = Alerts(programs)
    with Stop() as asked:
        try:
            while not asked.reason and (child is None or child.poll() is None):
                _tell(alerts, enforced, tell)
                time.sleep(_INTERVAL)
        finally:
            _tell(alerts, enforced, tell)
    if child is not None:
        if child.poll() is None:
            child.send(signal.SIGTERM)
            child.wait()
        _tell(alerts, enforced, tell)
        stop(enforced.name, programs)
        return max(child.status or 0, 0)
    return 0


def _tell(alerts: Alerts, enforced: Enforced, tell: Callable[[dict[str, Any]], None]) -> None:
    """Append what is new to the files of all that is enforced, and tell what is of this policy set."""
    taken: dict[int, list[Told]] = {}
    for told in alerts.take():
        taken.setdefault(told.domain, []).append(told)
    everybody = {one.domain: one for one in store.read_all()} | {enforced.domain: enforced} if taken else {}
    for domain, news in taken.items():
        if (whose := everybody.get(domain)) is None:
            continue
        rules = whose.tables().rules
        with whose.alerts.open("a") as file:
            for told in news:
                known = rules if told.generation == whose.generation else ()
                alert = as_alert(told, known, whose.workload, platform.node())
                if told.rule and not known:
                    alert["PolicyName"] = "(replaced)"
                file.write(json.dumps(alert) + "\n")
                if domain == enforced.domain:
                    tell(alert)
    sys.stdout.flush()


def _in_force(name: str, domains: Domains) -> Enforced:
    enforced = store.read(name)
    if enforced is None or enforced.domain not in domains.in_use:
        known = ", ".join(e.name for e in store.read_all() if e.domain in domains.in_use)
        raise UsageError(f"no policy set called {name} is enforced", f"enforced: {known}" if known else "none is")
    return enforced


def promote(
    name: str,
    classes: Iterable[str],
    *,
    confirm_within: float | None,
    confirm: bool,
    dataset: Dataset | None,
    accept_incomplete: bool,
    accept_violations: bool,
) -> Enforced:
    """From Audit to Block, in some classes; or, with `confirm`, from Block until a deadline to Block for good."""
    with Programs.found(PINS) as programs:
        domains = Domains(programs)
        enforced = _in_force(name, domains)
        if confirm:
            domains.confirm(enforced.domain)
            return enforced
        wanted = tuple(c for c in CLASSES if c in set(classes) or c in enforced.block)
        file = store.FOLDER / f"{name}.yaml"
        file.write_text(enforced.policies)
        gates.checked([file], dataset, accept_incomplete=accept_incomplete)
        fresh = [c for c in wanted if c not in enforced.block]
        gates.audited(enforced, domains.totals(enforced.domain), fresh, accept=accept_violations)
        domains.block(enforced.domain, wanted, confirm_within=confirm_within)
        changed = enforced.changed(
            block=wanted, audited_since=enforced.audited_since if len(wanted) < len(CLASSES) else 0.0
        )
        store.write(changed)
        return changed


def stop(name: str, programs: Programs | None = None) -> None:
    """Enforce a policy set no longer; with the last one, the programs leave the kernel."""
    if programs is None:
        with Programs.found(PINS) as found:
            return stop(name, found)
    domains = Domains(programs)
    domains.remove(_in_force(name, domains).domain)
    store.forget(name)
    if not domains.in_use:
        programs.unpin()
    return None


def break_glass() -> int:
    """Everything on this node back to Audit at once, without daemon or network; how many policy sets that was."""
    with Programs.found(PINS) as programs:
        programs.state["broken_glass"] = 1
        domains = Domains(programs)
        for number in domains.in_use:
            domains.block(number, ())
        for enforced in store.read_all():
            store.write(enforced.changed(block=()))
        programs.state["broken_glass"] = 0
        return len(domains.in_use)


def status() -> list[dict[str, Any]]:
    """Each policy set in force, with what it has counted."""
    try:
        programs = Programs.found(PINS)
    except EnforceError:
        return []
    with programs:
        domains = Domains(programs)
        kept = {one.domain: one for one in store.read_all()}
        found = []
        for number in domains.in_use:
            one, totals = kept.get(number), domains.totals(number)
            domain = programs.domains[number]
            left = (
                int(domain["deadline"]) / 1e9 - time.clock_gettime(time.CLOCK_BOOTTIME) if domain["deadline"] else None
            )
            keys, values = programs.maps["covered"].items()
            found.append(
                {
                    "name": one.name if one else f"domain-{number}",
                    "target": one.target if one else "unknown",
                    "block": [c for n, c in enumerate(CLASSES) if int(domain["block"]) >> n & 1],
                    "confirm_within_s": None if left is None else round(left, 1),
                    "processes": int((values["domain"] == number).sum()) if len(keys) else 0,
                    "denied": totals.denied,
                    "audited": totals.audited,
                    "untold": totals.untold,
                    "overflowed": bool(programs.state["overflowed"][0]),
                }
            )
        return found
