"""Container, pod, QoS, runtime and unit in cgroup paths of the shapes that real runtimes make."""

import pytest

from collectors.cgroup_names import name_of

A = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
B = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d"
C = "d7dfb4a21fe1703a8537e60d5af248af729315d187b24a538102d14874c8117d"
UID = "1e597579-417e-482f-bf65-5fe170c3aebd"
UID_ = UID.replace("-", "_")
STATIC = "c704ef4c297ab11032b83ce52cbfc87b"  # a static pod's uid is the hash of its manifest

# path -> (id, runtime, pod uid, QoS, own cgroup as the leading number of segments)
CONTAINERS = {
    f"/docker/{A}": (A, "docker", None, None, 2),
    f"/system.slice/docker-{A}.scope": (A, "docker", None, None, 2),
    f"/system.slice/docker-{A}.scope/init.scope": (A, "docker", None, None, 2),
    f"/system.slice/docker-{A}.scope/system.slice/nginx.service": (A, "docker", None, None, 2),
    f"/{A}": (A, None, None, None, 1),
    f"/actions_job/{A}": (A, None, None, None, 2),
    "/ecs/prod/0123456789abcdef0123456789abcdef-1234567890": (
        "0123456789abcdef0123456789abcdef-1234567890",
        None,
        None,
        None,
        3,
    ),
    f"/kubepods/besteffort/pod{UID}/{A}": (A, None, UID, "besteffort", 4),
    f"/kubepods/burstable/pod{UID}/{A}": (A, None, UID, "burstable", 4),
    f"/kubepods/pod{UID}/{A}": (A, None, UID, "guaranteed", 3),
    f"/kubepods/burstable/pod{STATIC}/{A}": (A, None, STATIC, "burstable", 4),
    f"/kubepods/burstable/pod{UID}/crio-{A}": (A, "crio", UID, "burstable", 4),
    f"/kubepods/kubepods-besteffort/kubepods-besteffort-pod{UID_}/{A}": (A, None, UID, "besteffort", 4),
    f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/cri-containerd-{A}.scope": (
        A,
        "containerd",
        UID,
        "besteffort",
        4,
    ),
    f"/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{A}.scope": (A, "containerd", UID, "guaranteed", 3),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/crio-{A}.scope/container": (
        A,
        "crio",
        UID,
        "burstable",
        4,
    ),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/docker-{A}.scope": (
        A,
        "docker",
        UID,
        "burstable",
        4,
    ),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{A}.scope": (
        A,
        "containerd",
        STATIC,
        "burstable",
        4,
    ),
    f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
    f"kubelet-kubepods-besteffort-pod{UID_}.slice/cri-containerd-{A}.scope": (A, "containerd", UID, "besteffort", 5),
    f"/kubelet/kubepods/pod{UID}/{A}": (A, None, UID, "guaranteed", 4),
    f"/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{A}": (
        A,
        "containerd",
        UID,
        "burstable",
        3,
    ),
    f"/system.slice:docker:{A}": (A, "docker", None, None, 1),
    f"/libpod_parent/libpod-{A}": (A, "podman", None, None, 2),
    f"/libpod_parent/{B}/libpod-{A}": (A, "podman", None, None, 3),
    f"/machine.slice/libpod-{A}.scope": (A, "podman", None, None, 2),
    f"/machine.slice/libpod-{A}.scope/container": (A, "podman", None, None, 2),
    f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope": (A, "podman", None, None, 3),
    f"/system.slice/web.service/libpod-payload-{A}": (A, "podman", None, None, 3),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container": (
        A,
        "podman",
        None,
        None,
        5,
    ),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{B}.slice/libpod-{A}.scope": (
        A,
        "podman",
        None,
        None,
        6,
    ),
    f"/system.slice/nerdctl-{A}.scope": (A, "containerd", None, None, 2),
    # made by the workload, in its own cgroup
    f"/docker/{A}/worker/1": (A, "docker", None, None, 2),
    f"/docker/{A}/docker/{B}": (A, "docker", None, None, 2),
    f"/system.slice/docker-{A}.scope/docker-{B}.scope": (A, "docker", None, None, 2),
    f"/system.slice/docker-{A}.scope/machine.slice/libpod-{B}.scope": (A, "docker", None, None, 2),
    f"/kubepods/pod{UID}/{A}/{B}": (A, None, UID, "guaranteed", 3),
    f"/kubepods/pod{UID}/{A}/pod{UID}/{B}": (A, None, UID, "guaranteed", 3),
    f"/docker/{A}/crio-conmon-{B}.scope": (A, "docker", None, None, 2),
}


