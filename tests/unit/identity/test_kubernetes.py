"""The workload that a pod belongs to, from labels that controllers set or from the pod's name."""

import pytest

from collectors.identity import of_container
from collectors.kubernetes import owner, pods_named, split_name, visible
from collectors.runtimes import Container


@pytest.mark.parametrize(
    ("pod", "labels", "wanted"),
    [
        ("web-7d9fbb8c6d-x2x7k", {"pod-template-hash": "7d9fbb8c6d", "app": "web"}, ("Deployment", "web")),
        ("a-b-c-56b4d8-zzzzz", {"pod-template-hash": "56b4d8"}, ("Deployment", "a-b-c")),
        (
            "db-0",
            {"statefulset.kubernetes.io/pod-name": "db-0", "controller-revision-hash": "db-5b"},
            ("StatefulSet", "db"),
        ),
        ("node-agent-k4xzt", {"controller-revision-hash": "7f9", "app": "x"}, ("DaemonSet", "node-agent")),
        ("backup-28391040-7xk2p", {"batch.kubernetes.io/job-name": "backup-28391040"}, ("CronJob", "backup")),
        ("migrate-7xk2p", {"job-name": "migrate"}, ("Job", "migrate")),
        ("debug", {"app": "x"}, ("Pod", "debug")),
        ("looks-like-7d9fbb8c6d-x2x7k", {"app": "x"}, ("Pod", "looks-like-7d9fbb8c6d-x2x7k")),
        # only the kubelet's own labels: the name has to tell
        ("web-7d9fbb8c6d-x2x7k", {"io.kubernetes.pod.name": "x"}, ("Deployment", "web")),
        ("db-12", {}, ("StatefulSet", "db")),
        ("node-agent-k4xzt", {}, ("DaemonSet", "node-agent")),
        ("debug", {}, ("Pod", "debug")),
        ("kube-proxy", {}, ("Pod", "kube-proxy")),
    ],
)
def test_owner(pod: str, labels: dict[str, str], wanted: tuple[str, str]) -> None:
    assert owner(pod, labels) == wanted


def test_identity_of_a_container_in_a_pod() -> None:
    told = of_container(
        Container(
            "a" * 64,
            "containerd",
            "nginx",
            1,
            labels={"pod-template-hash": "6d4", "app": "web", "io.kubernetes.pod.name": "web-6d4-abcde"},
            image="nginx:1",
            namespace="shop",
            pod_name="web-6d4-abcde",
            pod_uid="u",
        )
    )
    assert (told.namespace, told.workload_kind, told.workload, told.container) == ("shop", "Deployment", "web", "nginx")
    assert told.labels == {"app": "web", "pod-template-hash": "6d4"}


def test_names_and_labels() -> None:
    assert [split_name(t) for t in ("pod/web", "pods/web", "po/web", "web", "svc/web")] == ["web"] * 4 + ["svc/web"]
    assert visible({"b": "1", "io.kubernetes.x": "2", "a": "3"}) == {"a": "3", "b": "1"}


def test_pods_named() -> None:
    def one(namespace: str, name: str, **more: object) -> Container:
        return Container("i", "crio", name, 1, namespace=namespace, pod_name="web", pod_uid=namespace, **more)  # type: ignore[arg-type]

    every = [one("a", "x"), one("a", "y"), one("b", "x"), one("a", "POD", sandbox=True)]
    assert {k: [c.name for c in v] for k, v in pods_named(every, "web", None).items()} == {"a": ["x", "y"], "b": ["x"]}
    assert list(pods_named(every, "web", "b")) == ["b"]
    assert pods_named(every, "other", None) == {}
