"""Drills, on a real nginx, containers and processes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workloads import Podman, telling, until

from collectors import drills, procs
from collectors.cgroups import detect
from collectors.target import Target, TargetSpec, resolve
from models.behaviour import Phase

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups and containers: needs root")


class Phases:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Phase]] = []

    def __call__(self, unit: str, phase: Phase) -> None:
        self.seen.append((unit, phase))


@pytest.fixture
def nginx(tmp_path: Path, children: Callable[..., subprocess.Popen[bytes]]) -> tuple[Target, Path]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs nginx")
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; user root; worker_processes 1;\n"
        f"events {{}} http {{ access_log {tmp_path}/access.log;\n"
        + "".join(f" {kind}_temp_path {tmp_path}/t;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f" server {{ listen unix:{tmp_path}/s; }} }}\n"
    )
    child = children(program, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log"))
    until((tmp_path / "pid").exists)
    until(lambda: len(procs.descendants(child.pid)) == 2)
    return resolve(TargetSpec(pid=child.pid)), tmp_path


def subject(target: Target) -> drills.Subject:
    return drills.subject_of(target, detect().hierarchies[target.hierarchy], "unit-1")


def test_nginx_reloads_rotates_and_stops(nginx: tuple[Target, Path]) -> None:
    target, folder = nginx
    worker = target.pids[1]
    phases = Phases()
    results = list(drills.run(subject(target), drills.parse("stop,reload,rotate"), phases, settle=1.5))
    assert [(r.name, r.done) for r in results] == [("reload", True), ("rotate", True), ("stop", True)], results
    assert "SIGHUP" in results[0].outcome
    assert procs.start_of(worker) is None
    assert "SIGUSR1" in results[1].outcome
    assert "reopened after" in results[1].outcome
    for name in ("access.log", "error.log"):
        assert (folder / name).exists()
        assert len(list(folder.glob(f"{name}.drill-*"))) == 1
    assert "ended after" in results[2].outcome
    during, after = Phase.DRILL, Phase.STEADY
    assert phases.seen == [("unit-1", p) for p in (during, after, during, after, during)]
    assert drills.not_drilled(results) == {"crash": "not asked for"}
    (again,) = drills.run(subject(target), drills.parse("stop"), phases, restart_wait=0.1)
    assert (again.done, again.outcome) == (False, "the workload does not run")


def test_reload_that_would_kill_is_not_done(children: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = children("sleep", "60")
    target = resolve(TargetSpec(pid=child.pid))
    results = list(drills.run(subject(target), drills.parse("reload,rotate"), Phases(), settle=0.1))
    assert [r.done for r in results] == [False, False]
    assert child.poll() is None
    assert set(drills.not_drilled(results)) == {"reload", "rotate", "stop", "crash"}


def test_crash(tmp_path: Path, children: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = children("sleep", "60", cwd=tmp_path)
    (result,) = drills.run(subject(resolve(TargetSpec(pid=child.pid))), drills.parse("crash"), Phases(), settle=0.1)
    assert result.done
    assert child.wait(10) == -signal.SIGSEGV
    assert "SIGSEGV" in result.outcome
    assert "core" in result.outcome


def test_core_limit_is_raised_for_a_command(children: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = children("sh", "-c", 'test "$(ulimit -Sc)" = "$(ulimit -Hc)"', preexec_fn=drills.raise_core_limit)
    assert child.wait(10) == 0


def test_stop_of_a_container_whose_first_process_has_no_handler(boxes: Podman) -> None:
    boxes.run("web", "/bin/sleep", "100")
    target = resolve(TargetSpec(container="web"))
    (result,) = drills.run(subject(target), drills.parse("stop"), Phases(), stop_wait=0.5)
    assert not result.done
    assert "pid 1 of its container" in result.outcome


def test_crash_in_a_container_takes_a_child(boxes: Podman) -> None:
    boxes.run("web", "/bin/sh", "-c", "trap : HUP; while true; do sleep 100; done")
    until(lambda: len(resolve(TargetSpec(container="web")).pids) == 2)
    target = resolve(TargetSpec(container="web"))
    results = list(drills.run(subject(target), drills.parse("reload,crash"), Phases(), settle=0.2, stop_wait=5))
    assert [r.done for r in results] == [True, True], results
    assert "(sleep)" in results[1].outcome
    assert procs.start_of(target.root_pid or 0) is not None


def test_rotation_does_not_follow_what_the_workload_plants(
    tmp_path: Path, children: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A log whose folder was replaced by a link to another one: nothing is renamed there."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "app.log").write_text("mine")
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGHUP, lambda *_: None)\n"
        f"os.mkdir('{tmp_path}/var'); log = open('{tmp_path}/var/app.log', 'a')\n"
        f"os.link('{tmp_path}/var/app.log', '{tmp_path}/var/other')\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    child = children(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    process = procs.read(child.pid)
    assert process is not None
    (log,) = drills._open_logs(process)
    (tmp_path / "var").rename(tmp_path / "old")
    (tmp_path / "var").symlink_to(victim)
    assert not drills._rename(log)
    assert drills._identity(log) is None
    assert sorted(p.name for p in victim.iterdir()) == ["app.log"]
    (result,) = drills.run(subject(resolve(TargetSpec(pid=child.pid))), drills.parse("rotate"), Phases(), settle=0.2)
    # The kernel now says `old/app.log`, which is the real file.
    assert result.done
    assert [p.name for p in victim.iterdir()] == ["app.log"]
    assert list((tmp_path / "old").glob("app.log.drill-*"))


def test_signal_is_not_sent_to_a_process_that_left_the_target(
    cgroup: str, children: Callable[..., subprocess.Popen[bytes]]
) -> None:
    tree = telling()
    child = children("sleep", "60")
    (tree.directory(cgroup) / "cgroup.procs").write_text(str(child.pid))
    target = resolve(TargetSpec(cgroup=cgroup))
    workload = subject(target)
    process = workload.main()
    assert process is not None
    assert process.pid == child.pid
    (tree.directory("/") / "cgroup.procs").write_text(str(child.pid))
    assert not drills._send(workload, process, signal.SIGTERM)
    assert child.poll() is None
