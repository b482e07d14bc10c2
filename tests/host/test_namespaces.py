"""Mount namespaces that are held: names resolve in them after the last process has gone."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.live import namespaces
from collectors.live.namespaces import Namespaces, namespace_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes mount namespaces: needs root")

RECORD = np.dtype([("tid", "<u4"), ("mount_namespace", "<u4")])


class Told:
    """A ring of one's own: what `tell` was called with."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0)
        self.tids: list[int] = []

    def tell(self, tid: int) -> None:
        self.tids.append(tid)
        os.eventfd_write(self.fd, 1)

    def view(self) -> tuple[np.ndarray, int]:
        os.eventfd_read(self.fd)
        return np.array([(tid, 0) for tid in self.tids], RECORD), len(self.tids)

    def advance(self, slots: int) -> None:
        del self.tids[:slots]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def held(told: Told) -> Iterator[Namespaces]:
    before = descriptors()
    made = Namespaces(told, told.fd)  # type: ignore[arg-type]
    made.start()
    yield made
    made.close()
    assert descriptors() == before
    assert not any(thread.name == "namespaces" for thread in threading.enumerate())


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``brief(script)``: a shell in a mount namespace of its own, which has a tmpfs at ``tmp_path/m`` with links."""
    (tmp_path / "m").mkdir()
    started = []

    def start(script: str = "") -> subprocess.Popen[bytes]:
        make = f"mount -t tmpfs x {tmp_path}/m && mkdir {tmp_path}/m/real && ln -s real {tmp_path}/m/link"
        command = ["unshare", "-m", "sh", "-c", f"{make}; {script or ':'}; echo made; read _"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"made\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def number_of(child: subprocess.Popen[bytes]) -> int:
    number = namespace_of(child.pid)
    assert number is not None
    return number


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_name_resolves_when_all_have_gone(
    held: Namespaces, told: Told, brief: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    child = brief()
    number = number_of(child)
    assert held.root(number) is None
    told.tell(child.pid)
    until(lambda: held.root(number))
    child.communicate(b"\n")
    held.turn()
    root = held.root(number)
    assert root is not None
    assert not (tmp_path / "m/link").exists()
    name = os.fsencode(tmp_path)
    assert root.canonical(name + b"/m/link/f", follow_last=False) == name + b"/m/real/f"


def test_a_new_root_is_looked_at_in_the_next_turn(
    held: Namespaces, brief: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    child = brief()
    held.hold(child.pid)
    number = number_of(child)
    root = held.root(number)
    assert root is not None
    assert held.root(number) is root
    assert root.canonical(b"/link/f", follow_last=False) == b"/link/f"
    pivot = f"mkdir {tmp_path}/m/old && cd {tmp_path}/m && pivot_root . old"
    subprocess.run(["nsenter", f"--mount=/proc/{child.pid}/ns/mnt", "sh", "-c", pivot], check=True)
    held.turn()
    root = held.root(number)
    assert root is not None
    assert root.canonical(b"/link/f", follow_last=False) == b"/real/f"


def test_let_go_of_once_empty_and_read(held: Namespaces, brief: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = brief()
    number = number_of(child)
    held.hold(child.pid)
    for _ in range(3):
        held.release([child.pid])
    assert held.root(number)
    held.release([])
    assert held.root(number), "records of it may not have been read yet"
    held.release([])
    assert held.root(number) is None


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_the_own_namespace_and_processes_that_have_gone_are_not_held(held: Namespaces) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    before = descriptors()
    held.hold(child.pid)
    held.hold(os.getpid())
    assert descriptors() == before
    assert held.own is not None
    assert held.root(held.own) is None


def test_no_more_than_some(
    told: Told, brief: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "_MOST", 1)
    made = Namespaces(told, told.fd)  # type: ignore[arg-type]
    first, second = brief(), brief("true")
    for child in (first, second):
        made.hold(child.pid)
    assert made.root(number_of(first))
    assert made.root(number_of(second)) is None
    made.close()
