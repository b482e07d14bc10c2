"""Kustomize folders: what is listed is kept up to date, the rest stays byte for byte."""

from collections.abc import Callable

import pytest
import yaml
from repositories import Server, git

from discover.errors import UsageError
from discover.propose import Proposal, propose
from discover.propose.kustomize import with_entries
from discover.review import Review

THEIRS = """\
# our cluster
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: shop   # one for all
resources:
  - namespace.yaml
  # the front end
  - web.yaml # since March

# applied last
patches:
  - target: {kind: Deployment}
    path: scale.yaml
commonLabels:
  team: 'shop'
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (THEIRS, THEIRS.replace("  - web.yaml # since March\n", "  - web.yaml # since March\n  - redis.yaml\n")),
        ("resources:\n- a.yaml\n", "resources:\n- a.yaml\n- redis.yaml\n"),
        ("resources:\n- ./redis.yaml\n", "resources:\n- ./redis.yaml\n"),
        ("kind: Kustomization\n", "kind: Kustomization\nresources:\n- redis.yaml\n"),
        ("resources: [a.yaml]\n", "resources: [a.yaml, redis.yaml]\n"),
        ("resources:\n", "resources:\n- redis.yaml\n"),
        ("resources: []\n", "resources:\n- redis.yaml\n"),
        ("resources:\n- a.yaml\n# the end", "resources:\n- a.yaml\n- redis.yaml\n# the end\n"),
        (None, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- redis.yaml\n"),
    ],
)
def test_a_resource_is_listed_once(text: str | None, expected: str) -> None:
    made = with_entries(text, "kustomization.yaml", ["redis.yaml"])
    assert made == expected
    assert with_entries(made, "kustomization.yaml", ["redis.yaml"]) == made


def test_a_patch_goes_after_the_others() -> None:
    made = with_entries(THEIRS, "k", [], ["redis.posture.yaml"])
    assert made == THEIRS.replace("    path: scale.yaml\n", "    path: scale.yaml\n  - path: redis.posture.yaml\n")
    assert yaml.safe_load(made)["patches"][1] == {"path": "redis.posture.yaml"}
    assert with_entries(made, "k", [], ["redis.posture.yaml"]) == made


@pytest.mark.parametrize("text", ["a: [", "- a\n", "kind: Deployment\n"])
def test_what_is_none_is_said(text: str) -> None:
    with pytest.raises(UsageError, match=r"kustomization\.yaml is no"):
        with_entries(text, "kustomization.yaml", ["a"])


def test_the_folder_says_which_layout(server: Server, redis: Review, proposal: Callable[..., Proposal]) -> None:
    server.commit(
        {
            "policies/kustomization.yaml": THEIRS,
            "policies/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
        }
    )
    outcome = propose([redis], proposal())
    listing = server.read("policies/kustomization.yaml", outcome.branch)
    assert "  - redis.yaml\n" in listing
    assert "  - path: redis.posture.yaml\n" in listing
    assert [line for line in THEIRS.splitlines() if line not in listing.splitlines()] == []
    posture = yaml.safe_load(server.read("policies/redis.posture.yaml", outcome.branch))
    assert posture["kind"] == "Namespace"
    assert posture["metadata"]["name"] == "default"
    assert posture["metadata"]["annotations"]["kubearmor-file-posture"] == "audit"
    assert "kustomization" in git(server.place, "show", "--stat", outcome.branch)


def test_a_new_kustomize_folder(server: Server, redis: Review, proposal: Callable[..., Proposal]) -> None:
    outcome = propose([redis], proposal(layout="kustomize", path="apps"))
    assert yaml.safe_load(server.read("apps/kustomization.yaml", outcome.branch))["resources"] == ["redis.yaml"]
    assert "patches" not in server.read("apps/kustomization.yaml", outcome.branch)
