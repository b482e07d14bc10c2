"""Full rings, pins that are gone, and a path that is renamed while it is read."""

from __future__ import annotations

import errno
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from enforce_world import BIN, WORLD, Agent, World

from discover.enforce.bpffs import PINS
from enforcer.bpf_lsm.alerts import Alerts
from enforcer.bpf_lsm.domains import ALL, Domains
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import compile_tables
from enforcer.errors import EnforceError
from models.policy import KubeArmorPolicy, Metadata, Posture, Selector, Spec
from models.policy.fields import from_document

HERE = Path(__file__).parent
FILE, OTHER = f"{WORLD}/a/f", f"{WORLD}/a/x.log"
RACED = 2
"""Of `reasons`."""


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    subprocess.run(["cc", "-O1", "-static", "-o", BIN / "one", HERE / "judged.c"], check=True)
    return made


@pytest.fixture
def agent(world: World) -> Iterator[Agent]:
    started = Agent(str(BIN / "one"), 0, False)
    yield started
    started.end()


def written(*paths: str) -> KubeArmorPolicy:
    spec = {"file": {"matchPaths": [{"path": p} for p in paths], "action": "Allow"}}
    selector = Selector(match_labels={"app": "p"})
    body = from_document(Spec, spec)
    return KubeArmorPolicy(metadata=Metadata(name="p"), spec=Spec(selector=selector, file=body.file))


def judge(programs: Programs, agent: Agent, *paths: str) -> tuple[Domains, int]:
    domains = Domains(programs)
    number = domains.add(compile_tables([written(*paths)], Posture.all("block")), block=ALL)
    domains.cover_process(number, agent.process.pid, judged=True)
    return domains, number


def test_a_full_ring_denies_as_before_and_counts_what_it_cannot_tell(programs: Programs, agent: Agent) -> None:
    alerts = Alerts(programs)
    alerts.take()
    domains, number = judge(programs, agent, FILE)
    many = 3000
    assert {agent.do(f"open wc {WORLD}/a/new-{n}") for n in range(many)} == {errno.EACCES}
    totals = domains.totals(number)
    told = sum(a.count for a in alerts.take())
    assert totals.denied["file"] == many
    assert 0 < totals.untold["file"] < many
    assert told + totals.untold["file"] == many
    assert agent.do(f"open r {FILE}") == 0
    assert agent.do(f"open wc {WORLD}/a/after") == errno.EACCES
    assert [a.path for a in alerts.take()] == [f"{WORLD}/a/after"]


def test_pins_that_are_gone_are_said_to_be(programs: Programs, agent: Agent) -> None:
    """Who holds the programs goes on; whoever comes is told that there is nothing."""
    judge(programs, agent, FILE)
    elsewhere = PINS.with_name("discover-elsewhere")
    (elsewhere / "links").mkdir(parents=True)
    try:
        with pytest.raises(EnforceError, match="cannot be used"):
            Programs.found(elsewhere)
    finally:
        shutil.rmtree(elsewhere)
    with pytest.raises(EnforceError, match="nothing is enforced here"):
        Programs.found(elsewhere)
    assert agent.do(f"open r {OTHER}") == errno.EACCES


def test_a_path_that_is_renamed_while_it_is_read(programs: Programs, agent: Agent) -> None:
    """One rename changes two names: no walk may join the old one to the new one."""
    here, there = WORLD / "race/p1/q1", WORLD / "race/p2/q2"
    for folder in (here, there.parent):
        folder.mkdir(parents=True)
    (here / "f").write_text("x")
    domains, number = judge(programs, agent, f"{here}/f", f"{there}/f")
    stop = threading.Event()

    def rename() -> None:
        while not stop.is_set():
            here.rename(there)
            there.rename(here)

    worker = threading.Thread(target=rename)
    worker.start()
    got: dict[int, int] = {}
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for folder in (here, there):
            error = agent.do(f"open r {folder}/f")
            got[error] = got.get(error, 0) + 1
    stop.set()
    worker.join()
    print(f"opens by errno during renames: {got}")
    assert set(got) <= {0, errno.ENOENT, errno.EACCES}
    assert got[0] > 10
    raced = int(programs.domains[number]["reasons"][RACED])
    assert got.get(errno.EACCES, 0) == raced == domains.totals(number).denied["file"]
