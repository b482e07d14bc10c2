"""What is allowed for a start alone, and what ends a Block before anybody has confirmed it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enforce_world import BIN, WORLD, Agent, World

from enforcer.bpf_lsm.domains import ALL, Domains, Readiness
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import Tables, compile_tables
from models.policy import START_UP, Policy, Posture, after_start_up, start_up_annotation

HERE = Path(__file__).parent
CGROUP = Path("/sys/fs/cgroup/starts")
HELPER, OTHER = f"{WORLD}/a/run", f"{WORLD}/a/x.log"
SERVICE = str(BIN / "one")


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    subprocess.run(["cc", "-O1", "-static", "-o", SERVICE, HERE / "judged.c"], check=True)
    return made


@pytest.fixture
def enter(world: World) -> Iterator[Callable[[], Agent]]:
    """Start an agent that comes into the cgroup from outside, as a service manager or a runtime starts one."""
    CGROUP.mkdir(exist_ok=True)
    started: list[Agent] = []

    def begin() -> Agent:
        agent = Agent.__new__(Agent)
        command = ["/bin/sh", "-c", f"echo $$ > {CGROUP}/cgroup.procs; exec {SERVICE}"]
        agent.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(agent)
        return agent

    yield begin
    for agent in started:
        if agent.process.poll() is None:
            agent.end()


def policies() -> tuple[Tables, Tables]:
    """(once it is ready, until then) of a service that needs a helper for its start."""
    document: dict[str, Any] = {
        "kind": "KubeArmorPolicy",
        "metadata": {"name": "p", "annotations": {START_UP: start_up_annotation([HELPER])}},
        "spec": {"process": {"matchPaths": [{"path": SERVICE}, {"path": HELPER}], "action": "Allow"}},
    }
    written = [Policy.from_document(document)]
    later = after_start_up(written)
    assert later
    return compile_tables(later, Posture.all("block")), compile_tables(written, Posture.all("block"))


def covered(programs: Programs, ready: Readiness) -> tuple[Domains, int]:
    domains = Domains(programs)
    steady, starting = policies()
    number = domains.add(steady, starting=starting, ready=ready, block=ALL)
    domains.cover_cgroup(number, CGROUP.stat().st_ino)
    return domains, number


def test_the_helper_falls_away_with_the_first_listen(programs: Programs, enter: Callable[[], Agent]) -> None:
    covered(programs, Readiness())
    first = enter()
    assert first.do(f"exec {HELPER}") == 0
    assert first.do(f"exec {OTHER}") == errno.EACCES
    assert first.do("use listen 2") in (0, errno.EINVAL)  # a unix socket: nobody is served by it yet
    assert first.do(f"exec {HELPER}") == 0
    assert first.do("use listen 0") == 0
    assert first.do(f"exec {HELPER}") == errno.EACCES
    visitor = enter()  # as ``docker exec``: the same instance, which is ready
    assert visitor.do(f"exec {HELPER}") == errno.EACCES
    visitor.end()
    assert first.do(f"exec {HELPER}") == errno.EACCES
    first.end()
    again = enter()  # the next start
    assert again.do(f"exec {HELPER}") == 0
    assert again.do("use listen 0") == 0
    assert again.do(f"exec {HELPER}") == errno.EACCES


def test_it_falls_away_after_a_time(programs: Programs, enter: Callable[[], Agent]) -> None:
    covered(programs, Readiness(on_listen=False, after=2.0))
    agent = enter()
    assert agent.do("use listen 0") == 0
    assert agent.do(f"exec {HELPER}") == 0
    time.sleep(2.1)
    assert agent.do(f"exec {HELPER}") == errno.EACCES


def test_it_falls_away_when_that_is_said(programs: Programs, enter: Callable[[], Agent]) -> None:
    domains, number = covered(programs, Readiness(on_listen=False))
    agent = enter()
    assert agent.do("use listen 0") == 0
    assert agent.do(f"exec {HELPER}") == 0
    assert domains.ready(number) == 1
    assert agent.do(f"exec {HELPER}") == errno.EACCES
    domains.swap(number, *policies()[1:])  # a policy of which nothing falls away
    assert agent.do(f"exec {HELPER}") == 0


def test_denials_end_a_block_that_nobody_confirmed(programs: Programs, enter: Callable[[], Agent]) -> None:
    domains, number = covered(programs, Readiness())
    domains.block(number, ALL, confirm_within=600, most_denials=3)
    agent = enter()
    assert [agent.do(f"exec {OTHER}") for _ in range(5)] == [errno.EACCES] * 3 + [0, 0]
    failure = domains.failure(number)
    assert failure
    assert (failure.why, failure.denials) == ("denials", 3)
    assert domains.totals(number).audited["process"] == 2
    domains.block(number, ALL, confirm_within=600, most_denials=3)
    domains.confirm(number)
    assert [agent.do(f"exec {OTHER}") for _ in range(5)] == [errno.EACCES] * 5
    assert domains.failure(number) is None


@pytest.mark.parametrize("how", ["fault", "status"])
def test_a_crash_ends_it(programs: Programs, enter: Callable[[], Agent], how: str) -> None:
    domains, number = covered(programs, Readiness())
    domains.block(number, ALL, confirm_within=600)
    agent = enter()
    assert agent.do(f"exec {OTHER}") == errno.EACCES
    if how == "fault":
        os.kill(agent.process.pid, signal.SIGSEGV)
        agent.process.wait(30)
    else:
        assert agent.process.stdin
        agent.process.stdin.write("nonsense\n")
        agent.process.stdin.close()
        assert agent.process.wait(30) == 2
    failure = domains.failure(number)
    assert failure
    assert (failure.why, failure.pid, failure.comm) == ("crash", agent.process.pid, "one")
    assert failure.code & 0xFF7F == (signal.SIGSEGV if how == "fault" else 2 << 8)  # 0x80: it left a core
    assert enter().do(f"exec {OTHER}") == 0


def test_who_is_told_to_end_has_not_crashed(programs: Programs, enter: Callable[[], Agent]) -> None:
    domains, number = covered(programs, Readiness())
    domains.block(number, ALL, confirm_within=600)
    for number_of_signal in (signal.SIGTERM, signal.SIGKILL):
        agent = enter()
        assert agent.do(f"exec {OTHER}") == errno.EACCES
        os.kill(agent.process.pid, number_of_signal)
        agent.process.wait(30)
    agent = enter()
    agent.end()
    assert agent.process.returncode == 0
    assert domains.failure(number) is None
