"""What is in force, promoted, stopped, and told about."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from discover.enforce.bpffs import PINS
from discover.enforce.probe import Probe
from discover.enforce.teller import Teller
from discover.errors import UsageError
from discover.text import printable
from enforcer import store
from enforcer.bpf_lsm.domains import CLASSES, Domains, Failure
from enforcer.bpf_lsm.programs import Programs
from enforcer.errors import EnforceError
from enforcer.store import Enforced

if TYPE_CHECKING:
    from models.dataset import Dataset

__all__ = ["attend", "break_glass", "confirm", "promote", "ready", "said", "status", "stop"]

_NAMED = 5


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
    most_denials: int,
    dataset: Dataset | None,
    accept_incomplete: bool,
    accept_violations: bool,
) -> Enforced:
    """From Audit to Block, in some classes."""
    from discover.enforce import gates  # noqa: PLC0415 - heavy: checking reads recordings

    with Programs.found(PINS) as programs:
        domains = Domains(programs)
        enforced = _in_force(name, domains)
        now = _blocking(domains, enforced)
        wanted = tuple(c for c in CLASSES if c in set(classes) or c in now)
        file = store.FOLDER / f"{name}.yaml"
        file.write_text(enforced.policies)
        gates.checked([file], dataset, accept_incomplete=accept_incomplete)
        fresh = [c for c in wanted if c not in now]
        gates.audited(enforced, domains.totals(enforced.domain), fresh, accept=accept_violations)
        domains.block(enforced.domain, wanted, confirm_within=confirm_within, most_denials=most_denials)
        changed = enforced.changed(
            block=wanted,
            audited_since=enforced.audited_since if len(wanted) < len(CLASSES) else 0.0,
            blocked_since=time.time(),
        )
        store.write(changed)
        return changed


def _blocking(domains: Domains, enforced: Enforced) -> tuple[str, ...]:
    """The classes in which it denies now: none where Block ended before it was confirmed."""
    return () if domains.failure(enforced.domain) or domains.is_over(enforced.domain) else enforced.block


def confirm(name: str) -> Enforced:
    """From Block until a deadline to Block for good. Raises `UsageError` where it has ended."""
    with Programs.found(PINS) as programs:
        domains = Domains(programs)
        enforced = _in_force(name, domains)
        if failure := domains.failure(enforced.domain):
            raise UsageError(f"{name} is back in Audit: {said(failure)}", f"discover enforce logs {name}")
        if domains.is_over(enforced.domain):
            raise UsageError(
                f"{name} is back in Audit: nobody confirmed it in time", f"discover enforce promote {name}"
            )
        domains.confirm(enforced.domain)
        return enforced


def attend(name: str, probe: Probe, seconds: float) -> str:
    """Probe a workload until its Block is confirmed, or fails, or `seconds` are over. What it failed at, or nothing."""
    with Programs.found(PINS) as programs:
        domains = Domains(programs)
        number = _in_force(name, domains).domain
        end = time.monotonic() + seconds
        while domains.is_provisional(number) and time.monotonic() < end:
            if lost := probe.lost():
                domains.fail(number)
                return lost
            time.sleep(0.2)
        failure = domains.failure(number)
        return said(failure) if failure else ""


def ready(name: str) -> int:
    """Say that a policy set's workload is ready: what is for its start alone falls away. How many instances."""
    with Programs.found(PINS) as programs:
        domains = Domains(programs)
        return domains.ready(_in_force(name, domains).domain)


def stop(name: str, programs: Programs | None = None) -> None:
    """Enforce a policy set no longer; with the last one, the programs leave the kernel."""
    if programs is None:
        with Programs.found(PINS) as found:
            return stop(name, found)
    domains = Domains(programs)
    with store.alone(), Teller(programs, "", lambda _: None) as teller:
        enforced = _in_force(name, domains)
        teller.step()
        domains.remove(enforced.domain)
        teller.step(paced=False)  # what was counted until the end, where nobody else takes it
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
            store.write(enforced.changed(block=(), audited_since=time.time()))
        programs.state["broken_glass"] = 0
        return len(domains.in_use)


