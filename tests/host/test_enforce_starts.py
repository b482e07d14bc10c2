"""Starts, readiness and what ends a Block, on the live kernel, where nothing can be denied.

Opens of an agent are judged after they have returned; which policy judged them, and whether it would have denied, is
read from the counters. The real denials are tried in the guest (tests/vm/guest/test_guest_enforce_starts.py).
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enforce_watching import watching

from collectors.cgroups import UNIFIED, detect
from enforcer.bpf_lsm.domains import ALL, Domains, Readiness
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import Tables, compile_tables
from models.policy import Policy, Posture

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/vm/guest"))
from enforce_world import BIN, WORLD, Agent, World  # noqa: E402

pytestmark = [
    pytest.mark.skipif(bool(os.environ.get("DISCOVER_GUEST")), reason="the guest has the real one"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of system calls are x86-64's"),
    pytest.mark.skipif(os.geteuid() != 0, reason="loads programs into the kernel: needs root"),
]
FOR_THE_START, ALWAYS, NEVER = f"{WORLD}/a/f", f"{WORLD}/a/run", f"{WORLD}/a/x.log"
SERVICE = BIN / "one"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with watching(tmp_path_factory.mktemp("watch")) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield World()
    for folder in (WORLD, BIN):
        shutil.rmtree(folder)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of the v2 tree, which the programs read."""
    tree = detect().hierarchies.get(UNIFIED)
    if tree is None:
        pytest.skip("no cgroup v2 tree is mounted")
    folder = tree.directory("/enforce-starts")
    folder.mkdir(exist_ok=True)
    yield folder
    for below in (*folder.glob("*/"), folder):
        if below.is_dir():
            below.rmdir()


@pytest.fixture
def enter(world: World, cgroup: Path) -> Iterator[Callable[..., Agent]]:
    """Start an agent that comes into the cgroup, or one below it, from outside."""
    subprocess.run(["cc", "-O1", "-static", "-o", SERVICE, ROOT / "tests/vm/guest/judged.c"], check=True)
    started: list[Agent] = []

    def begin(below: str = ".") -> Agent:
        agent = Agent.__new__(Agent)
        command = ["/bin/sh", "-c", f"echo $$ > {cgroup / below}/cgroup.procs; exec {SERVICE}"]
        agent.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(agent)
        return agent

    yield begin
    for agent in started:
        if agent.process.poll() is None:
            agent.end()


@pytest.fixture
def domains(programs: Programs) -> Iterator[Domains]:
    found = Domains(programs)
    yield found
    for number in found.in_use:
        found.remove(number)


def only(*paths: str) -> Tables:
    spec: dict[str, Any] = {"file": {"matchPaths": [{"path": p} for p in paths], "action": "Allow"}}
    policy = Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "p"}, "spec": spec})
    return compile_tables([policy], Posture.all("block"))


def begun(domains: Domains, cgroup: Path, ready: Readiness, *, holds: bool = False) -> int:
    number = domains.add(only(ALWAYS), starting=only(ALWAYS, FOR_THE_START), ready=ready, block=ALL)
    domains.cover_cgroup(number, cgroup.stat().st_ino, holds=holds)
    return number


def judged(domains: Domains, number: int, agent: Agent, path: str) -> str:
    """How an open was judged: allowed, audited, or denied (had it been at a hook)."""
    before = domains.totals(number)
    assert agent.do(f"open r {path}") == 0
    after = domains.totals(number)
    new = {kind: getattr(after, kind)["file"] - getattr(before, kind)["file"] for kind in ("denied", "audited")}
    assert sum(new.values()) <= 1
    return next((kind for kind, count in new.items() if count), "allowed")


def test_the_first_listen_ends_a_start(domains: Domains, cgroup: Path, enter: Callable[..., Agent]) -> None:
    number = begun(domains, cgroup, Readiness())
    first = enter()
    assert [judged(domains, number, first, p) for p in (ALWAYS, FOR_THE_START, NEVER)] == [
        "allowed",
        "allowed",
        "denied",
    ]
    assert first.do("use listen 0") == 0
    assert [judged(domains, number, first, p) for p in (ALWAYS, FOR_THE_START)] == ["allowed", "denied"]
    visitor = enter()  # as ``docker exec``: the instance is ready
    assert judged(domains, number, visitor, FOR_THE_START) == "denied"
    visitor.end()
    first.end()
    again = enter()
    assert judged(domains, number, again, FOR_THE_START) == "allowed"


