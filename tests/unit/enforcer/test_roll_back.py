"""What ends a Block that nobody has confirmed, as far as it happens in user space."""

from __future__ import annotations

import signal
import time

import pytest

from discover.enforce import probe
from discover.enforce.control import said
from discover.enforce.probe import Probe
from discover.errors import UsageError
from enforcer.bpf_lsm.domains import Failure


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_EVERY", 0.0)
    monkeypatch.setattr(probe, "_SECONDS", 0.2)


def test_three_failures_in_a_row_are_a_loss(quick: None) -> None:
    asked = Probe("sh -c 'echo not there >&2; exit 3'")
    assert [asked.lost() for _ in range(3)] == ["", "", f"`{asked.command}` ended with 3: not there"]


def test_one_success_and_it_begins_again(quick: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    mark = tmp_path_factory.mktemp("probe") / "up"
    asked = Probe(f"cat {mark}")
    assert [asked.lost() for _ in range(2)] == ["", ""]
    mark.write_text("")
    assert asked.lost() == ""
    mark.unlink()
    assert [bool(asked.lost()) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("command", "words"), [("sleep 5", "took longer than 0 s"), ("/no/such/program", "No such file or directory")]
)
def test_what_went_wrong_is_said(quick: None, command: str, words: str) -> None:
    asked = Probe(command)
    assert [words in asked.lost() for _ in range(3)] == [False, False, True]


def test_it_is_asked_once_a_second_at_most() -> None:
    asked = Probe("false")
    began = time.monotonic()
    assert [asked.lost() for _ in range(50)] == [""] * 50
    assert time.monotonic() - began < 0.9


def test_an_empty_probe_is_refused() -> None:
    with pytest.raises(UsageError, match="the probe is empty"):
        Probe("  ")


def failure(why: str, code: int = 0) -> Failure:
    return Failure(why, 42, "ng\x1binx", code, 7)


def test_why_a_block_ended_is_said_without_the_workloads_control_characters() -> None:
    assert said(failure("denials")) == "7 denials"
    assert said(failure("probe")) == "its probe failed"
    assert said(failure("crash", signal.SIGSEGV | 0x80)) == "ng\\x1binx (42) was killed by SIGSEGV"
    assert said(failure("crash", 3 << 8)) == "ng\\x1binx (42) ended with 3"
