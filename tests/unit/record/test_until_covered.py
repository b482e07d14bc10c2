"""When a recording says that it has seen enough, and when it must not."""

import random

import numpy as np
import pytest

from discover.record.coverage import Coverage, blocks_for, shape
from models.behaviour import SEGMENT


class Unit:
    """Behaviours of one unit as the recorder sees them, and the kernel's counts."""

    def __init__(self, chance: float = 0.1) -> None:
        self.coverage = Coverage(chance, lambda: ["web-1"])
        self.counts: dict[int, int] = {}
        self.known: dict[tuple[str, str], int] = {}

    def does(self, op: str, path: str, phase: str = "steady", errno: int = 0) -> None:
        key = self.known.setdefault((op, path), len(self.known) + 1)
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.counts[key] == 1:
            row = dict.fromkeys(SEGMENT.names) | {"key": key, "unit": "web-1", "phase": phase, "exe": "/bin/web"}
            self.coverage.rows([row | {"op": op, "path": path, "errno": errno}])

    def slot(self) -> None:
        ids = np.array(list(self.counts), "u8")
        self.coverage.look(ids, np.array(list(self.counts.values()), "u8"))

    @property
    def why(self) -> str:
        return self.coverage.standings()[0].why


def test_the_same_work_over_and_over_is_enough_after_as_many_slots_as_the_promise_takes() -> None:
    unit = Unit()
    for n in range(blocks_for(0.1)):
        assert not unit.coverage.enough(), n
        for path in ("/a", "/b", "/c"):
            unit.does("open", path)
        unit.slot()
    assert unit.coverage.enough()
    assert unit.coverage.standings()[0].chance <= 0.1


def test_something_new_every_now_and_then_is_not_enough() -> None:
    unit = Unit()
    for n in range(400):
        unit.does("open", "/a")
        if n % 20 == 0:
            unit.does("open", f"/etc/{'abcdefghijklmnopqrstuvwxyz'[n // 20]}")
        unit.slot()
        assert not unit.coverage.enough()
    assert "chance" in unit.why


def test_one_surprise_does_not_keep_it_for_ever() -> None:
    unit = Unit()
    for n in range(300):
        unit.does("open", "/a")
        if n == 40:
            unit.does("open", "/once")
        unit.slot()
    assert unit.coverage.enough()


def test_idleness_is_never_enough() -> None:
    unit = Unit()
    unit.does("open", "/a")
    for _ in range(1000):
        unit.slot()
    assert not unit.coverage.enough()
    assert "more of activity" in unit.why
    nothing = Unit()
    for _ in range(1000):
        nothing.slot()
    assert not nothing.coverage.enough()
    assert nothing.why == "nothing done in its steady phase so far"


def test_a_server_that_served_nobody_is_never_covered_though_it_is_busy_with_itself() -> None:
    unit = Unit()
    unit.does("listen", "", phase="start-up")
    unit.does("accept", "", errno=11)
    for _ in range(400):
        unit.does("open", "/proc/self/stat")
        unit.does("accept", "", errno=11)
        unit.slot()
    assert not unit.coverage.enough()
    assert "accepted nothing" in unit.why
    unit.does("accept", "x")
    unit.slot()
    assert unit.coverage.enough()


def test_starting_is_no_sample_of_what_follows() -> None:
    unit = Unit()
    for n in range(500):
        unit.does("open", f"/start/{n}", phase="start-up")
        unit.slot()
    assert not unit.coverage.enough()


def test_names_that_are_new_every_time_in_one_shape_are_one_behaviour() -> None:
    rng, unit = random.Random(1), Unit()
    for _ in range(100):
        unit.does("open", f"/var/up/{rng.randbytes(8).hex()}.tmp")
        unit.slot()
    assert unit.coverage.enough()
    assert shape("/var/up/1f3a9c.tmp") == shape("/var/up/90abff12.tmp") == "/var/up/#.tmp"
    assert shape("/etc/nginx/nginx.conf") == "/etc/nginx/nginx.conf"
    assert shape("/tmp/sess_aQ3bX") == shape("/tmp/sess_9")


def test_nothing_that_runs_is_not_enough() -> None:
    assert not Coverage(0.1, list).enough()


def test_a_smaller_chance_takes_longer() -> None:
    assert blocks_for(0.1) == 58
    assert blocks_for(0.01) > 9 * blocks_for(0.1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        blocks_for(0)
