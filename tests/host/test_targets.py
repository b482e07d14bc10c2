"""Targets, identity and drills against the real kernel, real podman containers and a real nginx."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors import drills, procs
from collectors.cgroups import Hierarchy, detect
from collectors.runtimes import list_containers
from collectors.target import Target, TargetError, TargetSpec, resolve
from collectors.units import UnitNamer
from models.behaviour import Phase

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups and containers: needs root")


def telling() -> Hierarchy:
    return detect().telling(p.cgroups for p in procs.snapshot().values() if not p.kernel_thread)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def children() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **options: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()


# The kernel's cgroups and processes


@pytest.fixture
def cgroup() -> Iterator[str]:
    """A cgroup of the telling tree with one below it."""
    tree, path = telling(), f"/discover-test-{os.getpid()}"
    inner = tree.directory(f"{path}/in ner")
    inner.mkdir(parents=True)
    yield path
    for directory in (inner, inner.parent):
        for pid in (directory / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        until(lambda d=directory: not (d / "cgroup.procs").read_text())
        directory.rmdir()


def kernfs_id(directory: Path) -> int:
    """The id as the kernel puts it into file handles of kernfs (type 0xfe: eight bytes)."""
    buffer = ctypes.create_string_buffer((128).to_bytes(4, sys.byteorder) + bytes(132), 136)
    mount = ctypes.c_int()
    assert ctypes.CDLL(None).name_to_handle_at(-100, os.fsencode(directory), buffer, ctypes.byref(mount), 0) == 0
    assert int.from_bytes(buffer.raw[4:8], sys.byteorder) == 0xFE
    return int.from_bytes(buffer.raw[8:16], sys.byteorder)


def test_inode_of_a_cgroup_is_its_kernfs_id(cgroup: str) -> None:
    tree = telling()
    for ref in tree.walk(cgroup):
        assert ref.id == kernfs_id(tree.directory(ref.path))
    assert [ref.path for ref in tree.walk(cgroup)] == [cgroup, f"{cgroup}/in ner"]
    assert tree.find(tree.id_of(f"{cgroup}/in ner")) == f"{cgroup}/in ner"


def test_cgroup_target(cgroup: str, children: Callable[..., subprocess.Popen[bytes]]) -> None:
    tree = telling()
    child = children("sleep", "60")
    (tree.directory(f"{cgroup}/in ner") / "cgroup.procs").write_text(str(child.pid))
    process = procs.read(child.pid)
    assert process is not None
    assert process.cgroups[tree.name] == f"{cgroup}/in ner"
    for text in (cgroup, str(tree.directory(cgroup)), cgroup.strip("/")):
        target = resolve(TargetSpec(cgroup=text))
        assert (target.kind, target.hierarchy, target.pids, target.root_pid) == (
            "cgroup",
            tree.name,
            [child.pid],
            child.pid,
        )
        assert [(r.path, r.id) for r in target.cgroups] == [(cgroup, tree.id_of(cgroup))]
    namer = UnitNamer(target, "r")
    unit = namer.unit_for(tree.id_of(f"{cgroup}/in ner"), f"{cgroup}/in ner", child.pid, datetime.now(UTC))
    assert (unit.cgroup, unit.ended) == (cgroup, None)
    with pytest.raises(TargetError) as error:
        resolve(TargetSpec(cgroup=cgroup + "x"))
    assert f"did you mean {cgroup}" in error.value.hint


@pytest.mark.parametrize("text", ["/", "//", "/sys/fs/cgroup/..//fs/cgroup/{tree}"])
def test_root_cgroup_is_no_target(text: str) -> None:
    mount = telling().mount
    with pytest.raises(TargetError, match="root cgroup") as error:
        resolve(TargetSpec(cgroup=mount if "tree" in text else text))
    assert "--host" in error.value.hint


def test_pid_target_with_descendants(children: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = children("sh", "-c", "sleep 60 & (sleep 61 & wait) & wait")
    until(lambda: len(procs.descendants(child.pid)) == 4)
    target = resolve(TargetSpec(pid=child.pid))
    assert target.pids[0] == target.root_pid == child.pid
    assert len(target.pids) == 4
    assert target.cgroups == []
    assert target.identity.workload in {"sh", "dash", "bash"}
    for pid in reversed(target.pids):
        os.kill(pid, signal.SIGKILL)


def test_process_that_has_ended(children: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = children("true")
    until(lambda: (p := procs.read(child.pid)) is not None and p.state == "Z")
    with pytest.raises(TargetError, match="already ended"):
        resolve(TargetSpec(pid=child.pid))
    start = procs.start_of(child.pid)
    child.wait()
    with pytest.raises(TargetError, match="there is no process"):
        resolve(TargetSpec(pid=child.pid))
    with pytest.raises(ProcessLookupError):
        procs.Handle(child.pid, start)


def test_kernel_threads_and_oneself_are_no_targets() -> None:
    with pytest.raises(TargetError, match="record itself"):
        resolve(TargetSpec(pid=os.getpid()))
    with pytest.raises(TargetError, match="kernel thread"):
        resolve(TargetSpec(pid=next(p.pid for p in procs.snapshot().values() if p.kernel_thread)))


def test_handle_is_not_taken_in_by_another_start(children: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = children("sleep", "60")
    start = procs.start_of(child.pid)
    assert start is not None
    with pytest.raises(ProcessLookupError):
        procs.Handle(child.pid, start + 1)
    with procs.Handle(child.pid, start) as handle:
        assert handle.alive
        handle.send(signal.SIGKILL)
        assert handle.wait(10)
        child.wait()
        with pytest.raises(ProcessLookupError):
            handle.send(signal.SIGTERM)


def test_odd_process(tmp_path: Path, children: Callable[..., subprocess.Popen[bytes]]) -> None:
    program = tmp_path / "a) R 1\n((\x1b[31m"
    shutil.copy(shutil.which("sleep") or "", program)
    child = children(str(program), "60")
    until(lambda: (p := procs.read(child.pid)) is not None and p.exe == str(program))
    process = procs.read(child.pid)
    assert process is not None
    assert (process.comm, process.ppid, process.uid) == ("a) R 1\n((\x1b[31m"[:15], os.getpid(), 0)
    assert abs((process.started - datetime.now(UTC)).total_seconds()) < 20


def test_unit_without_systemd() -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs here")
    with pytest.raises(TargetError, match="no systemd runs here"):
        resolve(TargetSpec(unit="nginx"))
    tree, path = telling(), "/discover-test.slice/discover-test.service"
    tree.directory(path).mkdir(parents=True)
    try:
        target = resolve(TargetSpec(unit="discover-test"))
        assert [ref.path for ref in target.cgroups] == [path]
        with pytest.raises(TargetError) as error:
            resolve(TargetSpec(unit="discover-tset"))
        assert "did you mean discover-test.service?" in error.value.hint
    finally:
        tree.directory(path).rmdir()
        tree.directory(path).parent.rmdir()


# Containers


class Podman:
    """Podman with storage of its own, and images made of a static busybox."""

    def __init__(self, folder: Path, oci_runtime: str) -> None:
        self.folder = folder
        conf = folder / "storage.conf"
        conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n')
        self.environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(conf)}
        self.base = ["podman", "--cgroup-manager=cgroupfs", f"--runtime={oci_runtime}", f"--tmpdir={folder}/tmp"]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.base, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def run(self, name: str, *command: str, options: Sequence[str] = ()) -> str:
        # Limits no higher than ours: raising them takes a capability that a container host's root may lack.
        limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
        return self("run", "-d", *limits, "--network=none", f"--name={name}", *options, "localhost/box:1", *command)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    busybox = shutil.which("busybox")
    if not busybox or not shutil.which("podman"):
        pytest.skip("needs podman and busybox-static")
    errors = []
    with tempfile.TemporaryDirectory(prefix="discover-podman-", dir="/tmp") as text:
        folder = Path(text)
        (folder / "root/bin").mkdir(parents=True)
        shutil.copy(busybox, folder / "root/bin/busybox")
        for name in ("sh", "sleep", "true"):
            (folder / "root/bin" / name).symlink_to("busybox")
        subprocess.run(["tar", "-C", str(folder / "root"), "-cf", str(folder / "root.tar"), "."], check=True)
        # crun refuses hybrid hosts; runc takes them.
        for oci_runtime in filter(None, (os.environ.get("DISCOVER_RUNC"), shutil.which("crun"), shutil.which("runc"))):
            made = Podman(folder, oci_runtime)
            try:
                made("import", str(folder / "root.tar"), "localhost/box:1")
                made.run("probe", "/bin/sleep", "60")
            except RuntimeError as error:
                errors.append(f"{oci_runtime}: {error}")
                made("rm", "-af", "-t", "0")
                continue
            made("rm", "-af", "-t", "0")
            yield made
            made("rm", "-af", "-t", "0")
            return
    pytest.skip("no container can be started here: " + ("; ".join(errors) or "neither crun nor runc is installed"))


@pytest.fixture
def boxes(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[Podman]:
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", podman.environment["CONTAINERS_STORAGE_CONF"])
    yield podman
    podman("rm", "-af", "-t", "0")


def test_container_by_name_and_id(boxes: Podman) -> None:
    box = boxes.run("web", "/bin/sh", "-c", "sleep 100 & sleep 101", options=["--label=app=shop"])
    pid = int(boxes("inspect", "-f", "{{.State.Pid}}", "web"))
    until(lambda: len(resolve(TargetSpec(container="web")).pids) == 2)
    for text in ("web", "podman:web", box, box[:12], f"podman:{box[:6]}"):
        target = resolve(TargetSpec(container=text))
        who = target.identity
        assert (target.kind, target.root_pid) == ("container", pid)
        assert (who.workload, who.container, who.container_id, who.image) == ("web", "web", box, "localhost/box:1")
        assert who.labels == {"app": "shop"}
        assert who.image_digest == boxes("inspect", "-f", "{{.ImageDigest}}", "web")
        (ref,) = target.cgroups
        assert box in ref.path
        assert ref.id == telling().directory(ref.path).stat().st_ino
        assert pid in target.pids
    assert target.describe() == "container podman:web, 2 processes"


def test_pid_in_a_container_is_told_by_its_container(boxes: Podman) -> None:
    boxes.run("web", "/bin/sleep", "100")
    pid = int(boxes("inspect", "-f", "{{.State.Pid}}", "web"))
    target = resolve(TargetSpec(pid=pid))
    assert (target.kind, target.identity.container, target.pids) == ("pid", "web", [pid])


def test_names_that_are_wrong(boxes: Podman) -> None:
    boxes.run("frontend", "/bin/sleep", "100")
    with pytest.raises(TargetError, match="no running container fronted") as error:
        resolve(TargetSpec(container="fronted"))
    assert error.value.hint == "did you mean frontend?"
    with pytest.raises(TargetError, match="no pod default/frontend runs on this node"):
        resolve(TargetSpec(pod="frontend", namespace="default"))


def test_units_of_containers_their_children_and_restarts(boxes: Podman) -> None:
    box = boxes.run("web", "/bin/sleep", "100", options=["--label=app=shop"])
    target = resolve(TargetSpec(container="web"))
    (ref,) = target.cgroups
    tree = detect().hierarchies[target.hierarchy]
    inner = tree.directory(f"{ref.path}/made-by-workload")
    inner.mkdir()
    namer = UnitNamer(target, "r")
    now = datetime.now(UTC)
    unit = namer.unit_for(inner.stat().st_ino, f"{ref.path}/made-by-workload", 0, now)
    assert namer.unit_for(ref.id, ref.path, 0, now) is unit
    assert (unit.identity.workload, unit.identity.container_id, unit.notes) == ("web", box, [])
    whole = UnitNamer(replace(resolve(TargetSpec(host=True)), hierarchy=tree.name), "r")
    met = whole.unit_for(ref.id, ref.path, 0, now)
    whole.refresh()
    assert (met.unit, met.identity.workload, met.identity.labels) == (unit.unit, "web", {"app": "shop"})
    inner.rmdir()
    boxes("restart", "-t", "0", "web")
    again = resolve(TargetSpec(container="web"))
    second = namer.unit_for(again.cgroups[0].id, again.cgroups[0].path, 0, now)
    assert second.unit != unit.unit
    assert second.identity.container_id == box
    namer.refresh()
    assert (unit.ended is None, second.ended) == (False, None)


def test_container_that_ends_at_once(boxes: Podman) -> None:
    tree = telling()
    host = replace(resolve(TargetSpec(host=True)), hierarchy=tree.name)
    namer = UnitNamer(host, "r")
    box = boxes.run("brief", "/bin/true")
    until(lambda: boxes("inspect", "-f", "{{.State.Status}}", "brief") == "exited")
    # As the kernel reported it: an id and a path of a cgroup that is gone.
    unit = namer.unit_for(1 << 40, f"/libpod_parent/libpod-{box}", 0, datetime.now(UTC))
    assert unit.identity.container_id == box
    namer.refresh()
    assert (unit.identity.workload, unit.identity.image, unit.notes) == ("brief", "localhost/box:1", [])
    assert unit.ended is not None
    boxes("rm", "brief")
    lost = UnitNamer(host, "r").unit_for(1 << 40, f"/libpod_parent/libpod-{box}", 0, datetime.now(UTC))
    assert (lost.unit, lost.identity.image) == (unit.unit, None)
    assert len(lost.notes) == 1


def test_conmon_of_a_stranger_is_not_believed(boxes: Podman, children: Callable[..., subprocess.Popen[bytes]]) -> None:
    box = boxes.run("web", "/bin/sleep", "100")
    pid = boxes("inspect", "-f", "{{.State.Pid}}", "web")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        lie = Path(folder)
        (lie / "config.json").write_text('{"annotations": {"io.container.manager": "libpod"}}')
        (lie / "pidfile").write_text(pid)
        for path in (lie, lie / "config.json", lie / "pidfile"):
            path.chmod(0o755)
            os.chown(path, 65534, 65534)
        (lie / "main.py").write_text("import ctypes, time\nctypes.CDLL(None).prctl(15, b'conmon')\ntime.sleep(60)\n")
        options = ["-c", box, "-b", str(lie), "-p", str(lie / "pidfile"), "-n", "lie"]
        python = shutil.which("python3", path="/usr/bin") or sys.executable
        child = children(python, str(lie / "main.py"), *options, user=65534, group=65534, extra_groups=[])
        until(lambda: (p := procs.read(child.pid)) is not None and p.comm == "conmon")
        (listing,) = list_containers(telling().name, "podman")
        assert [c.name for c in listing.containers] == ["web"]
        child.kill()
        # Root's conmon with the same arguments would be believed: it is the user that matters.
        trusted = children(python, str(lie / "main.py"), *options)
        until(lambda: (p := procs.read(trusted.pid)) is not None and p.comm == "conmon")
        (listing,) = list_containers(telling().name, "podman")
        assert sorted(c.name for c in listing.containers) == ["lie", "web"]


# Drills


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
