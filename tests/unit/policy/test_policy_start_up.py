"""Executables that fall away once a workload is ready."""

import pytest

from models.policy import (
    START_UP,
    Access,
    Dialect,
    KubeArmorPolicy,
    Metadata,
    Op,
    Policy,
    Posture,
    Spec,
    after_start_up,
    compile,  # noqa: A004 - as in re.compile
    dump_policies,
    load_policies,
    start_up_annotation,
    start_up_paths,
)
from models.policy.fields import from_document


def policy(*paths: str, falling: str | None, **more: object) -> Policy:
    process = {"matchPaths": [{"path": p} for p in paths], "action": "Allow", **more}
    annotations = None if falling is None else {START_UP: falling}
    return KubeArmorPolicy(
        metadata=Metadata(name="p", annotations=annotations), spec=from_document(Spec, {"process": process})
    )


def allowed(policies: list[Policy], path: str) -> bool:
    ruleset = compile(policies, Posture.all("block"), Dialect.DISCOVER)
    return ruleset.decide(Access(op=Op.EXEC, path=path, source="/x", parent="/x")).allowed


def test_a_shell_falls_away_and_the_service_stays() -> None:
    before = [policy("/bin/sh", "/usr/sbin/nginx", falling=start_up_annotation(["/bin/sh"]))]
    later = after_start_up(before)
    assert later is not None
    assert [allowed(before, p) for p in ("/bin/sh", "/usr/sbin/nginx", "/bin/cat")] == [True, True, False]
    assert [allowed(later, p) for p in ("/bin/sh", "/usr/sbin/nginx", "/bin/cat")] == [False, True, False]


def test_a_class_of_which_nothing_stays_is_no_open_class() -> None:
    before = [policy("/bin/sh", falling=start_up_annotation(["/bin/sh"]))]
    later = after_start_up(before)
    assert later is not None
    assert not allowed(later, "/bin/sh")
    assert not allowed(later, "/bin/cat")


def test_a_directory_that_allows_it_all_the_same_is_kept() -> None:
    directories = [{"dir": "/bin/", "action": "Allow"}]
    before = [policy("/bin/sh", falling=start_up_annotation(["/bin/sh"]), matchDirectories=directories)]
    later = after_start_up(before)
    assert later is not None
    assert allowed(later, "/bin/sh")


def test_without_an_annotation_nothing_falls_away() -> None:
    assert after_start_up([policy("/bin/sh", falling=None)]) is None
    assert after_start_up([policy("/bin/sh", falling=start_up_annotation(["/bin/other"]))]) is None


@pytest.mark.parametrize("text", ["/bin/sh", "{}", "[1]", "", "null"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no JSON list of paths"):
        start_up_paths(policy("/bin/sh", falling=text))


def test_it_comes_back_from_yaml() -> None:
    written = policy("/bin/sh", "/a", falling=start_up_annotation(["/bin/sh", '/é "x"']))
    (again,) = load_policies(dump_policies([written]))
    assert start_up_paths(again) == {"/bin/sh", '/é "x"'}
