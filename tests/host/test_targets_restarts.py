"""A container that is restarted while it is recorded: its next start is another unit, seen from its beginning."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from workloads import Podman, telling, until

from collectors.cgroups import CgroupRef
from collectors.live.restarts import Restarts
from collectors.target import TargetSpec, resolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups and containers: needs root")


def test_a_cgroup_made_anew_is_told_even_with_its_parent() -> None:
    tree = telling()
    parent = tree.directory("/") / f"discover-test-anew-{os.getpid()}"
    inner = parent / "bo x"
    inner.mkdir(parents=True)
    path = f"/{parent.name}/{inner.name}"
    first = CgroupRef(path, tree.id_of(path))
    told: list[tuple[CgroupRef, int]] = []
    places: list[tuple[int, bytes]] = []
    came = threading.Event()

    def took(ref: CgroupRef, before: int) -> None:
        told.append((ref, before))
        came.set()

    restarts = Restarts(tree, [first], lambda above, name: places.append((above, name)), took)
    try:
        assert restarts.refused == ""
        restarts.start()
        (parent / "another").mkdir()
        (parent / "another").rmdir()
        before = first.id
        for _ in range(2):
            inner.rmdir()
            parent.rmdir()
            came.clear()
            inner.mkdir(parents=True)
            assert came.wait(10)
            assert told[-1] == (CgroupRef(path, inner.stat().st_ino), before)
            assert places[-1] == (parent.stat().st_ino, b"bo x")
            before = inner.stat().st_ino
        assert len(told) == 2
    finally:
        restarts.close()
        inner.rmdir()
        parent.rmdir()


def test_the_next_start_of_a_container_is_recorded(
    boxes: Podman, children: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    boxes.run("web", "/bin/sh", "-c", "/bin/busybox cat /etc/passwd; exec /bin/busybox sleep 1000")
    out = tmp_path / "web"
    command = [
        str(Path(sys.executable).with_name("discover")),
        "record",
        "--container",
        "podman:web",
        "--for",
        "120s",
        "--json",
    ]
    with (tmp_path / "log").open("wb") as log:
        recorder = children(*command, "-o", str(out), stdout=log, stderr=log)
        until(lambda: b"podman:web" in (tmp_path / "log").read_bytes(), 60)
        for _ in range(2):
            boxes("restart", "-t", "0", "web")
            (pid,) = resolve(TargetSpec(container="podman:web")).pids
            until(lambda pid=pid: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes())
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0, (tmp_path / "log").read_text()
    told = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert told["ended_by"] == "Ctrl-C"
    rows = duckdb.sql(f"SELECT unit, phase, path FROM '{out}/behaviours/*/*.parquet' WHERE op = 'exec'").fetchall()
    started = {unit for unit, phase, path in rows if path == "/bin/busybox" and phase == "start-up"}
    assert len(started) == 2, rows
    units = duckdb.sql(f"SELECT workload, notes FROM '{out}/units.parquet'").fetchall()
    assert len(units) == 3
    assert {(name, tuple(notes)) for name, notes in units} == {("web", ())}
