"""What a person gets for a target that is there, is not, or could be several; runtimes are pretended."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import procs, systemd, target
from collectors.cgroups import Cgroups, Hierarchy
from collectors.runtimes import Container, Listing
from collectors.systemd import Unit
from collectors.target import TargetError, TargetSpec, resolve

from .conftest import Tree

A, B = "a" * 64, "ab" + "b" * 62
POD = "/kubepods/burstable/pod1"


class Host:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.listings: list[Listing] = []
        self.unit: Unit | None = None

    def add(self, runtime: str, *containers: Container, found: bool = True, trouble: str = "") -> None:
        for container in containers:
            if container.cgroup:
                self.tree.make(container.cgroup)
        self.listings.append(Listing(runtime, found, [replace(c, runtime=runtime) for c in containers], trouble))


@pytest.fixture
def host(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Host:
    pretended = Host(tree)
    monkeypatch.setattr(target, "detect", lambda: tree.cgroups)
    monkeypatch.setattr(
        target,
        "list_containers",
        lambda name, only=None: [li for li in pretended.listings if only in {None, li.runtime}],
    )
    monkeypatch.setattr(systemd, "show", lambda name: pretended.unit)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return pretended


def box(container_id: str, name: str, cgroup: str | None = None, **more: object) -> Container:
    path = f"/docker/{container_id}" if cgroup is None else cgroup
    return replace(Container(container_id, "docker", name, 1, path or None), **more)  # type: ignore[arg-type]


def pod(container_id: str, name: str, namespace: str = "shop", **more: object) -> Container:
    kube = {"namespace": namespace, "pod_name": "web-0", "pod_uid": f"uid-{namespace}", "image": f"{name}:1"}
    return box(container_id, name, f"{POD}/{container_id}", **kube, **more)


def refused(spec: TargetSpec) -> tuple[str, str]:
    with pytest.raises(TargetError) as error:
        resolve(spec)
    return str(error.value), error.value.hint


def test_exactly_one_target(host: Host) -> None:
    assert "nothing was named" in refused(TargetSpec())[0]
    assert "exactly one" in refused(TargetSpec(host=True, pid=1))[0]
    assert "exactly one" in refused(TargetSpec(command=("x",), container="y"))[0]


def test_command_and_host(host: Host) -> None:
    command = resolve(TargetSpec(command=("/usr/sbin/nginx", "-g", "daemon off;"), workload="shop"))
    assert (command.kind, command.identity.workload, command.cgroups, command.root_pid) == ("command", "shop", [], None)
    assert command.describe() == "command /usr/sbin/nginx"
    whole = resolve(TargetSpec(host=True))
    assert [ref.path for ref in whole.cgroups] == ["/"]


def test_container_of_one_of_two_runtimes(host: Host) -> None:
    host.add("docker", box(A, "web"))
    host.add("podman", box(B, "web", f"/libpod_parent/libpod-{B}"))
    message, hint = refused(TargetSpec(container="web"))
    assert message == f"web may be any of: docker:web ({A[:12]}), podman:web ({B[:12]})"
    assert "podman:NAME" in hint
    assert resolve(TargetSpec(container="podman:web")).identity.container_id == B
    assert resolve(TargetSpec(container=B[:3])).identity.container_id == B


def test_beginning_of_two_ids(host: Host) -> None:
    host.add("docker", box("ab" + "0" * 62, "one"), box("ab" + "1" * 62, "two"))
    assert (
        "may be any of: docker:one (ab0000000000), docker:two (ab1111111111)" in refused(TargetSpec(container="ab"))[0]
    )
    assert resolve(TargetSpec(container="ab1")).identity.workload == "two"
    # One letter is a slip of the finger, not the beginning of an id.
    assert "no running container" in refused(TargetSpec(container="a"))[0]


def test_name_goes_before_the_beginning_of_an_id(host: Host) -> None:
    host.add("docker", box(A, "web"), box(B, "aa"))
    assert resolve(TargetSpec(container="aa")).identity.container_id == B


def test_no_such_container(host: Host) -> None:
    assert refused(TargetSpec(container="web"))[0] == (
        "no container runtime (podman, docker, containerd, crio) runs on this host, so there is no container web"
    )
    host.add("docker", box(A, "frontend"), box(B, "pause", sandbox=True))
    assert refused(TargetSpec(container="frontent")) == (
        "no running container frontent (docker)",
        "did you mean frontend?",
    )
    assert refused(TargetSpec(container="zzz"))[1] == "running: frontend"
    assert "no running container pause" in refused(TargetSpec(container="pause"))[0]
    assert refused(TargetSpec(container="crio:web"))[0] == "no crio runs on this host, so there is no container web"


def test_runtime_that_does_not_answer(host: Host) -> None:
    host.add("docker", trouble="/run/docker.sock may not be read by this user")
    assert refused(TargetSpec(container="web"))[1] == "/run/docker.sock may not be read by this user"


def test_container_without_a_cgroup_of_its_own(host: Host) -> None:
    host.add("docker", box(A, "web", ""))
    message, hint = refused(TargetSpec(container="web"))
    assert "has no cgroup of its own" in message
    assert "--pid 1" in hint


def test_container_that_only_another_tree_tells_apart(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory = Hierarchy("memory", 1, ("memory",), str(tmp_path / "memory"))
    memory.directory(f"/docker/{A}").mkdir(parents=True)
    both = Cgroups({**host.tree.cgroups.hierarchies, "memory": memory})
    real = procs.read(os.getpid())
    assert real is not None
    process = replace(real, cgroups={"unified": "/", "memory": f"/docker/{A}"})
    monkeypatch.setattr(target, "detect", lambda: both)
    monkeypatch.setattr(procs, "snapshot", dict)
    monkeypatch.setattr(procs, "read", lambda pid: process)
    monkeypatch.setattr(
        target,
        "list_containers",
        lambda name, only=None: (
            [Listing("docker", True, [replace(box(A, "web"), cgroup=process.cgroups[name])])]
            if name == "memory"
            else [Listing("docker", True, [box(A, "web", "")])]
        ),
    )
    found = resolve(TargetSpec(container="web"))
    assert (found.hierarchy, [r.path for r in found.cgroups]) == ("memory", [f"/docker/{A}"])


def test_container_that_is_gone_by_now(host: Host) -> None:
    host.add("docker", box(A, "web"))
    host.tree.remove(f"/docker/{A}")
    assert f"no cgroup /docker/{A}" in refused(TargetSpec(container="web"))[0]


def test_pod(host: Host) -> None:
    host.add("containerd", pod(A, "nginx"), pod(B, "sidecar"), pod("c" * 64, "POD", sandbox=True))
    for text in ("web-0", "pod/web-0"):
        whole = resolve(TargetSpec(pod=text))
        assert (whole.kind, len(whole.cgroups), whole.identity.image) == ("pod", 2, None)
        assert (whole.identity.namespace, whole.identity.workload_kind) == ("shop", "StatefulSet")
        assert whole.describe() == "pod shop/web-0 (2 containers)"
    one = resolve(TargetSpec(pod="web-0", namespace="shop", pod_container="nginx"))
    assert ([r.path for r in one.cgroups], one.identity.image) == ([f"{POD}/{A}"], "nginx:1")
    assert refused(TargetSpec(pod="web-0", pod_container="ngins"))[1] == "did you mean nginx?"
    assert refused(TargetSpec(pod="web-0", pod_container="x"))[1] == "it has: nginx, sidecar"
    assert refused(TargetSpec(pod="web-1"))[1] == "did you mean web-0?"
    assert refused(TargetSpec(pod="web-0", namespace="shopp"))[1] == "did you mean shop/web-0?"


def test_pod_name_in_two_namespaces(host: Host) -> None:
    host.add("crio", pod(A, "nginx"), pod(B, "nginx", "test"))
    message, hint = refused(TargetSpec(pod="web-0"))
    assert message == "pods called web-0 are in several namespaces: shop, test"
    assert "-n" in hint
    assert resolve(TargetSpec(pod="web-0", namespace="test")).identity.container_id == B


def test_unit_asked_from_systemd(host: Host) -> None:
    path = "/system.slice/nginx.service"
    host.tree.make(path)
    host.unit = Unit("nginx.service", path, 1, "loaded")
    found = resolve(TargetSpec(unit="nginx"))
    assert ([r.path for r in found.cgroups], found.identity.workload) == ([path], "nginx.service")
    host.unit = Unit("nginx.service", "", 0, "loaded")
    assert refused(TargetSpec(unit="nginx")) == ("the unit nginx.service does not run", "systemctl start nginx.service")
    host.unit = Unit("nginy.service", "", 0, "not-found")
    assert refused(TargetSpec(unit="nginy")) == (
        "there is no systemd unit nginy.service",
        "did you mean nginx.service?",
    )
    host.unit = Unit("odd.service", "/", 0, "loaded")
    assert "root cgroup" in refused(TargetSpec(unit="odd"))[0]


def test_unit_of_several_users(host: Host) -> None:
    for user in (1000, 1001):
        host.tree.make(f"/user.slice/user-{user}.slice/user@{user}.service/app.slice/web.service")
    assert "several units are called web.service" in refused(TargetSpec(unit="web"))[0]


def test_cgroup_of_a_known_container_and_of_a_service(host: Host) -> None:
    host.add("docker", box(A, "web"))
    host.tree.make("/system.slice/nginx.service/x")
    assert resolve(TargetSpec(cgroup=f"/docker/{A}")).identity.container == "web"
    service = resolve(TargetSpec(cgroup="/system.slice/nginx.service"))
    assert (service.identity.workload, service.identity.workload_kind) == ("nginx.service", "Service")
    assert resolve(TargetSpec(cgroup="/system.slice/nginx.service/x")).identity.workload_kind == "Cgroup"


def test_not_root(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add("docker", box(A, "web"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for spec in (TargetSpec(container="web"), TargetSpec(cgroup=f"/docker/{A}"), TargetSpec(pid=os.getppid())):
        message, hint = refused(spec)
        assert "needs root" in message
        assert "sudo" in hint


def test_no_cgroups_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "detect", lambda: Cgroups({}))
    assert refused(TargetSpec(host=True)) == (
        "no cgroup tree with a controller is mounted",
        "mount -t cgroup2 none /sys/fs/cgroup",
    )


def test_systemctl_is_not_asked_where_systemd_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    assert systemd.show("nginx.service") is None


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (
            "Id=nginx.service\\nControlGroup=/system.slice/nginx.service\\nMainPID=77\\nLoadState=loaded",
            Unit("nginx.service", "/system.slice/nginx.service", 77, "loaded"),
        ),
        ("Id=x.service\\nMainPID=0\\nLoadState=not-found", Unit("x.service", "", 0, "not-found")),
        ("", None),
    ],
)
def test_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, wanted: Unit | None) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\nprintf '{answer}\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(Path, "is_dir", lambda self: True)
    assert systemd.show("-x") == wanted


def test_descendants_leave_out_who_came_before_their_parent() -> None:
    def process(pid: int, ppid: int, start: int) -> procs.Process:
        return procs.Process(pid, ppid, start, "x", "S", 0, None, 0, (pid,), {}, 1, "/", False)

    table = [process(10, 1, 50), process(11, 10, 60), process(12, 11, 61), process(13, 10, 40), process(14, 99, 70)]
    assert [p.pid for p in procs.descendants(10, table)] == [10, 11, 12]
    assert procs.descendants(77, table) == []
