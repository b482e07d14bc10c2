"""How drills are named."""

import signal
from datetime import UTC, datetime

import pytest

from collectors.drills import Drill, DrillError, DrillResult, not_drilled, parse


def test_parse() -> None:
    assert parse("stop, reload,rotate=usr2") == [Drill("reload"), Drill("rotate", signal.SIGUSR2), Drill("stop")]
    assert parse("rotate=SIGHUP") == parse("rotate=1") == [Drill("rotate", signal.SIGHUP)]
    assert [d.name for d in parse("crash,rotate,stop,reload")] == ["rotate", "reload", "crash", "stop"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("relaod", "there is no drill relaod", "did you mean reload?"),
        ("x", "there is no drill x", "drills: reload, rotate, stop, crash"),
        ("rotate=USR9", "there is no signal USR9", "for example rotate=USR1 or rotate=HUP"),
        ("rotate=", "there is no signal ", "for example rotate=USR1 or rotate=HUP"),
        ("rotate=999", "there is no signal 999", "for example rotate=USR1 or rotate=HUP"),
        ("stop=KILL", "the drill stop takes no signal", "only rotate does, as in rotate=USR1"),
        (",", "no drill was named", "drills: reload, rotate, stop, crash"),
    ],
)
def test_parse_refuses(text: str, message: str, hint: str) -> None:
    with pytest.raises(DrillError) as error:
        parse(text)
    assert (str(error.value), error.value.hint) == (message, hint)


def test_not_drilled() -> None:
    now = datetime.now(UTC)
    results = [DrillResult("reload", True, now, now, "fine"), DrillResult("stop", False, now, now, "gone")]
    assert not_drilled(results) == {"rotate": "not asked for", "stop": "gone", "crash": "not asked for"}
