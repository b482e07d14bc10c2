"""Targets and their identity, against the real kernel's cgroups and processes."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from workloads import telling, until

from collectors import procs
from collectors.target import TargetError, TargetSpec, resolve
from collectors.units import UnitNamer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups and containers: needs root")


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
