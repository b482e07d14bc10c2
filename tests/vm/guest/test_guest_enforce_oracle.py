"""The kernel's verdict is the decision function's: random policies, random accesses, real system calls."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from enforce_world import BIN, Agent, Deed, World, deeds, policies

from enforcer.bpf_lsm.alerts import Alerts
from enforcer.bpf_lsm.domains import ALL, Domains
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import compile_tables
from models.policy import Decision, Dialect, Op, Posture, Ruleset, Verdict, compile  # noqa: A004

HERE = Path(__file__).parent
SECONDS = float(os.environ.get("DISCOVER_ORACLE_SECONDS", "60"))
DEEDS = 40
SEED = int(os.environ.get("DISCOVER_ORACLE_SEED", "1"))


@pytest.fixture(scope="module")
def world() -> World:
    for name in ("protected_hardlinks", "protected_symlinks", "protected_regular", "protected_fifos"):
        Path(f"/proc/sys/fs/{name}").write_text("0")
    return World()


@pytest.fixture(scope="module")
def agents(world: World) -> Iterator[list[Agent]]:
    built = BIN / "one"
    subprocess.run(["cc", "-O1", "-static", "-o", built, HERE / "judged.c"], check=True)
    shutil.copy(built, BIN / "two")
    started = [
        Agent(str(BIN / name), uid, tty)
        for name, uid, tty in (("one", 0, False), ("one", 1000, True), ("two", 0, True), ("two", 1000, False))
    ]
    yield started
    for agent in started:
        agent.end()


def expected_alerts(ruleset: Ruleset, deed: Deed, decision: Decision) -> list[tuple[str, str, str, bool]]:
    """(operation, object, policy and rule, denied) of the alerts that a deed raises, capabilities left out."""
    access, op = deed.access, str(deed.access.op)

    def named(of: Decision, operation: str, path: str) -> tuple[str, str, str, bool]:
        where = f"{of.rule.policy} {of.rule.where}" if of.rule else "posture"
        return operation, path, where, of.verdict is Verdict.BLOCK

    if access.op is Op.CAPABLE:
        return []
    if access.op is Op.EXEC:  # its own open comes first, judged by Block rules alone
        own = ruleset.decide(replace(access, op=Op.OPEN, read=True, argv=None))
        if own.verdict is Verdict.BLOCK and own.rule:
            return [named(own, "open", access.path)]
        return [named(decision, op, access.path)] if decision.verdict is not Verdict.ALLOW else []
    if access.op in (Op.RENAME, Op.LINK):
        halves = [
            (f"{op}-from", access.path, ruleset.decide(replace(access, op=Op(f"{op}-from"), target=""))),
            (
                f"{op}-to",
                access.target,
                ruleset.decide(replace(access, op=Op(f"{op}-to"), path=access.target, target="")),
            ),
        ]
        if halves[0][2].verdict is Verdict.BLOCK:
            halves.pop()
        return [named(d, o, p) for o, p, d in halves if d.verdict is not Verdict.ALLOW]
    if decision.verdict is Verdict.ALLOW:
        return []
    if access.create:
        return [named(decision, "mknod", access.path)]
    alerts = [named(decision, op, access.path)]
    if access.truncate and decision.verdict is Verdict.AUDIT:
        alerts.append(named(decision, "truncate", access.path))
    return alerts


def is_denied(deed: Deed, error: int) -> bool:
    if deed.access.op is Op.CAPABLE:
        return error in (errno.EPERM, errno.EACCES)
    return error == errno.EACCES


def test_the_kernel_decides_as_the_decision_function(programs: Programs, world: World, agents: list[Agent]) -> None:
    rng = random.Random(SEED)
    domains, alerts = Domains(programs), Alerts(programs)
    number, done, sets = 0, Counter[str](), 0
    wrong: list[str] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and len(wrong) < 5:
        written = policies(rng, [a.path for a in agents[::2]])
        posture = Posture(*(rng.choice(("audit", "block", "block")) for _ in range(3)))
        ruleset, tables = compile(written, posture, Dialect.DISCOVER), compile_tables(written, posture)
        if not number:
            number = domains.add(tables, block=ALL)
            for agent in agents:
                domains.cover_process(number, agent.process.pid, judged=True)
        else:
            domains.swap(number, tables)
        sets += 1
        under = f"under {[p.to_document()['spec'] for p in written]} {posture}"
        wanted: Counter[tuple[str, str, str, bool]] = Counter()
        agent = rng.choice(agents)
        for deed in deeds(world, agent, rng, DEEDS):
            decision = ruleset.decide(deed.access)
            error = agent.do(deed.line)
            done[decision.verdict] += 1
            wanted.update(expected_alerts(ruleset, deed, decision))
            if is_denied(deed, error) != (decision.verdict is Verdict.BLOCK):
                wrong.append(f"{deed}: errno {error}, but {decision}\n  {under}")
            if error == 0:
                for path in deed.touched:
                    world.restore(path)
        world.mended()
        got: Counter[tuple[str, str, str, bool]] = Counter()
        for told in alerts.take():
            if told.policy_class == "capabilities":
                continue
            rule = tables.rules[told.rule - 1] if told.rule else None
            where = f"{rule.policy} {rule.where}" if rule else "posture"
            got[told.op, told.path, where, told.denied] += told.count
        if got != wanted:
            wrong.append(f"alerts: only told {got - wanted}, only expected {wanted - got}\n  {agent} {under}")
    print(f"{sum(done.values())} accesses under {sets} policy sets: {dict(done)}")
    assert not wrong, "\n".join(wrong)
    totals = domains.totals(number)
    assert not any(totals.untold.values())
    assert sum(done.values()) >= 500
    assert min(done[v] for v in Verdict) > 50
    domains.remove(number)
