"""`discover enforce` from its command line: Audit, Block, what the gates refuse, and a daemon that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from enforce_command import ACCEPT, alerts, discover, logged, paths, standing, start, write_policy

from enforcer.bpf_lsm.programs import Programs

SHELL, CAT = os.path.realpath("/bin/sh"), os.path.realpath("/bin/cat")
TWICE = f"{CAT} /etc/hostname; {CAT} /etc/hostname; echo ended"  # by its path: a search in PATH tries it more than once
CGROUP = Path("/sys/fs/cgroup/shell")
ASKED = f'echo $$ > {CGROUP}/cgroup.procs; exec {SHELL} -c "{CAT} /etc/hostname; :"'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return write_policy(tmp_path / "shell.yaml", process={"matchPaths": paths([SHELL])}, action="Allow")


@pytest.fixture
def cgroup(programs: Programs) -> Iterator[Path]:
    """A cgroup in which nobody is; whatever covers it is stopped at the end."""
    CGROUP.mkdir(exist_ok=True)
    yield CGROUP
    discover("stop", "shell")
    CGROUP.rmdir()


def asked() -> bool:
    """Whether a shell in the cgroup may execute cat."""
    done = subprocess.run(["/bin/sh", "-c", ASKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "ermission denied" in done.stderr
    return bool(done.stdout)


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.3)


def test_a_command_in_audit(policy: Path, programs: Programs) -> None:
    audit = discover(policy, "--mode", "audit", "--", "/bin/sh", "-c", TWICE, check=True)
    assert "ended" in audit.stdout
    told = alerts(audit.stdout)
    assert {(a["Operation"], a["Action"], a["Result"]) for a in told} == {("Process", "Audit (Block)", "Passed")}
    assert {a["Resource"] for a in told} == {CAT}
    assert sum(a["Count"] for a in told) == 2
    failed = discover(policy, "--mode", "audit", "--", "/bin/sh", "-c", "exit 7")
    assert failed.returncode == 7


def test_audit_then_block_then_a_killed_daemon(policy: Path, cgroup: Path) -> None:
    daemon = start(policy, "--mode", "audit", "--cgroup", cgroup)
    try:
        until(lambda: "shell" in discover("status").stdout)
        assert asked()
        until(lambda: logged("shell"))
        refused = discover("promote", "shell", "--accept-incomplete")
        assert refused.returncode == 2
        assert "1 violations" in refused.stderr

        promoted = discover("promote", "shell", *ACCEPT, "--confirm-within", "5m", check=True)
        assert promoted.stdout == "shell: Block (process, file, network, capabilities)\n"
        assert not asked()
        assert standing("shell")["confirm_within_s"] > 0
        discover("promote", "shell", "--confirm", check=True)
        assert standing("shell")["confirm_within_s"] is None

        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        assert not asked()
        assert standing("shell")["denied"]["process"] == 2
    finally:
        daemon.kill()
