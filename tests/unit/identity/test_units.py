"""Which unit a cgroup belongs to, whoever made it, whenever it went."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collectors import units
from collectors.cgroups import CgroupRef
from collectors.identity import WorkloadIdentity
from collectors.runtimes import Container, Listing
from collectors.target import Target
from collectors.units import UnitNamer
from models.behaviour import UNITS

from .conftest import Tree

A, B, C = (letter * 64 for letter in "abc")
UID = "1e597579-417e-482f-bf65-5fe170c3aebd"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOST = Target("host", "unified", WorkloadIdentity("node-a", "Host"), [CgroupRef("/", 1)])


class Runtimes:
    """What the runtimes of the pretended host answer."""

    def __init__(self) -> None:
        self.running: list[Container] = []
        self.ended: list[Container] = []
        self.asked = 0

    def list(self, tree: str) -> list[Listing]:
        self.asked += 1
        return [Listing("docker", True, list(self.running))]

    def remembered(self, container_id: str) -> Container | None:
        return next((c for c in self.ended if c.id == container_id), None)


@pytest.fixture
def runtimes(monkeypatch: pytest.MonkeyPatch) -> Runtimes:
    pretended = Runtimes()
    monkeypatch.setattr(units, "list_containers", pretended.list)
    monkeypatch.setattr(units, "remembered", pretended.remembered)
    monkeypatch.setattr(units, "_PAUSE", 0.0)
    return pretended


def container(container_id: str, cgroup: str | None, name: str = "web", **more: object) -> Container:
    return replace(Container(container_id, "docker", name, 1, cgroup, "nginx:1", "sha256:1", {"app": name}), **more)  # type: ignore[arg-type]


def namer(tree: Tree, target: Target = HOST, run: str = "r1", boot: str = "boot") -> UnitNamer:
    return UnitNamer(target, run, boot=boot, cgroups=tree.cgroups)


def test_container_and_what_it_makes_below_itself_are_one_unit(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.running = [container(A, f"/docker/{A}", started=NOW - timedelta(hours=1))]
    own, below = tree.make(f"/docker/{A}"), tree.make(f"/docker/{A}/init.scope")
    n = namer(tree)
    inner = n.unit_for(below, f"/docker/{A}/init.scope", 0, NOW)
    outer = n.unit_for(own, f"/docker/{A}", 0, NOW)
    assert inner is outer
    assert (outer.identity.workload, outer.identity.image, outer.identity.container_id) == ("web", "nginx:1", A)
    assert (outer.cgroup, outer.cgroup_id, outer.started) == (f"/docker/{A}", own, NOW - timedelta(hours=1))
    assert outer.unit.startswith("a" * 12 + "-")
    assert outer.notes == []


def test_unit_of_one_start_is_the_same_after_the_recorder_was_restarted(tree: Tree, runtimes: Runtimes) -> None:
    own = tree.make(f"/docker/{A}")
    first = namer(tree).unit_for(own, f"/docker/{A}", 0, NOW)
    later = namer(tree, run="r2").unit_for(own, f"/docker/{A}", 0, NOW + timedelta(hours=1))
    rebooted = namer(tree, boot="other").unit_for(own, f"/docker/{A}", 0, NOW)
    assert first.unit == later.unit
    assert first.unit != rebooted.unit


def test_restart_of_a_container_is_a_new_unit(tree: Tree, runtimes: Runtimes) -> None:
    path = f"/docker/{A}"
    runtimes.running = [container(A, path, started=NOW)]
    n = namer(tree)
    first = n.unit_for(tree.make(path), path, 0, NOW)
    tree.remove(path)
    tree.make("/keeps the inode number from being used again")
    runtimes.running = [container(A, path, started=NOW + timedelta(minutes=1))]
    second = n.unit_for(tree.make(path), path, 0, NOW + timedelta(minutes=1))
    assert first.unit != second.unit
    assert second.started == NOW + timedelta(minutes=1)
    n.refresh()
    assert first.ended is not None
    assert second.ended is None


def test_container_that_came_and_went_unseen(tree: Tree, runtimes: Runtimes) -> None:
    n = namer(tree)
    unit = n.unit_for(4711, f"/docker/{A}", 999999, NOW)
    assert (unit.identity.container_id, unit.identity.workload, unit.identity.image) == (A, "a" * 12, None)
    assert unit.cgroup_id == 4711
    n.refresh()
    assert unit.notes == [units.UNKNOWN]
    runtimes.ended = [container(A, None, started=NOW)]
    n.refresh()
    assert (unit.identity.workload, unit.identity.image, unit.notes) == ("web", "nginx:1", [])


def test_ended_container_is_not_looked_up_for_a_path_that_a_user_could_make(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.ended = [container(A, None)]
    n = namer(tree)
    for path in (
        f"/user.slice/user-1000.slice/user@1000.service/docker-{A}.scope",
        f"/system.slice/evil.service/docker-{A}.scope",
        f"/docker/{B}/kubepods/pod{UID}/{A}",
    ):
        unit = n.unit_for(hash(path), path, 0, NOW)
        n.refresh()
        assert unit.identity.image is None
        assert "web" not in unit.identity.workload


def test_name_is_filled_in_once_the_runtime_knows_the_container(tree: Tree, runtimes: Runtimes) -> None:
    path = f"/docker/{A}"
    own = tree.make(path)
    n = namer(tree)
    unit = n.unit_for(own, path, 0, NOW)
    assert unit.identity.workload == "a" * 12
    runtimes.running = [container(A, path, started=NOW)]
    n.refresh()
    assert (unit.identity.workload, unit.started, unit.notes) == ("web", NOW, [])


def test_workload_that_imitates_another_container_inside_its_own(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.running = [container(A, f"/docker/{A}", "evil"), container(B, f"/docker/{B}", "victim")]
    n = namer(tree)
    for path in (
        f"/docker/{A}/docker-{B}.scope",
        f"/docker/{A}/kubepods/pod{UID}/{B}",
        f"/docker/{A}/docker/{B}/x",
    ):
        unit = n.unit_for(tree.make(path), path, 0, NOW)
        assert unit.identity.workload == "evil"
        assert unit.cgroup == f"/docker/{A}"
    victim = n.unit_for(tree.make(f"/docker/{B}"), f"/docker/{B}", 0, NOW)
    assert victim.identity.workload == "victim"
    assert len(n.units()) == 2


def test_user_who_imitates_a_container_in_his_session(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.running = [container(B, f"/docker/{B}", "victim")]
    path = f"/user.slice/user-1000.slice/session-2.scope/docker-{B}.scope"
    unit = namer(tree).unit_for(tree.make(path), path, 0, NOW)
    # The first look finds a path; the runtime says where the container really is.
    assert (unit.identity.workload, unit.identity.container_id) == ("session-2.scope", None)
    assert any("imitates" in note for note in unit.notes)


def test_what_a_users_runtime_says_does_not_displace_root(tree: Tree, runtimes: Runtimes) -> None:
    lie = container(B, f"/user.slice/user@1000.service/libpod-{B}.scope", "lie", owner=1000)
    runtimes.running = [container(B, f"/docker/{B}", "truth"), lie]
    n = namer(tree)
    assert n.unit_for(tree.make(f"/docker/{B}"), f"/docker/{B}", 0, NOW).identity.workload == "truth"
    # Nor when root's container was too short-lived to be listed.
    runtimes.running = [lie]
    n = namer(tree)
    short = n.unit_for(31337, f"/docker/{B}", 0, NOW)
    assert (short.identity.workload, short.identity.container_id) == ("b" * 12, B)


def test_node_in_a_container_gives_its_pods_units_of_their_own(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.running = [container(A, f"/docker/{A}", "kind-worker")]
    path = f"/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{C}"
    n = namer(tree)
    pod = n.unit_for(tree.make(path), path, 0, NOW)
    kubelet = n.unit_for(tree.make(f"/docker/{A}/kubelet"), f"/docker/{A}/kubelet", 0, NOW)
    assert pod.unit != kubelet.unit
    assert pod.unit.startswith(f"{A[:12]}.{C[:12]}-")
    assert (pod.identity.workload, pod.identity.pod_uid) == (f"kind-worker/{C[:12]}", UID)
    assert kubelet.identity.workload == "kind-worker"
    assert any("inside container" in note for note in pod.notes)


def test_services_and_plain_cgroups_of_a_host(tree: Tree, runtimes: Runtimes) -> None:
    n = namer(tree)

    def who(path: str) -> tuple[str, str | None, str]:
        unit = n.unit_for(tree.make(path), path, 0, NOW)
        return unit.identity.workload, unit.identity.workload_kind, unit.cgroup

    assert who("/system.slice/nginx.service") == ("nginx.service", "Service", "/system.slice/nginx.service")
    assert who("/system.slice/nginx.service/w") == ("nginx.service", "Service", "/system.slice/nginx.service")
    assert who("/batch/job") == ("job", "Cgroup", "/batch/job")
    assert who("/") == ("node-a", "Host", "/")
    assert who(f"/machine.slice/libpod-conmon-{A}.scope")[1] == "Service"
    assert len({u.unit for u in n.units()}) == 4


def test_plain_cgroup_target_holds_its_descendants(tree: Tree, runtimes: Runtimes) -> None:
    ref = CgroupRef("/batch", tree.make("/batch"))
    n = namer(tree, Target("cgroup", "unified", WorkloadIdentity("/batch", "Cgroup"), [ref]))
    unit = n.unit_for(tree.make("/batch/x/y"), "/batch/x/y", 0, NOW)
    assert (unit.cgroup, unit.identity.workload) == ("/batch", "/batch")


def test_command_is_one_unit_wherever_its_processes_go(tree: Tree, runtimes: Runtimes) -> None:
    target = Target("command", "unified", WorkloadIdentity("../we ird\x1b[31m/" + "x" * 300, "Command"))
    n = namer(tree, target)
    one = n.unit_for(1, "/a", 0, NOW)
    assert n.unit_for(2, f"/docker/{A}", 0, NOW) is one
    assert namer(tree, target, "r2").unit_for(1, "/a", 0, NOW).unit != one.unit
    assert re.fullmatch(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{1,60}", one.unit)


def test_name_that_a_person_gave_stays(tree: Tree, runtimes: Runtimes) -> None:
    path = f"/docker/{A}"
    known = container(A, path)
    target = Target("container", "unified", WorkloadIdentity("shop", "Container"), [CgroupRef(path, tree.make(path))])
    n = namer(tree, replace(target, containers=[known]))
    assert n.unit_for(tree.make(path), path, 0, NOW).identity.workload == "shop"


def test_short_lived_container_of_a_known_pod(tree: Tree, runtimes: Runtimes) -> None:
    pod = f"/kubepods/burstable/pod{UID}"
    labels = {"statefulset.kubernetes.io/pod-name": "web-0"}
    kube = {"namespace": "shop", "pod_name": "web-0", "pod_uid": UID}
    known = container(A, f"{pod}/{A}", "app", labels=labels, **kube)
    runtimes.running = [known]
    unit = namer(tree).unit_for(77, f"{pod}/{B}", 0, NOW)
    assert (unit.identity.namespace, unit.identity.workload, unit.identity.container) == ("shop", "web", None)
    assert unit.notes == [units.UNKNOWN]


def test_runtimes_are_not_asked_again_for_what_they_answered(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.running = [container(A, f"/docker/{A}")]
    n = namer(tree)
    for child in range(50):
        n.unit_for(tree.make(f"/docker/{A}/{child}"), f"/docker/{A}/{child}", 0, NOW)
        n.unit_for(tree.make(f"/plain/{child}"), f"/plain/{child}", 0, NOW)
    assert runtimes.asked == 1


def test_runtimes_are_not_asked_for_ever_about_a_container_that_nobody_knows(tree: Tree, runtimes: Runtimes) -> None:
    n = namer(tree)
    unit = n.unit_for(4711, f"/docker/{A}", 0, NOW)
    for _ in range(5):
        n.refresh()
    assert unit.ended is not None
    asked = runtimes.asked
    n.refresh()
    assert runtimes.asked == asked
    assert unit.notes == [units.UNKNOWN]


def test_table(tree: Tree, runtimes: Runtimes) -> None:
    runtimes.running = [container(A, f"/docker/{A}", labels={"k\ud800": "v\udcff"})]
    n = namer(tree)
    first = n.unit_for(tree.make(f"/docker/{A}"), f"/docker/{A}", 0, NOW)
    odd = os.fsdecode(b"/odd\xff\n")
    n.unit_for(5, odd, 0, NOW)
    first.drills.append("reload")
    table = n.table()
    assert table.schema == UNITS
    row = table.to_pylist()[0]
    assert (row["workload"], row["container_id"], row["drills"]) == ("web", A, ["reload"])
    assert dict(row["labels"]) == {"k\\ud800": "v\\xff"}
    assert table.to_pylist()[1]["cgroup"] == "/odd\\xff\n"
