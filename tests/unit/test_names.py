"""Names as programs give them: made canonical in the workload's root, and honest where that root is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpf.object import BpfObject, object_path
from collectors.live.abi import Abi
from collectors.live.decode import Actor, Decoder, Tables
from collectors.live.paths import Root
from models.behaviour import Operation, Phase, Resolution


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "data/sub").mkdir(parents=True)
    for name, target in (
        ("link", "data"),
        ("absolute", "/data/sub"),
        ("out", "../../../etc"),
        ("loop", "loop"),
        ("data/up", ".."),
        ("jail", "data"),
    ):
        (tmp_path / name).symlink_to(target)
    return Root(str(tmp_path))


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (b"/data/f", b"/data/f"),
        (b"//data/./sub/../f", b"/data/f"),
        (b"/link/f", b"/data/f"),
        (b"/link/up/link/f", b"/data/f"),
        (b"/absolute/f", b"/data/sub/f"),
        (b"/out/passwd", b"/etc/passwd"),
        (b"/../../data/f", b"/data/f"),
        (b"/nothing/../link/f", b"/data/f"),
        (b"/link", b"/link"),
        (b"/loop/f", b"/loop/f"),
        (b"/proc/self/fd/3", b"/proc/self/fd/3"),
        (b"/", b"/"),
    ],
)
def test_canonical(root: Root, given: bytes, canonical: bytes) -> None:
    assert root.canonical(given, follow_last=False) == canonical


def test_a_last_link_is_followed_when_asked(root: Root) -> None:
    assert root.canonical(b"/link", follow_last=True) == b"/data"
    assert root.canonical(b"/absolute", follow_last=True) == b"/data/sub"


@pytest.mark.parametrize(
    ("given", "canonical"),
    [(b"/data/../../f", b"/data/f"), (b"/data/up/f", b"/data/f"), (b"/data/sub/../g", b"/data/g")],
)
def test_a_chroot_is_not_left(root: Root, given: bytes, canonical: bytes) -> None:
    assert root.canonical(given, follow_last=False, top=b"/data") == canonical


def test_a_root_that_is_gone_leaves_names_as_given() -> None:
    gone = Root(None)
    assert gone.gone
    assert not Root().gone
    assert gone.canonical(b"/link/../f", follow_last=True) == b"/f"
    assert gone.script_interpreter(b"/etc/passwd") is None
    assert gone.loader(b"/bin/sh") == (False, None)


# One record, decoded


@pytest.fixture
def abi() -> Iterator[Abi]:
    with BpfObject(object_path("observer.tracepoint")) as opened:
        yield Abi.of(opened.btf)


def decoded(abi: Abi, root: Root, flag: str, given: bytes) -> tuple[dict[str, Any], list[int]]:
    """The row of one unlink of `given`, relative to the root; the cgroups that a gone process was counted for."""
    gone: list[int] = []
    decoder = Decoder(
        abi,
        Tables(actors={7: Actor(1, 2, 3, 0, _number(abi.phases, Phase.STEADY), tty=False)}, executables={2: b"/x"}),
        unit_of=lambda _: "unit",
        root_of=lambda *_: root,
        redact=lambda argv: argv,
        clock=0,
        sees_exec=False,
        on_control=lambda *_: None,
        on_gone=gone.append,
    )
    record = np.zeros(1, abi.record)
    head = record["head"]
    head["id"], head["actor"], head["cgroup"] = 1, 7, 42
    head["kind"], head["op"] = abi.kinds["BEHAVIOUR"], _number(abi.operations, Operation.UNLINK)
    head["flags"], head["error"] = abi.flags[flag], 2 if flag == "ASKED" else 0
    head["path_at"] = abi.record["path"].itemsize  # the root itself
    head["given_length"] = len(given)
    record["given"] = given
    decoder.feed(record)
    (row,) = decoder.take().to_pylist()
    return row, gone


def _number(names: dict[int, Any], name: object) -> int:
    return next(number for number, known in names.items() if known is name)


def test_a_name_is_joined_in_its_root(abi: Abi, root: Root) -> None:
    row, gone = decoded(abi, root, "JOINED", b"/link/f")
    assert (row["path"], row["resolved"], gone) == ("/data/f", Resolution.JOINED, [])


def test_a_change_in_a_root_that_is_gone_is_counted_and_not_guessed(abi: Abi) -> None:
    row, gone = decoded(abi, Root(None), "JOINED", b"/link/f")
    assert (row["path"], row["resolved"], gone) == ("/link/f", Resolution.UNRESOLVED, [42])


def test_a_failure_there_keeps_the_name_that_was_asked_for(abi: Abi) -> None:
    row, gone = decoded(abi, Root(None), "ASKED", b"/link/f")
    assert (row["path"], row["resolved"], row["errno"], gone) == ("/link/f", Resolution.ASKED, 2, [])
