"""The enforcer's whole judgement of opens on the live kernel, where it cannot deny: random policies, real files.

Attached is a tracepoint program (enforce_watch.bpf.c) after each openat of four agents; what it would have said is
compared with the decision function, alert by alert, with counts. Denying is tried in the guest (tests/vm/guest).
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from enforce_watching import watching

from enforcer.bpf_lsm.alerts import Alerts
from enforcer.bpf_lsm.domains import Domains
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import compile_tables
from models.policy import Dialect, Policy, Posture, Verdict, compile  # noqa: A004

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/vm/guest"))
from enforce_world import BIN, WORLD, Agent, World, deeds, policies  # noqa: E402

pytestmark = [
    pytest.mark.skipif(bool(os.environ.get("DISCOVER_GUEST")), reason="the guest has the real one"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of openat is x86-64's"),
]
SETS, DEEDS = 60, 60


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with watching(tmp_path_factory.mktemp("watch")) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield World()
    for folder in (WORLD, BIN):
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def agents(world: World) -> Iterator[list[Agent]]:
    source = ROOT / "tests/vm/guest/judged.c"
    for name in ("one", "two"):
        subprocess.run(["cc", "-O1", "-static", "-o", BIN / name, source], check=True)
    kinds = (("one", 0, False), ("one", 1000, True), ("two", 0, True), ("two", 1000, False))
    started = [Agent(str(BIN / name), uid, tty) for name, uid, tty in kinds]
    yield started
    for agent in started:
        agent.end()


def test_opens_are_judged_as_the_decision_function(programs: Programs, world: World, agents: list[Agent]) -> None:
    rng = random.Random(7)
    domains, alerts = Domains(programs), Alerts(programs)
    number, verdicts = 0, Counter[Verdict]()
    for _ in range(SETS):
        written = policies(rng, [agent.path for agent in agents[::2]])
        posture = Posture(*(rng.choice(("audit", "block", "block")) for _ in range(3)))
        ruleset, tables = compile(written, posture, Dialect.DISCOVER), compile_tables(written, posture)
        if number:
            domains.swap(number, tables)
        else:
            number = domains.add(tables)
            for agent in agents:
                domains.cover_process(number, agent.process.pid, judged=True)
        agent = rng.choice(agents)
        wanted, got = Counter[tuple[str, str, bool]](), Counter[tuple[str, str, bool]]()
        for deed in deeds(world, agent, rng, DEEDS):
            if not deed.line.startswith("open") or deed.access.create or deed.access.truncate:
                continue
            assert agent.do(deed.line) == 0, deed
            decision = ruleset.decide(deed.access)
            verdicts[decision.verdict] += 1
            if decision.verdict is not Verdict.ALLOW:
                where = f"{decision.rule.policy} {decision.rule.where}" if decision.rule else "posture"
                wanted[deed.access.path, where, decision.verdict is Verdict.BLOCK] += 1
        for told in alerts.take():
            rule = tables.rules[told.rule - 1] if told.rule else None
            got[told.path, f"{rule.policy} {rule.where}" if rule else "posture", told.kind == 3] += told.count
            assert (told.source, told.op, told.denied) == (agent.path, "open", False)
        assert got == wanted, f"{agent} under {[p.to_document()['spec'] for p in written]} {posture}"
    print(f"{sum(verdicts.values())} opens under {SETS} policy sets: {dict(verdicts)}")
    assert min(verdicts[v] for v in Verdict) > 50
    totals = domains.totals(number)
    assert totals.audited["file"] == verdicts[Verdict.AUDIT] + verdicts[Verdict.BLOCK]
    assert not any(totals.untold.values())
    assert not any(totals.denied.values())


def test_what_is_put_off_is_counted_to_the_last(programs: Programs, world: World, agents: list[Agent]) -> None:
    """Taken every few milliseconds, paced: few lines, and together they say exactly what was decided."""
    domains, alerts = Domains(programs), Alerts(programs)
    alerts.leave()
    agent = agents[0]
    number = domains.add(compile_tables([only(f"{WORLD}/a/f")], Posture.all("block")))
    domains.cover_process(number, agent.process.pid, judged=True)
    other, lines, happened = f"{WORLD}/a/x.log", list[int](), 0
    for _ in range(60):
        assert agent.do(f"open r {other}") == 0
        happened += 1
        lines += [told.count for told in alerts.take(paced=True) if told.path == other]
    assert lines[0] == 1
    assert len(lines) < 6
    assert sum(lines) <= happened
    domains.remove(number)
    lines += [told.count for told in alerts.take(paced=True) if told.path == other]  # in force no more: not put off
    assert sum(lines) == happened == domains.totals(number).audited["file"]


def only(path: str) -> Policy:
    spec = {"file": {"matchPaths": [{"path": path}], "action": "Allow"}}
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "p"}, "spec": spec})