def test_each_cgroup_below_one_that_holds_them_starts_by_itself(
    domains: Domains, cgroup: Path, enter: Callable[..., Agent]
) -> None:
    number = begun(domains, cgroup, Readiness(), holds=True)
    (cgroup / "one").mkdir()
    one = enter("one")
    assert one.do("use listen 0") == 0
    assert judged(domains, number, one, FOR_THE_START) == "denied"
    (cgroup / "two").mkdir()
    two = enter("two")
    assert judged(domains, number, two, FOR_THE_START) == "allowed"
    assert judged(domains, number, one, FOR_THE_START) == "denied"


def test_a_time_and_a_word_end_a_start(domains: Domains, cgroup: Path, enter: Callable[..., Agent]) -> None:
    number = begun(domains, cgroup, Readiness(on_listen=False, after=1.0))
    agent = enter()
    assert agent.do("use listen 0") == 0
    assert judged(domains, number, agent, FOR_THE_START) == "allowed"
    time.sleep(1.1)
    assert judged(domains, number, agent, FOR_THE_START) == "denied"
    agent.end()
    domains.swap(number, only(ALWAYS), starting=only(ALWAYS, FOR_THE_START), ready=Readiness(on_listen=False))
    agent = enter()
    assert judged(domains, number, agent, FOR_THE_START) == "allowed"
    assert domains.ready(number) == 1
    assert judged(domains, number, agent, FOR_THE_START) == "denied"


def test_what_ran_before_is_ready(domains: Domains, cgroup: Path, enter: Callable[..., Agent]) -> None:
    agent = enter()
    assert agent.do("use listen 0") == 0
    number = begun(domains, cgroup, Readiness())
    domains.cover_process(number, agent.process.pid, judged=True, home=cgroup.stat().st_ino)
    domains.running(number, cgroup.stat().st_ino, agent.process.pid)
    assert judged(domains, number, agent, FOR_THE_START) == "denied"
    assert judged(domains, number, enter(), FOR_THE_START) == "denied"


def test_denials_end_a_block_that_nobody_confirmed(domains: Domains, cgroup: Path, enter: Callable[..., Agent]) -> None:
    number = begun(domains, cgroup, Readiness())
    domains.block(number, ALL, confirm_within=600, most_denials=3)
    assert domains.is_provisional(number)
    agent = enter()
    assert [judged(domains, number, agent, NEVER) for _ in range(5)] == ["denied"] * 3 + ["audited"] * 2
    failure = domains.failure(number)
    assert failure
    assert (failure.why, failure.denials, failure.comm) == ("denials", 3, "one")
    assert not domains.is_provisional(number)
    domains.block(number, ALL, confirm_within=600, most_denials=3)
    domains.confirm(number)
    assert [judged(domains, number, agent, NEVER) for _ in range(5)] == ["denied"] * 5
    assert domains.failure(number) is None


@pytest.mark.parametrize("how", ["fault", "status", "term", "kill", "fine", "confirmed"])
def test_only_a_crash_ends_it(domains: Domains, cgroup: Path, enter: Callable[..., Agent], how: str) -> None:
    number = begun(domains, cgroup, Readiness())
    domains.block(number, ALL, confirm_within=600)
    if how == "confirmed":
        domains.confirm(number)
    agent = enter()
    assert judged(domains, number, agent, NEVER) == "denied"
    pid = agent.process.pid
    signals = {"fault": signal.SIGSEGV, "term": signal.SIGTERM, "kill": signal.SIGKILL, "confirmed": signal.SIGSEGV}
    if how in signals:
        os.kill(pid, signals[how])
        agent.process.wait(30)
    elif how == "status":
        assert agent.process.stdin
        agent.process.stdin.write("nonsense\n")
        agent.process.stdin.close()
        assert agent.process.wait(30) == 2
    else:
        agent.end()
    failure = domains.failure(number)
    if how in ("fault", "status"):
        assert failure
        assert (failure.why, failure.pid, failure.comm) == ("crash", pid, "one")
        assert failure.code & 0xFF7F == (signal.SIGSEGV if how == "fault" else 2 << 8)  # 0x80: it left a core
        assert judged(domains, number, enter(), NEVER) == "audited"
    else:
        assert failure is None
        assert judged(domains, number, enter(), NEVER) == "denied"


def test_a_cgroup_is_covered_when_it_gets_the_name_again(
    domains: Domains, programs: Programs, cgroup: Path, enter: Callable[..., Agent]
) -> None:
    number = domains.add(only(ALWAYS), block=ALL)
    name = "docker-" + "5" * 64 + ".scope"
    domains.await_cgroup(number, name)
    for _ in range(2):
        (cgroup / name).mkdir()
        agent = enter(name)
        assert judged(domains, number, agent, NEVER) == "denied"
        agent.end()
        (cgroup / name).rmdir()
        assert not len(programs.maps["roots"].items()[0])
    (cgroup / "other").mkdir()
    before = domains.totals(number)
    assert enter("other").do(f"open r {NEVER}") == 0
    assert domains.totals(number) == before