@pytest.mark.parametrize("path", CONTAINERS)
def test_container_in_path(path: str) -> None:
    container_id, runtime, pod_uid, qos, depth = CONTAINERS[path]
    told = name_of(path)
    assert told.container is not None
    assert (told.container.id, told.container.runtime) == (container_id, runtime)
    assert (told.container.pod_uid, told.container.qos) == (pod_uid, qos) == (told.pod_uid, told.qos)
    assert told.container.root == "/" + "/".join(path.strip("/").split("/")[:depth])
    assert told.container.nested_in is None
    assert not told.monitor


@pytest.mark.parametrize(
    ("path", "depth"),
    [
        (f"/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{B}", 7),
        (f"/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{B}/made/by/workload", 7),
        (f"/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{B}/docker/{C}", 7),
        (
            f"/system.slice/docker-{A}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
            f"kubelet-kubepods-burstable-pod{UID_}.slice/cri-containerd-{B}.scope",
            7,
        ),
        (f"/machine.slice/libpod-{A}.scope/container/kubepods/burstable/pod{UID}/{B}", 7),
    ],
)
def test_node_in_a_container(path: str, depth: int) -> None:
    container = name_of(path).container
    assert container is not None
    assert (container.id, container.nested_in, container.pod_uid, container.qos) == (B, A, UID, "burstable")
    assert container.root == "/" + "/".join(path.strip("/").split("/")[:depth])


def test_claims_list_every_lookalike_outermost_first() -> None:
    assert [c.id for c in name_of(f"/docker/{A}/docker-{B}.scope/{C}").claims] == [A, B, C]


@pytest.mark.parametrize(
    ("path", "unit", "root"),
    [
        ("/system.slice/nginx.service", "nginx.service", "/system.slice/nginx.service"),
        ("/system.slice/nginx.service/workers/1", "nginx.service", "/system.slice/nginx.service"),
        (
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            "postgresql@15-main.service",
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
        ),
        ("/system.slice/nginx.service/docker.service", "nginx.service", "/system.slice/nginx.service"),
        ("/init.scope", "init.scope", "/init.scope"),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            "session-3.scope",
            "/user.slice/user-1000.slice/session-3.scope",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/x",
            "web.service",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
        ),
    ],
)
def test_systemd_unit(path: str, unit: str, root: str) -> None:
    told = name_of(path)
    assert (told.container, told.unit, told.unit_root) == (None, unit, root)


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/burstable/pod{UID}/crio-conmon-{A}",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/crio-conmon-{A}.scope",
        f"/machine.slice/libpod-conmon-{A}.scope",
        "/libpod_parent/conmon",
    ],
)
def test_monitor_is_not_the_container(path: str) -> None:
    told = name_of(path)
    assert told.monitor
    assert told.container is None
    assert told.claims == ()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "//",
        "/system.slice",
        f"/libpod_parent/{A}",
        f"/docker/{A[:-1]}",
        f"/docker/{A}0",
        f"/docker/{A.upper()}",
        f"/system.slice/run-containerd-io.containerd.runtime.v2.task-k8s.io-{A}-rootfs.mount",
        f"/system.slice/var-lib-docker-containers-{A}-mounts-shm.mount",
        f"/system.slice/evil docker-{A}.scope",
        f"/pod{UID}/x",
        "/kubepods/burstable",
        "/../../docker",
        "/\x1b[31m/\udcff",
    ],
)
def test_no_container(path: str) -> None:
    assert name_of(path).container is None


@pytest.mark.parametrize(
    ("path", "qos"),
    [
        (f"/kubepods/burstable/pod{UID}", "burstable"),
        (f"/kubepods.slice/kubepods-pod{UID_}.slice", "guaranteed"),
        (f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice", "besteffort"),
    ],
)
def test_cgroup_of_a_pod(path: str, qos: str) -> None:
    told = name_of(path)
    assert (told.container, told.pod_uid, told.qos) == (None, UID, qos)
