"""Who is covered, as far as it is decided in user space; and what the command line makes of its options."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from collectors.cgroups import CgroupRef
from collectors.identity import WorkloadIdentity
from collectors.runtimes import Container
from collectors.target import Target
from discover.cli import enforce as cli
from discover.enforce.cover import cover, own_mounts, returning
from discover.errors import DiscoverError, UsageError
from enforcer.bpf_lsm.domains import Readiness
from enforcer.store import STARTING, Enforced
from models.dataset import Dataset
from models.policy import START_UP, Policy, dump_policies, start_up_annotation

ROOT = Path(__file__).parents[3]
ID = "5316d1469122b4695b879f0755ac0af8dadbc0d5059dad9b284d54a0347b6fd2"


def target(path: str, kind: str = "container", *containers: Container, tree: str = "unified") -> Target:
    return Target(kind, tree, WorkloadIdentity("web", "Container"), [CgroupRef(path, 7)], containers=list(containers))


def box(identity: str = ID) -> Container:
    return Container(identity, "docker", "web", 12)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/docker/{ID}", ID),
        (f"/system.slice/docker-{ID}.scope", f"docker-{ID}.scope"),
        (f"/machine.slice/libpod-{ID}.scope/container", f"libpod-{ID}.scope"),
        ("/docker/web", ""),
        ("/container", ""),
    ],
)
def test_the_name_of_a_container_that_comes_back_holds_its_id(path: str, name: str) -> None:
    assert returning(target(path, "container", box()), path) == name


def test_a_short_id_is_waited_for_by_nobody() -> None:
    assert returning(target("/x/ab", "container", box("ab")), "/x/ab") == ""


def test_what_has_a_mount_namespace_of_its_own() -> None:
    assert own_mounts(target(f"/docker/{ID}", "container", box()))
    assert own_mounts(target(f"/docker/{ID}", "cgroup", box()))
    assert not own_mounts(target("/web.slice", "cgroup"))
    assert own_mounts(target("/pods", "cgroup"), holds=True)
    assert not own_mounts(target(f"/docker/{ID}", "pid", box()))


def test_a_tree_that_the_programs_do_not_read_is_refused() -> None:
    with pytest.raises(DiscoverError, match="the memory tree of cgroup v1"):
        cover(None, 1, target("/docker/x", "container", box(), tree="memory"), None)  # type: ignore[arg-type]


def test_rules_are_numbered_by_the_policy_that_decided() -> None:
    process = {"matchPaths": [{"path": "/a"}, {"path": "/b"}, {"path": "/c"}], "action": "Block"}
    policy = Policy.from_document(
        {
            "kind": "KubeArmorPolicy",
            "metadata": {"name": "p", "annotations": {START_UP: start_up_annotation(["/a"])}},
            "spec": {"process": process, "selector": {"matchLabels": {"app": "p"}}},
        }
    )
    kept = Enforced("p", 1, 5, "t", dump_policies([policy]), ("block", "block", "block"))
    assert {r.value for r in kept.rules(5)} == {"/b", "/c"}
    assert {r.value for r in kept.rules(5 | STARTING)} == {"/a", "/b", "/c"}
    assert kept.rules(4) == kept.rules(6 | STARTING) == ()


def test_recordings_are_opened() -> None:
    assert cli._dataset(None) is None
    assert isinstance(cli._dataset(ROOT / "datasets/redis"), Dataset)


def test_when_a_workload_is_ready() -> None:
    assert cli._readiness(("listen",)) == Readiness(on_listen=True, after=None)
    assert cli._readiness(("told",)) == Readiness(on_listen=False, after=None)
    assert cli._readiness(("listen", "2m", "30s")) == Readiness(on_listen=True, after=30.0)
    with pytest.raises(UsageError, match="--ready soon"):
        cli._readiness(("soon",))


@pytest.mark.parametrize("arguments", [["promote", "web"], ["start", "p.yaml", "--container", "web"]])
def test_a_probe_without_a_time_to_confirm_is_refused(arguments: list[str]) -> None:
    answer = CliRunner().invoke(cli.command, [*arguments, "--probe", "true"])
    assert isinstance(answer.exception, UsageError)
    assert "--confirm-within" in answer.exception.hint
