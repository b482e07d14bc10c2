"""How often a kind of alert is told."""

from __future__ import annotations

from enforcer.bpf_lsm.pace import Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def told_at(pace: Pace, clock: Clock, seconds: float, step: float = 0.2) -> list[float]:
    """When a kind that goes on happening is told, in seconds from now."""
    begun, found = clock.now, []
    for n in range(round(seconds / step)):
        clock.now = begun + n * step
        if pace.is_due(b"kind"):
            pace.told(b"kind")
            found.append(round(clock.now - begun))
    return found


def test_a_kind_that_goes_on_is_told_at_once_and_then_less_and_less() -> None:
    clock = Clock()
    assert told_at(Pace(clock), clock, 300) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_kinds_have_pauses_of_their_own() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.told(b"one")
    assert not pace.is_due(b"one")
    assert pace.is_due(b"other")
    pace.forget(b"one")
    assert pace.is_due(b"one")


def test_a_kind_that_rested_is_told_as_at_first() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert told_at(pace, clock, 10) == [0, 1, 3, 7]
    clock.now += 100
    assert told_at(pace, clock, 5) == [0, 1, 3]
