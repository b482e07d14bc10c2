"""What runtimes leave on disk or answer on a socket, made up here in their formats; the process is this test's own."""

import http.server
import json
import os
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors import procs
from collectors.runtimes import bundle, containerd, crio, docker, list_containers, podman
from collectors.runtimes.bundle import Bundle, cgroup_of, digest_in, moment, read_bundle

A, B = "a" * 64, "b" * 64
UID = "1e597579-417e-482f-bf65-5fe170c3aebd"
DIGEST = "sha256:" + "d" * 64
HERE = f"/docker/{A}"


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> procs.Process:
    """This process, as if it ran in the cgroup of container A."""
    real = procs.read(os.getpid())
    assert real is not None
    pretended = replace(real, cgroups={"unified": f"{HERE}/below"})
    monkeypatch.setattr(procs, "read", lambda pid: pretended if pid == os.getpid() else None)
    return pretended


# docker


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    answers: dict[str, Any]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path)  # type: ignore[attr-defined]
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return ""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[_Server]:
    with _Server(str(tmp_path / "docker.sock"), _Handler) as server:
        server.answers = {
            "/containers/json": [{"Id": A}, {"Id": B}],
            f"/containers/{A}/json": {
                "Id": A,
                "Name": "/web",
                "Created": "2026-01-02T03:04:05.123456789Z",
                "State": {"Pid": os.getpid(), "StartedAt": "2026-01-02T03:04:06Z"},
                "Image": "sha256:1",
                "Config": {"Image": "nginx:1", "Labels": {"app": "web", "odd": 1}},
            },
            "/images/sha256%3A1/json": {"RepoDigests": [f"nginx@{DIGEST}"]},
        }
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def place(server: _Server) -> str:
    return str(server.server_address)


def test_docker(daemon: _Server, process: procs.Process) -> None:
    told = docker.listing_at(place(daemon), "unified")
    assert (told.found, told.trouble) == (True, "")
    (web,) = told.containers  # B ended between list and look
    assert (web.id, web.name, web.pid, web.cgroup) == (A, "web", os.getpid(), HERE)
    assert (web.image, web.image_digest, web.labels) == ("nginx:1", DIGEST, {"app": "web"})
    assert str(web.started) == "2026-01-02 03:04:06+00:00"
    assert web.title == "docker:web"


def test_docker_under_kubernetes(daemon: _Server, process: procs.Process) -> None:
    daemon.answers[f"/containers/{A}/json"]["Config"]["Labels"] = {
        "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": UID,
        "io.kubernetes.container.name": "nginx",
        "io.kubernetes.docker.type": "container",
    }
    (web,) = docker.listing_at(place(daemon), "unified").containers
    assert (web.name, web.pod_name, web.namespace, web.pod_uid, web.sandbox) == ("nginx", "web-0", "shop", UID, False)
    assert web.title == "docker:shop/web-0/nginx"


def test_docker_names_a_process_that_is_not_in_the_container(daemon: _Server, process: procs.Process) -> None:
    daemon.answers["/containers/json"] = [{"Id": B}]
    daemon.answers[f"/containers/{B}/json"] = {**daemon.answers[f"/containers/{A}/json"], "Id": B}
    assert docker.listing_at(place(daemon), "unified").containers == []


@pytest.mark.parametrize("answer", [b"not json", {"message": "x"}, [{}], [7], b""])
def test_something_else_listens_on_dockers_socket(daemon: _Server, answer: object) -> None:
    daemon.answers["/containers/json"] = answer
    told = docker.listing_at(place(daemon), "unified")
    assert told.containers == []
    assert "does not answer as docker does" in told.trouble


def test_docker_is_gone_but_its_socket_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _Server(str(tmp_path / "s"), _Handler):
        pass
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    (told,) = list_containers("unified", "docker")
    assert told.found
    assert told.trouble


def test_docker_remembers(daemon: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place(daemon)}")
    ended = docker.remembered(A)
    assert ended is not None
    assert (ended.name, ended.pid, ended.cgroup, ended.image_digest) == ("web", 0, None, DIGEST)
    assert docker.remembered(B) is None


# containerd


def task(state: Path, namespace: str, container_id: str, config: object, pid: object) -> None:
    directory = state / "io.containerd.runtime.v2.task" / namespace / container_id
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    (directory / "init.pid").write_text(str(pid))


def test_containerd(tmp_path: Path, process: procs.Process) -> None:
    notes = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": "nginx",
        "io.kubernetes.cri.image-name": f"docker.io/library/nginx@{DIGEST}",
        "io.kubernetes.cri.sandbox-id": B,
        "io.kubernetes.cri.sandbox-name": "web-0",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": UID,
    }
    me = os.getpid()
    task(tmp_path, "k8s.io", A, {"annotations": notes, "linux": {"cgroupsPath": HERE}}, me)
    task(
        tmp_path, "default", "mybox", {"annotations": {"nerdctl/name": "box"}, "linux": {"cgroupsPath": "/docker"}}, me
    )
    task(tmp_path, "default", "elsewhere", {"linux": {"cgroupsPath": "/other"}}, me)
    task(tmp_path, "default", "broken", "{", me)
    task(tmp_path, "default", "list", [], me)
    task(tmp_path, "default", "no-pid", {}, "x")
    task(tmp_path, "default", "ended", {}, 0)
    task(tmp_path, "moby", B, {}, me)
    found = {c.id: c for c in containerd.listing_at(tmp_path, "/nowhere.sock", "unified").containers}
    assert set(found) == {A, "mybox", "elsewhere"}
    web = found[A]
    assert (web.name, web.pod_name, web.namespace, web.pod_uid) == ("nginx", "web-0", "shop", UID)
    assert (web.cgroup, web.image_digest, web.sandbox_id, web.sandbox) == (HERE, DIGEST, B, False)
    assert (found["mybox"].name, found["mybox"].cgroup) == ("box", "/docker")
    assert found["elsewhere"].cgroup is None


