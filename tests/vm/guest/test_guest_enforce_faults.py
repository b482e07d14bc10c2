"""What must hold when things go wrong: killed daemons, swaps under load, deadlines, paths too deep, and ways around."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enforce_world import BIN, WORLD, Agent, World

from discover.enforce.bpffs import PINS
from enforcer.bpf_lsm.alerts import Alerts
from enforcer.bpf_lsm.domains import ALL, Domains
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import Tables, compile_tables
from enforcer.errors import EnforceError
from models.policy import Policy, Posture

HERE = Path(__file__).parent
FILE, OTHER = f"{WORLD}/a/f", f"{WORLD}/a/x.log"
ACCESSES = 100_000 if os.environ.get("DISCOVER_FULL") else 20_000


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


def tables(**spec: Any) -> Tables:
    policy = Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "p"}, "spec": spec})
    return compile_tables([policy], Posture.all("block"))


def only(*paths: str) -> Tables:
    """A file allow-list."""
    return tables(file={"matchPaths": [{"path": p} for p in paths], "action": "Allow"})


def judge(programs: Programs, agent: Agent, policy: Tables) -> tuple[Domains, int]:
    domains = Domains(programs)
    number = domains.add(policy, block=ALL)
    domains.cover_process(number, agent.process.pid, judged=True)
    return domains, number


DAEMON = """
import sys, time
sys.path.insert(0, {here!r})
from test_guest_enforce_faults import ALL, FILE, PINS, Domains, Programs, only
domains = Domains(Programs.found(PINS))
number = domains.add(only(FILE), block=ALL)
domains.cover_process(number, {pid}, judged=True)
print(number, flush=True)
time.sleep(600)
"""


def test_a_killed_daemon_goes_on_enforcing_and_the_next_takes_over(programs: Programs, agent: Agent) -> None:
    code = DAEMON.format(here=str(HERE), pid=agent.process.pid)
    daemon = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout
        number = int(daemon.stdout.readline())
        assert agent.do(f"open r {OTHER}") == errno.EACCES
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        time.sleep(0.5)
        assert agent.do(f"open r {OTHER}") == errno.EACCES
        assert agent.do(f"open r {FILE}") == 0
        domains = Domains(programs)
        assert domains.totals(number).denied["file"] == 2
        domains.swap(number, only(FILE, OTHER))
        assert agent.do(f"open r {OTHER}") == 0
        domains.remove(number)
        assert agent.do(f"open r {WORLD}/a/run") == 0
    finally:
        daemon.kill()


def test_what_is_not_pinned_is_not_found() -> None:
    with pytest.raises(EnforceError):
        Programs.found(PINS.with_name("elsewhere"))


def test_no_access_is_judged_by_neither_policy_or_by_both(programs: Programs, agent: Agent) -> None:
    """Both policies allow one file and deny another; they differ in where the rules lie."""
    many = [f"/srv/data/{n:05}/{'x' * (n % 50)}" for n in range(600)]
    policies = [
        only(FILE),
        only(*many, FILE),
        tables(
            file={
                "matchDirectories": [{"dir": f"{WORLD}/a/"}],
                "matchPaths": [{"path": OTHER, "action": "Block"}],
                "action": "Allow",
            }
        ),
    ]
    domains, number = judge(programs, agent, policies[0])
    wrong: list[int] = []
    worker = threading.Thread(target=lambda: wrong.append(agent.do(f"repeat {ACCESSES // 2} {FILE} {OTHER}")))
    worker.start()
    swaps = 0
    while worker.is_alive():
        swaps += 1
        domains.swap(number, policies[swaps % 3])
    worker.join()
    print(f"{swaps} swaps during {ACCESSES} accesses")
    assert wrong == [0]
    assert swaps > 2
    assert domains.totals(number).denied["file"] == ACCESSES // 2


def test_past_its_deadline_block_is_audit_and_a_confirmation_keeps_it(programs: Programs, agent: Agent) -> None:
    domains, number = judge(programs, agent, only(FILE))
    domains.block(number, ALL, confirm_within=2)
    assert agent.do(f"open r {OTHER}") == errno.EACCES
    time.sleep(2.2)
    assert agent.do(f"open r {OTHER}") == 0
    assert domains.totals(number).audited["file"] == 1
    domains.block(number, ALL, confirm_within=2)
    domains.confirm(number)
    time.sleep(2.2)
    assert agent.do(f"open r {OTHER}") == errno.EACCES
    programs.state["broken_glass"] = 1
    assert agent.do(f"open r {OTHER}") == 0


def test_block_holds_class_by_class(programs: Programs, agent: Agent) -> None:
    policy = tables(
        file={"matchPaths": [{"path": OTHER}], "action": "Block"},
        network={"matchProtocols": [{"protocol": "udp"}], "action": "Block"},
    )
    domains, number = judge(programs, agent, policy)
    domains.block(number, ["network"])
    assert agent.do(f"open r {OTHER}") == 0
    assert agent.do("socket 2 2 0") == errno.EACCES


def test_alerts_are_counted_exactly(programs: Programs, agent: Agent) -> None:
    alerts = Alerts(programs)
    alerts.take()  # of the tests before
    domains, number = judge(programs, agent, only(FILE))
    assert agent.do(f"repeat 300 {FILE} {OTHER}") == 0
    assert [(a.path, a.count, a.denied) for a in alerts.take()] == [(OTHER, 300, True)]
    assert agent.do(f"repeat 7 {FILE} {OTHER}") == 0
    assert [(a.op, a.count) for a in alerts.take()] == [("open", 7)]
    assert alerts.take() == []
    assert domains.totals(number).denied["file"] == 307


def test_a_path_too_deep_is_denied_and_counted(programs: Programs, agent: Agent) -> None:
    """Even where only a Block rule stands, about something else: what it is cannot be known."""
    deep = WORLD / "/".join(["deep"] * 260)
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    domains, number = judge(programs, agent, tables(file={"matchPaths": [{"path": OTHER}], "action": "Block"}))
    assert agent.do(f"open r {deep}/f") == errno.EACCES
    assert agent.do(f"open r {FILE}") == 0
    assert int(programs.domains[number]["reasons"][1]) == 1
    assert domains.totals(number).denied["file"] == 1


def test_ways_around_an_allow_list_of_executables(programs: Programs, agent: Agent) -> None:
    run, other = f"{WORLD}/a/run", f"{WORLD}/b/run"
    judge(programs, agent, tables(process={"matchPaths": [{"path": run}], "action": "Allow"}))
    assert agent.do(f"exec {run}") == 0
    assert agent.do(f"exec {other}") == errno.EACCES
    assert agent.do(f"memfd {run}") == errno.EACCES
    assert agent.do(f"bindmount {other} {run}") == errno.EACCES
    assert agent.do(f"exec {run}") == 0


def test_who_is_covered(programs: Programs) -> None:
    """A task that comes into a covered cgroup is judged once it executes, its children are, and who leaves stays so."""
    inside, outside = (Path("/sys/fs/cgroup") / n for n in ("enforced", "free"))
    below = inside / "below"
    for folder in (inside, below, outside):
        folder.mkdir()
    domains = Domains(programs)
    number = domains.add(only("/dev/null"), block=ALL)
    domains.cover_cgroup(number, inside.stat().st_ino)
    domains.swap(number, only(f"{outside}/cgroup.procs", FILE))
    entering = (
        f"import os; open('{below}/cgroup.procs', 'w').write(str(os.getpid())); open('{OTHER}').close(); "
        f"os.execv('{BIN}/one', ['one'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", entering], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    agent = Agent.__new__(Agent)
    agent.process = process
    try:
        assert agent.do(f"open r {FILE}") == 0
        assert agent.do(f"open r {OTHER}") == errno.EACCES
        assert agent.do(f"join {outside}/cgroup.procs") == 0
        assert agent.do(f"open r {OTHER}") == errno.EACCES
        assert str(process.pid) in (outside / "cgroup.procs").read_text().split()
    finally:
        agent.end()
    assert subprocess.run(["cat", OTHER], check=False, capture_output=True).returncode == 0


def test_an_upgrade_under_load_leaves_no_access_unjudged(programs: Programs, agent: Agent) -> None:
    """The pins of another version's programs are replaced, one by one, while an agent asks; what was in force stays."""
    _, number = judge(programs, agent, only(FILE))
    links = {path.name: path.stat().st_ino for path in (PINS / "links").iterdir()}
    version = next(PINS.glob("programs-*"))
    version.rename(PINS / "programs-of-another")
    assert not Programs.are_of_this_version(PINS)
    done, wrong, over = 0, set[int](), threading.Event()

    def ask() -> None:
        nonlocal done
        while not over.is_set():
            wrong.add(agent.do(f"repeat 100 {FILE} {OTHER}"))
            done += 100

    worker = threading.Thread(target=ask)
    worker.start()
    try:
        upgraded = Programs.upgraded(PINS)
    finally:
        over.set()
        worker.join()
    with upgraded:
        assert wrong == {0}
        assert done >= 1000
        assert Programs.are_of_this_version(PINS)
        now = {path.name: path.stat().st_ino for path in (PINS / "links").iterdir()}
        assert now.keys() == links.keys()
        assert not set(now.values()) & set(links.values())
        twice = Domains(upgraded).totals(number).denied["file"] - done
        print(f"{2 * done} accesses, {twice} denied by both, alike")
        assert 0 <= twice < done
        assert agent.do(f"open r {OTHER}") == errno.EACCES
        assert Domains(upgraded).totals(number).denied["file"] == done + twice + 1  # by one again
        Domains(upgraded).swap(number, only(FILE, OTHER))
    assert agent.do(f"open r {OTHER}") == 0


def test_a_chown_is_judged_before_anything_changes(programs: Programs, agent: Agent) -> None:
    """Also where no program can be at its own hook, before 6.1."""
    rules = [{"path": FILE}, {"path": OTHER, "readOnly": True}]
    domains, number = judge(programs, agent, tables(file={"matchPaths": rules, "action": "Allow"}))
    for _ in range(3):
        changed = Path(OTHER).stat().st_ctime_ns
        assert agent.do(f"chown {OTHER}") == errno.EACCES
        assert agent.do(f"chmod {OTHER}") == errno.EACCES
        assert Path(OTHER).stat().st_ctime_ns == changed
        assert agent.do(f"chown {FILE}") == 0  # the same inode by another name
    assert domains.totals(number).denied["file"] == 6