def said(failure: Failure) -> str:
    """Why a Block ended, for a person."""
    if failure.why == "denials":
        return f"{failure.denials} denials"
    if failure.why == "probe":
        return "its probe failed"
    number = failure.code & 0x7F
    who = f"{printable(failure.comm)} ({failure.pid})"
    return f"{who} was killed by {signal.Signals(number).name}" if number else f"{who} ended with {failure.code >> 8}"


def _denied(enforced: Enforced) -> list[str]:
    """What was denied since Block began, each kind once, as far as it was told."""
    if not enforced.alerts.exists():
        return []
    found = []
    for line in enforced.alerts.read_text("utf-8", "replace").splitlines():
        alert = json.loads(line)
        if alert["Result"] != "Passed" and alert["Timestamp"] >= int(enforced.blocked_since):
            found.append(f"{alert['Source']}: {alert['Data'].removeprefix('op=')} {alert['Resource']}")
    return list(dict.fromkeys(found))


def status() -> list[dict[str, Any]]:
    """Each policy set in force, with what it has counted."""
    try:
        programs = Programs.found(PINS)
    except EnforceError:
        return []
    with programs:
        domains = Domains(programs)
        kept = {one.domain: one for one in store.read_all()}
        return [_standing(domains, number, kept.get(number)) for number in domains.in_use]


def _standing(domains: Domains, number: int, one: Enforced | None) -> dict[str, Any]:
    programs, totals, failure = domains.programs, domains.totals(number), domains.failure(number)
    domain = programs.domains[number]
    left = int(domain["deadline"]) / 1e9 - time.clock_gettime(time.CLOCK_BOOTTIME) if domain["deadline"] else None
    keys, values = programs.maps["covered"].items()
    return {
        "name": one.name if one else f"domain-{number}",
        "target": one.target if one else "unknown",
        "block": [] if failure else [c for n, c in enumerate(CLASSES) if int(domain["block"]) >> n & 1],
        "confirm_within_s": None if left is None or failure else round(left, 1),
        "failed": said(failure) if failure else "",
        "failed_after": _denied(one)[:_NAMED] if failure and one else [],
        "processes": int((values["domain"] == number).sum()) if len(keys) else 0,
        "denied": totals.denied,
        "audited": totals.audited,
        "untold": totals.untold,
        "overflowed": bool(programs.state["overflowed"][0]),
        "unprotected": unprotected(domains, number, one) if one else [],
    }


def unprotected(domains: Domains, number: int, one: Enforced) -> list[str]:
    """Containers of the name that was given, or of the pod's, that run and are not covered: made anew since."""
    named = one.workload.get("ContainerName"), one.workload.get("PodName"), one.workload.get("NamespaceName")
    if not any(named[:2]):
        return []
    from collectors.cgroups import UNIFIED, CgroupError, detect  # noqa: PLC0415 - asks the runtimes
    from collectors.runtimes import list_containers  # noqa: PLC0415

    tree = detect().hierarchies.get(UNIFIED)
    if tree is None:
        return []
    keys, values = domains.programs.maps["roots"].items()
    roots = {int(k) for k, v in zip(keys, values, strict=True) if int(v["domain"]) == number}
    found = []
    for container in (c for listing in list_containers(UNIFIED) for c in listing.containers if not c.sandbox):
        is_his = (container.pod_name, container.namespace) == named[1:] if named[1] else container.name == named[0]
        if not is_his or not container.cgroup:
            continue
        above = [container.cgroup, *(str(p) for p in PurePosixPath(container.cgroup).parents)]
        with contextlib.suppress(CgroupError):
            if not roots & {tree.id_of(path) for path in above}:
                found.append(container.title)
    return found
