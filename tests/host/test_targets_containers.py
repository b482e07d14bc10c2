"""Targets and units that are real podman containers."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from workloads import Podman, telling, until

from collectors import procs
from collectors.cgroups import detect
from collectors.runtimes import list_containers
from collectors.target import TargetError, TargetSpec, resolve
from collectors.units import UnitNamer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups and containers: needs root")


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
