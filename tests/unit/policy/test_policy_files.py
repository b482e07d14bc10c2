"""Reading and writing: round trips, comments, hostile names, and edits that leave a file as its owner wrote it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from policy_recorded import SHARED, need

from models.policy import (
    File,
    FilePath,
    KubeArmorHostPolicy,
    KubeArmorPolicy,
    Metadata,
    Policy,
    PolicyError,
    PolicyFile,
    Selector,
    Spec,
    dump_policies,
    dump_policy,
    load_policies,
    quote,
    read_policies,
)


def policy(*paths: str) -> KubeArmorPolicy:
    file = File(action="Allow", match_paths=tuple(FilePath(path=p) for p in paths))
    return KubeArmorPolicy(
        metadata=Metadata(name="web", namespace="prod"),
        spec=Spec(selector=Selector(match_labels={"app": "web"}), file=file),
    )


def reference_files() -> list[Path]:
    return sorted((SHARED / "conformance/policies").rglob("*.yaml")) + sorted((SHARED / "textbook").glob("*.yaml"))


@pytest.mark.shared
def test_every_reference_policy_round_trips() -> None:
    need(SHARED / "conformance/policies")
    for file in reference_files():
        policies = read_policies(file)
        plain = [d for d in yaml.safe_load_all(file.read_text()) if d]
        assert [p.to_document() for p in policies] == plain, file
        text = dump_policies(policies)
        assert load_policies(text) == policies, file
        assert dump_policies(load_policies(text)) == text, file


@pytest.mark.shared
def test_an_unchanged_reference_file_is_written_byte_for_byte() -> None:
    need(SHARED / "conformance/policies")
    for path in reference_files():
        file = PolicyFile.load(path.read_text())
        file.update(0, file.policies[0])
        assert file.text == path.read_text()


@pytest.mark.shared
def test_an_edit_of_a_reference_file_keeps_its_comments() -> None:
    need(SHARED / "conformance/policies")
    for path in reference_files():
        text = path.read_text()
        file = PolicyFile.load(text)
        before = file.policies[0]
        after = dataclasses.replace(before, spec=dataclasses.replace(before.spec, message="changed: 'it'"))
        file.update(0, after)
        assert load_policies(file.text)[0] == after, path
        comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
        assert [c for c in comments if c not in file.text] == [], path


def test_the_written_form() -> None:
    text = dump_policy(
        policy("/etc/passwd", "/tmp/x y"),
        {("spec", "file", "matchPaths", 1): "seen 3 times\nby nginx\x1b[31m", ("spec", "file"): "files"},
    )
    assert text == (
        "apiVersion: security.kubearmor.com/v1\n"
        "kind: KubeArmorPolicy\n"
        "metadata:\n"
        "  name: web\n"
        "  namespace: prod\n"
        "spec:\n"
        "  selector:\n"
        "    matchLabels:\n"
        "      app: web\n"
        "  # files\n"
        "  file:\n"
        "    action: Allow\n"
        "    matchPaths:\n"
        "    - path: /etc/passwd\n"
        "    # seen 3 times\n"
        "    # by nginx\\x1b[31m\n"
        '    - path: "/tmp/x y"\n'
    )


@pytest.mark.parametrize(
    "path", ["/a: b", "/a #b", "/'", '/"', "/- x", "/\u2028", "/\u00e9", "/[x]", "/{x}", "/a,b", "/a\\b"]
)
def test_odd_names_that_the_crd_takes_come_back(path: str) -> None:
    assert load_policies(dump_policy(policy(path))) == [policy(path)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/a\nb", "not an absolute path"),
        ("/a\x1b[0m", "control characters"),
        ("/a\udcff", "no UTF-8"),
        ("/" + "x" * 200, "200 is the most"),
        ("relative", "absolute path"),
    ],
)
def test_names_that_cannot_be_written_are_refused(path: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        dump_policy(policy(path))


def test_surrogates_are_refused_even_unchecked() -> None:
    with pytest.raises(PolicyError, match="no UTF-8"):
        dump_policy(policy("/a\udcff"), validated=False)
    with pytest.raises(ValueError, match="no UTF-8"):
        quote("\udcff")


def test_a_host_policy_without_nodes_is_not_written() -> None:
    with pytest.raises(PolicyError, match="nodeSelector is missing"):
        dump_policy(KubeArmorHostPolicy(metadata=Metadata(name="h")))


KEPT = """\
# owned by team web
---
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata:
    name: web   # do not rename
spec:
    selector:
        matchLabels: {app: "web"}
    file:
        # configuration
        matchPaths:
            - path: /etc/passwd  # users
              readOnly: true
            # the log
            - path: '/var/log/x'
            - path: /gone
    action: Allow
"""


def _edited(change: list[FilePath]) -> tuple[PolicyFile, Policy]:
    file = PolicyFile.load(KEPT)
    before = file.policies[0]
    assert before.spec.file is not None
    spec = dataclasses.replace(before.spec, file=dataclasses.replace(before.spec.file, match_paths=tuple(change)))
    after = dataclasses.replace(before, spec=spec)
    file.update(0, after)
    return file, after


def test_an_added_rule_leaves_the_rest_alone() -> None:
    old = PolicyFile.load(KEPT).policies[0].spec.file
    assert old is not None
    file, after = _edited([*old.match_paths, FilePath(path="/new: one", read_only=True)])
    assert load_policies(file.text) == [after]
    lines = file.text.splitlines()
    for comment in ("# owned by team web", "# do not rename", "# configuration", "# users", "# the log"):
        assert any(comment in line for line in lines), comment
    assert "'/var/log/x'" in file.text
    assert file.text == KEPT.replace(
        "            - path: /gone\n",
        '            - path: /gone\n            - path: "/new: one"\n              readOnly: true\n',
    )
    assert '"/new: one"' in file.text


def test_a_removed_rule_takes_only_itself() -> None:
    old = PolicyFile.load(KEPT).policies[0].spec.file
    assert old is not None
    file, after = _edited(list(old.match_paths[:2]))
    assert load_policies(file.text) == [after]
    assert file.text == KEPT.replace("            - path: /gone\n", "")


def test_a_changed_rule_keeps_its_comment() -> None:
    old = PolicyFile.load(KEPT).policies[0].spec.file
    assert old is not None
    first = dataclasses.replace(old.match_paths[0], owner_only=True)
    file, after = _edited([first, *old.match_paths[1:]])
    assert load_policies(file.text) == [after]
    assert "# users" in file.text


def test_an_invalid_edit_changes_nothing() -> None:
    file = PolicyFile.load(KEPT)
    with pytest.raises(PolicyError):
        file.update(0, dataclasses.replace(file.policies[0], spec=Spec(action="Maybe")))
    assert file.text == KEPT
