"""What the KubeArmor back end tells a cluster, and whom it refuses to take along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from discover.enforce import kubearmor
from discover.errors import UsageError
from enforcer.kubearmor.reach import BLOCK

FILE_POSTURE, NETWORK_POSTURE = "kubearmor-file-posture", "kubearmor-network-posture"


class Cluster:
    """A namespace with pods, and what was done to it, in order."""

    def __init__(self, **annotations: str) -> None:
        self.annotations = {k.replace("_", "-"): v for k, v in annotations.items()}
        self.policies: dict[str, dict[str, Any]] = {}
        self.wide: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.done: list[str] = []

    def pod(self, app: str, *, kind: str = "ReplicaSet", owner: str | None = None) -> None:
        labels = {"app": app, "pod-template-hash": "5d9f"}
        owners = [{"kind": kind, "name": owner or f"{app}-5d9f", "controller": True}]
        self.pods.append({"metadata": {"name": f"{app}-5d9f-x", "labels": labels, "ownerReferences": owners}})

    def items(self, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        if kind == "pods":
            return self.pods
        return self.wide if "cluster" in kind else list(self.policies.values())

    def namespace(self, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "annotations": dict(self.annotations)}}

    def apply(self, document: dict[str, Any]) -> None:
        self.done.append(f"apply {document['metadata']['name']}")
        self.policies[document["metadata"]["name"]] = json.loads(json.dumps(document))

    def annotate(self, namespace: str, annotations: Mapping[str, str]) -> None:
        self.done += [f"{k}={v}" for k, v in annotations.items()]
        self.annotations |= annotations

    def delete(self, kind: str, name: str, namespace: str) -> None:
        self.done.append(f"delete {name}")
        self.policies.pop(name, None)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubearmor, "_FOLDER", tmp_path / "kept")


def written(folder: Path, app: str = "web", **spec: Any) -> Path:
    spec = spec or {"file": {"matchPaths": [{"path": "/srv/a"}], "action": "Allow"}}
    document = {
        "apiVersion": "security.kubearmor.com/v1",
        "kind": "KubeArmorPolicy",
        "metadata": {"name": app, "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": app}}, "severity": 5, **spec},
    }
    file = folder / f"{app}.yaml"
    YAML().dump(document, file)
    return file


def enforce(cluster: Cluster, file: Path, **more: Any) -> list[str]:
    said: list[str] = []
    asked = kubearmor.Asked((file,), file.stem, accept_incomplete=True, **more)
    kubearmor.enforce(asked, said.append, said.append, cluster)
    return said


def promote(cluster: Cluster, name: str, *classes: str, accept: tuple[str, ...] = ()) -> list[str]:
    said: list[str] = []
    kubearmor.promote(
        name,
        classes or ("process", "file", "network", "capabilities"),
        dataset=None,
        accept_incomplete=True,
        accept_violations=True,
        confirm=False,
        confirm_within=None,
        say=said.append,
        accept=accept,
        cluster=cluster,
    )
    return said


def test_audit_denies_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    file = {"matchPaths": [{"path": "/srv/a", "action": "Allow"}, {"path": "/etc/shadow"}], "action": "Block"}
    enforce(cluster, written(tmp_path, file=file, network={"matchProtocols": [{"protocol": "raw", "action": "Block"}]}))
    assert cluster.done == [f"{FILE_POSTURE}=audit", "apply web"]
    spec = cluster.policies["web"]["spec"]
    assert (spec["file"]["action"], spec["file"]["matchPaths"][0]["action"]) == ("Audit", "Allow")
    assert spec["network"]["matchProtocols"][0]["action"] == "Audit"


def test_promote_restores_block_rules_and_the_policies_go_before_the_posture(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.pod("web")
    file = {"matchPaths": [{"path": "/srv/a", "action": "Allow"}, {"path": "/etc/shadow"}], "action": "Block"}
    enforce(cluster, written(tmp_path, file=file, network={"matchProtocols": [{"protocol": "raw", "action": "Block"}]}))
    cluster.done.clear()
    promote(cluster, "web", "file")
    assert cluster.done == ["apply web", f"{FILE_POSTURE}=block"]
    made = cluster.policies["web"]
    assert made["spec"]["file"]["action"] == "Block"
    assert made["spec"]["network"]["matchProtocols"][0]["action"] == "Audit"
    assert made["metadata"]["annotations"][BLOCK] == "file"
    promote(cluster, "web")
    assert cluster.policies["web"]["spec"]["network"]["matchProtocols"][0]["action"] == "Block"
    assert NETWORK_POSTURE not in cluster.annotations  # no allow-list of ours depends on it


def test_a_workload_whose_audit_is_not_over_keeps_the_posture_from_changing(tmp_path: Path) -> None:
    cluster = Cluster()
    for app in ("web", "cart", "other"):
        cluster.pod(app)
    cluster.pod("db", kind="StatefulSet", owner="db")
    for app in ("web", "cart", "db"):
        enforce(cluster, written(tmp_path, app))
    before = dict(cluster.annotations)
    with pytest.raises(UsageError, match=r"deployment/cart, statefulset/db") as refused:
        promote(cluster, "web")
    assert "--accept deployment/cart --accept statefulset/db" in refused.value.hint
    assert cluster.annotations == before
    with pytest.raises(UsageError, match=r"statefulset/db"):
        promote(cluster, "web", accept=("deployment/cart",))
    said = promote(cluster, "web", accept=("deployment/cart", "statefulset/db"))
    assert cluster.annotations[FILE_POSTURE] == "block"
    assert "file posture reaches deployment/web: Audit over" in said
    assert not any("deployment/other" in line for line in said)  # no allow-list holds it


def test_those_that_were_promoted_before_are_no_hindrance(tmp_path: Path) -> None:
    cluster = Cluster()
    for app in ("web", "cart"):
        cluster.pod(app)
        enforce(cluster, written(tmp_path, app))
    promote(cluster, "cart", accept=("deployment/web",))
    cluster.annotations[FILE_POSTURE] = "audit"  # somebody's break-glass
    promote(cluster, "web")
    assert cluster.annotations[FILE_POSTURE] == "block"


def test_policies_that_others_wrote_count_as_not_audited(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.pod("web")
    cluster.pod("cart")
    enforce(cluster, written(tmp_path))
    foreign = json.loads(json.dumps(cluster.policies["web"]))
    del foreign["metadata"]["annotations"]
    foreign["metadata"]["name"] = "theirs"
    foreign["spec"]["selector"]["matchLabels"] = {"app": "cart"}
    foreign["status"] = {"status": "Active"}
    cluster.policies["theirs"] = foreign
    with pytest.raises(UsageError, match="deployment/cart"):
        promote(cluster, "web")
    del cluster.policies["theirs"]
    expressions = [{"key": "namespace", "operator": "In", "values": ["shop"]}]
    spec = foreign["spec"] | {"selector": {"matchExpressions": expressions}}
    cluster.wide = [{"kind": "KubeArmorClusterPolicy", "metadata": {"name": "wide"}, "spec": spec}]
    with pytest.raises(UsageError, match="deployment/cart, deployment/web"):
        promote(cluster, "web")
    expressions[0]["operator"] = "NotIn"
    promote(cluster, "web")


def test_no_audit_where_the_namespace_blocks_already(tmp_path: Path) -> None:
    cluster = Cluster(kubearmor_file_posture="block")
    with pytest.raises(UsageError, match="posture Block for file"):
        enforce(cluster, written(tmp_path))
    assert cluster.done == []


def test_a_dry_run_shows_and_does_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    shown = enforce(cluster, written(tmp_path), dry_run=True)
    assert cluster.done == []
    assert [json.loads(one)["kind"] for one in shown] == ["KubeArmorPolicy", "Namespace"]
    assert kubearmor.names() == []


def test_a_policy_that_left_the_set_is_deleted_and_stop_deletes_all(tmp_path: Path) -> None:
    cluster = Cluster()
    file = written(tmp_path)
    enforce(cluster, file)
    other = written(tmp_path, "cart")
    other.rename(file)
    enforce(cluster, file)
    assert sorted(cluster.policies) == ["cart"]
    kubearmor.stop("web", cluster)
    assert not cluster.policies
    assert kubearmor.names() == []


def test_break_glass_is_audit_again(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.pod("web")
    enforce(cluster, written(tmp_path))
    promote(cluster, "web")
    assert kubearmor.break_glass(cluster) == 1
    assert cluster.annotations[FILE_POSTURE] == "audit"
    assert cluster.policies["web"]["metadata"]["annotations"][BLOCK] == ""
