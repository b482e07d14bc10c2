"""Nobody alive, two at once, a confirmation that never comes, a probe that fails: `discover enforce` from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from enforce_command import ACCEPT, discover, logged, standing, start, totals, write_policy
from test_guest_enforce_command import asked, cgroup, policy, until  # noqa: F401 - fixtures

from discover.enforce.bpffs import PINS
from enforcer.bpf_lsm.programs import Programs
from enforcer.errors import EnforceError

IN_CGROUP = "import os, sys; open(sys.argv[1], 'w').write('0'); os.execv('/bin/sh', ['sh', '-c', sys.argv[2]])"


def often(cgroup: Path, times: int) -> None:  # noqa: F811
    """One shell in the cgroup that tries cat so often, all of one kind."""
    line = f"i=0; while [ $i -lt {times} ]; do /bin/cat /etc/hostname; i=$((i+1)); done"
    command = [sys.executable, "-c", IN_CGROUP, str(cgroup / "cgroup.procs"), line]
    subprocess.run(command, capture_output=True, check=False, timeout=300)


def count(name: str) -> int:
    """How many decisions its alerts tell; they outlive the policy set."""
    return sum(alert["Count"] for alert in logged(name))


def test_break_glass_without_anybody_alive(policy: Path, cgroup: Path) -> None:  # noqa: F811
    before = count("shell")
    discover(policy, "--mode", "block", *ACCEPT, "--cgroup", cgroup, "--detach", check=True)
    assert not asked()
    done = discover("break-glass", check=True)
    assert "policy sets are in Audit" in done.stdout
    assert asked()
    assert standing("shell")["block"] == []
    assert totals("shell") == (1, 1)
    assert count("shell") - before == 2


def test_a_confirmation_that_never_comes_and_a_probe_that_fails(policy: Path, cgroup: Path) -> None:  # noqa: F811
    """Nobody is alive when the time is over; the probe is asked by who promotes, and its failure ends the Block."""
    before, block = count("shell"), ("--mode", "block", *ACCEPT, "--cgroup", cgroup)
    discover(policy, *block, "--detach", "--confirm-within", "30s", check=True)
    begun = time.monotonic()
    assert not asked()
    time.sleep(max(0.0, 31 - (time.monotonic() - begun)))
    assert asked()
    late = discover("promote", "shell", "--confirm")
    assert late.returncode == 2
    assert "nobody confirmed it in time" in late.stderr

    probed = discover(
        "promote", "shell", *ACCEPT, "--confirm-within", "5m", "--probe", "/bin/sh -c 'echo down; exit 3'"
    )
    assert probed.returncode == 1
    assert "shell is back in Audit: `/bin/sh -c 'echo down; exit 3'` ended with 3: down" in probed.stderr
    assert asked()
    assert standing("shell")["failed"] == "its probe failed"
    assert count("shell") - before == sum(totals("shell"))


def test_two_daemons_at_once_and_every_decision_is_told_once(policy: Path, cgroup: Path, tmp_path: Path) -> None:  # noqa: F811
    """Both begin at the same time. Whoever takes the alerts may be killed: the other goes on; `stop` ends the rest."""
    other = tmp_path / "other.yaml"
    other.write_text(policy.read_text().replace("name: shell", "name: other").replace("app: shell", "app: other"))
    elsewhere = Path("/sys/fs/cgroup/other")
    elsewhere.mkdir()
    before = count("shell")
    daemons = [
        start(policy, "--mode", "block", *ACCEPT, "--cgroup", cgroup),
        start(other, "--mode", "block", *ACCEPT, "--cgroup", elsewhere),
    ]
    try:
        until(lambda: {"shell", "other"} <= {word.partition(":")[0] for word in discover("status").stdout.split("\n")})
        often(cgroup, 40)
        often(elsewhere, 30)
        assert [standing(name)["denied"]["process"] for name in ("shell", "other")] == [40, 30]
        discover("stop", "other", check=True)
        assert daemons[1].wait(120) == 0
        told = logged("other")
        assert sum(a["Count"] for a in told) == 30
        assert len(told) < 10
        often(elsewhere, 3)
        assert count("other") == 30
        daemons[0].send_signal(signal.SIGTERM)
        assert daemons[0].wait(120) == 0
        assert count("shell") - before == 40
        assert not asked()
    finally:
        for daemon in daemons:
            daemon.kill()
        elsewhere.rmdir()


def test_what_another_version_has_pinned_is_said_to_be(programs: Programs) -> None:
    layout = next(PINS.glob("layout-*"))
    layout.rename(PINS / "layout-of-another")
    try:
        with pytest.raises(EnforceError, match="another version") as said:
            Programs.found(PINS)
        assert "rm -r" in said.value.hint
        assert "another version" in discover("promote", "shell", *ACCEPT).stderr
    finally:
        (PINS / "layout-of-another").rename(layout)
    Programs.found(PINS).close()


def test_a_policy_that_is_too_big_is_refused_and_the_old_one_stays(
    policy: Path,  # noqa: F811
    cgroup: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    discover(policy, "--mode", "block", *ACCEPT, "--cgroup", cgroup, "--detach", check=True)
    assert not asked()
    patterns = [{"pattern": f"/**/{'?' * n}{letter}*/x"} for n in range(12) for letter in "abcd"]
    big = write_policy(tmp_path / "big.yaml", process={"matchPatterns": patterns}, action="Allow")
    refused = discover(big, "--name", "shell", "--mode", "block", *ACCEPT, "--cgroup", cgroup, "--detach")
    assert refused.returncode == 2
    assert "states" in refused.stderr
    assert "hint:" in refused.stderr
    assert not asked()
    assert standing("shell")["denied"]["process"] == 2