def test_containerd_left_a_bundle_whose_pid_is_somebody_elses(tmp_path: Path, process: procs.Process) -> None:
    task(tmp_path, "default", "old", {}, os.getpid())
    (directory,) = tmp_path.glob("*/default/old")
    os.utime(directory / "init.pid", (1, 1))
    assert containerd.listing_at(tmp_path, "/nowhere.sock", "unified").containers == []


# CRI-O, podman


def test_crio(process: procs.Process) -> None:
    notes = {
        "io.container.manager": "cri-o",
        "io.kubernetes.container.name": "coredns",
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.ImageName": "registry.k8s.io/coredns:v1",
        "io.kubernetes.cri-o.ImageRef": f"registry.k8s.io/coredns@{DIGEST}",
        "io.kubernetes.cri-o.SandboxID": B,
        "io.kubernetes.cri-o.Labels": '{"io.kubernetes.pod.uid":"x"}',
        "io.kubernetes.cri-o.Created": "2023-12-12T04:10:25.992573978Z",
        "io.kubernetes.pod.name": "coredns-6d4b75cb6d-4mtdm",
        "io.kubernetes.pod.namespace": "kube-system",
        "io.kubernetes.pod.uid": UID,
    }
    known = Bundle(A, "k8s_coredns_x", os.getpid(), Path("/x"), Path("/x"), 0, notes)
    told = crio.container_from(known, process, "unified", {B: {"pod-template-hash": "6d4b75cb6d"}})
    assert (told.name, told.image, told.image_digest) == ("coredns", "registry.k8s.io/coredns:v1", DIGEST)
    assert (told.pod_uid, told.cgroup, told.sandbox) == (UID, HERE, False)
    assert told.labels["pod-template-hash"] == "6d4b75cb6d"
    assert told.created is not None


def test_podman_remembers_what_lies_in_its_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    userdata = tmp_path / f"overlay-containers/{A}/userdata"
    userdata.mkdir(parents=True)
    (userdata / "config.json").write_text(json.dumps({"annotations": {"io.container.manager": "libpod"}}))
    metadata = json.dumps({"image-name": "localhost/box:1", "name": "box"})
    rows = [{"id": B}, {"id": A, "names": ["box"], "image": "1234", "metadata": metadata}]
    (tmp_path / "overlay-containers/containers.json").write_text(json.dumps(rows))
    (tmp_path / "overlay-images").mkdir()
    (tmp_path / "overlay-images/images.json").write_text(json.dumps([{"id": "1234", "digest": DIGEST}]))
    (tmp_path / "storage.conf").write_text(f'[storage]\ngraphroot = "{tmp_path}"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    ended = podman.remembered(A)
    assert ended is not None
    assert (ended.name, ended.image, ended.image_digest, ended.pid) == ("box", "localhost/box:1", DIGEST, 0)
    assert podman.remembered("c" * 64) is None


# common parts


def test_cgroup_of_a_container_is_the_outermost_of_its_name(process: procs.Process) -> None:
    twice = replace(process, cgroups={"memory": f"{HERE}/docker/{A}/x"})
    assert cgroup_of(twice, A, "memory") == HERE
    assert cgroup_of(twice, B, "memory") is None
    assert cgroup_of(twice, A, "unified") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"annotations": 3}', '{"annotations": {"a": 1}, "linux": []}'])
def test_bundles_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    found = read_bundle(tmp_path)
    assert found is None or (found.annotations, found.cgroups_path) == ({}, "")


def test_user_may_only_vouch_for_processes_of_his_namespace() -> None:
    # This process is in the first user namespace, which maps root.
    assert bundle._may_own(0, os.getpid())
    assert not bundle._may_own(1000, os.getpid())
    assert not bundle._may_own(1000, 0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-02T03:04:05.123456789Z", "2026-01-02 03:04:05.123456+00:00"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02 03:04:05+02:00"),
        ("2026-01-02T03:04:05.5-07:00", "2026-01-02 03:04:05.500000-07:00"),
        ("0001-01-01T00:00:00Z", "None"),
        ("yesterday", "None"),
        ("2026-01-02", "None"),
        (None, "None"),
    ],
)
def test_moment(text: object, wanted: str) -> None:
    assert str(moment(text)) == wanted


def test_digest() -> None:
    assert digest_in(f"nginx:1@{DIGEST}") == DIGEST
    assert [digest_in(t) for t in (None, "nginx", "nginx@sha256:12", DIGEST)] == [None] * 4
