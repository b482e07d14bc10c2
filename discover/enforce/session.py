"""One policy set in force: begun or taken over, and watched."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from collectors.live.launch import Launched, launch
from collectors.target import resolve
from discover.enforce.asked import Asked
from discover.enforce.bpffs import BPFFS, PINS, mount_bpffs
from discover.enforce.control import said, stop
from discover.enforce.cover import cover, own_mounts, workload_fields
from discover.enforce.probe import Probe
from discover.enforce.teller import Teller
from discover.errors import DiscoverError, UsageError
from discover.inputs import read_policy_files
from discover.record.run import Stop
from enforcer import store
from enforcer.bpf_lsm.domains import Domains, Readiness
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import Tables, compile_tables
from enforcer.store import Enforced
from models.policy import Policy, Posture, after_start_up

if TYPE_CHECKING:
    pass

__all__ = ["Options", "enforce"]

_INTERVAL = 0.2


@dataclass(frozen=True)
class Options(Asked):
    """What was asked of `discover enforce` with the BPF-LSM programs."""

    most_denials: int = 0
    """Denials that end a Block which is not confirmed; 0: any number."""
    probe: Probe | None = None
    holds: bool = False
    """The cgroup that was named holds containers, each with a start of its own."""
    ready: Readiness = field(default_factory=Readiness)
    """When what the policy allows for the start alone falls away."""


def enforce(options: Options, tell: Callable[[dict[str, Any]], None]) -> int:
    """Put policies in force and tell alerts until the target ends or Ctrl-C; not with `detach`. The exit status."""
    if os.geteuid() != 0:
        raise DiscoverError("enforcing needs root: it loads programs into the kernel", "run it again with sudo")
    policies = [p for found in read_policy_files(options.files).values() for p in found]
    steady, starting = _compiled(policies, options.posture)
    target = resolve(options.spec)
    before = store.read(options.name)
    if options.block:
        _gated(options, before)
    with contextlib.ExitStack() as until_begun, contextlib.ExitStack() as held:
        until_begun.enter_context(store.alone())
        programs = held.enter_context(_programs())
        before = store.read(options.name)
        domains = Domains(programs)
        in_force = before if before and before.domain in domains.in_use else None
        child = None
        try:
            if options.block:
                audited = in_force if in_force and in_force.policies == store.as_yaml(policies) else None
                _audited(options, audited, domains)
            child = launch(target.command) if target.command else None
            with Teller(programs, options.name, tell) as teller:
                teller.step(paced=False)  # while the rules of the policy that was are known by their numbers
                if in_force:
                    number = in_force.domain
                    if not options.block:
                        domains.block(number, ())
                    domains.swap(number, steady, starting=starting, ready=options.ready)
                else:
                    own = own_mounts(target, holds=options.holds)
                    number = domains.add(steady, starting=starting, ready=options.ready, own_mounts=own)
                domains.block(
                    number, options.block, confirm_within=options.confirm_within, most_denials=options.most_denials
                )
                described = (target.describe(), workload_fields(target))
                enforced = _kept(options, policies, number, domains.generation(number), *described, in_force)
                store.write(enforced)
                whole_pod = options.spec.pod_container is None
                cover(domains, number, target, child, whole_pod=whole_pod, holds=options.holds)
                until_begun.close()
                if child:
                    _release(child)
                if options.detach and child is None:
                    return 0
                return _watch(domains, enforced, child, teller, options.probe)
        except BaseException:
            if child and child.poll() is None:
                child.send(signal.SIGTERM)
            if not domains.in_use:
                programs.unpin()
            raise


def _gated(options: Options, before: Enforced | None) -> None:
    """What can be refused before anything is loaded."""
    from discover.enforce import gates  # noqa: PLC0415 - heavy: checking reads recordings

    gates.checked(options.files, options.dataset, accept_incomplete=options.accept_incomplete)
    if before is None:
        gates.audited(None, None, options.block, accept=options.accept_violations)


def _audited(options: Options, audited: Enforced | None, domains: Domains) -> None:
    from discover.enforce import gates  # noqa: PLC0415 - heavy

    totals = domains.totals(audited.domain) if audited else None
    gates.audited(audited, totals, options.block, accept=options.accept_violations)


def _compiled(policies: Sequence[Policy], posture: Posture) -> tuple[Tables, Tables | None]:
    """What holds once the workload is ready, and what holds until then, if that is more."""
    try:
        later = after_start_up(policies)
    except ValueError as error:
        raise UsageError(str(error), "see docs/enforcer.md, Start-up") from None
    if later is None:
        return compile_tables(policies, posture), None
    return compile_tables(later, posture), compile_tables(policies, posture)


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
        blocked_since=time.time() if options.block else 0.0,
        first=before.first if before else generation,
    )


def _programs() -> Programs:
    """Those in the kernel, or fresh ones, pinned."""
    if not mount_bpffs():
        raise DiscoverError(
            f"there is no bpffs at {BPFFS}, so nothing could outlive this process", "mount -t bpf bpf /sys/fs/bpf"
        )
    if not (PINS / "links").is_dir():
        return Programs.load(PINS)
    if Programs.are_of_this_version(PINS):
        return Programs.found(PINS)
    sys.stderr.write("the programs of another version enforce here: this version's take their place\n")
    return Programs.upgraded(PINS)


def _release(child: Launched) -> None:
    try:
        child.release()
    except OSError as error:
        raise UsageError(
            f"cannot run {child.command[0]!r}: {error.strerror}",
            "is it the policy? `discover enforce logs` tells; else give the command's path after --",
        ) from None


def _watch(domains: Domains, enforced: Enforced, child: Launched | None, teller: Teller, probe: Probe | None) -> int:
    number, failed = enforced.domain, False
    with Stop() as asked:
        while not asked.reason and (child.poll() is None if child else domains.is_in_force(number)):
            teller.step()
            if probe and not failed and domains.is_provisional(number) and (lost := probe.lost()):
                domains.fail(number)
                sys.stderr.write(f"error: {lost}\n")
            if not failed and (failure := domains.failure(number)):
                failed = True
                sys.stderr.write(f"error: {enforced.name} is back in Audit: {said(failure)}\n")
            time.sleep(_INTERVAL)
    if child is not None:
        if child.poll() is None:
            child.send(signal.SIGTERM)
            child.wait()
        if not failed and (failure := domains.failure(number)):
            sys.stderr.write(f"error: {enforced.name} is back in Audit: {said(failure)}\n")
        teller.step(paced=False)
        if domains.is_in_force(number):
            stop(enforced.name, domains.programs)
        return max(child.status or 0, 0)
    teller.step(paced=False)
    if not domains.is_in_force(number):
        sys.stderr.write(f"{enforced.name} was stopped\n")
    return 0
