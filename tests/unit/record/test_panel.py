"""What a person sees while a recording runs and when it has ended."""

import os
import pty
import re
import struct
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from collectors.live.session import Counters
from discover.record.bottom import Bottom
from discover.record.coverage import Standing
from discover.record.panel import line, picture
from discover.record.report import lines
from discover.record.run import NOT_ASKED, Outcome, Progress

BEHAVIOURS, EVENTS, LOST = 1234, 99999, 7


def progress(**more: Any) -> Progress:
    made = Progress("command web", "lsm", Counters(BEHAVIOURS, EVENTS, LOST), elapsed=75, fresh=5, rate=12.4)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_the_panel_has_every_figure_and_its_lines_fit() -> None:
    told = progress(doing="steady", coverage="up to 9% chance that another 5 s show something new")
    for columns in (30, 60, 80, 200):
        shown = picture(told, 600, columns, color=False)
        assert all(len(row) <= columns for row in shown), columns
    text = "\n".join(picture(told, 600, 100, color=False))
    for figure in ("1:15 of 10:00", "1,234", " 5", " 12", "98,765", " 7", "steady", "9% chance", "Ctrl-C ends it"):
        assert figure in text
    colored = picture(told, 600, 100, color=True)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in colored] == picture(told, 600, 100, color=False)


def test_a_time_that_is_over_is_no_longer_compared_to_the_limit() -> None:
    assert "1:15 ─" in picture(progress(), 60, 80, color=False)[0]


def test_a_hostile_name_cannot_steer_the_terminal() -> None:
    told = progress(target="command \x1b[2J\x1b]0;owned\x07")
    assert not re.search(r"[\x00-\x1f\x7f]", "".join(picture(told, None, 80, color=False)))


def test_the_plain_line_says_the_same() -> None:
    told = line(progress(doing="steady"))
    assert told.startswith(
        "1:15  behaviours 1,234  new in the last minute 5  events/s 12  repeats absorbed 98,765  lost 7"
    )


def terminal(rows: int) -> tuple[int, int]:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    return ours, theirs


def test_the_bottom_of_a_terminal_is_kept_from_scrolling_and_given_back() -> None:
    ours, theirs = terminal(24)
    bottom = Bottom(theirs, 7)
    assert bottom.fits
    bottom.draw(["one", "two"])
    first = os.read(ours, 4096).decode()
    assert "\x1b[1;17r" in first
    assert "\x1b[18;1H\x1b[2Kone" in first
    bottom.draw(["three"])
    assert "\x1b[1;17r" not in os.read(ours, 4096).decode()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    bottom.draw(["four"])
    resized = os.read(ours, 4096).decode()
    assert "\x1b[r" in resized
    assert "\x1b[1;33r" in resized
    bottom.close()
    assert "\x1b[r\x1b[34;1H\x1b[J" in os.read(ours, 4096).decode()
    for fd in (ours, theirs):
        os.close(fd)


def test_a_terminal_that_is_too_low_gets_lines() -> None:
    ours, theirs = terminal(10)
    assert not Bottom(theirs, 7).fits
    for fd in (ours, theirs):
        os.close(fd)


def outcome(**more: Any) -> Outcome:
    plain: dict[str, Any] = {
        "path": Path("rec/web"),
        "backend": "lsm",
        "watched": {"file": {"state": "watched", "note": ""}},
        "counters": Counters(BEHAVIOURS, EVENTS),
        "losses": [],
        "ended_by": "the time was over",
    }
    return Outcome(**plain | more)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"exit_status": 3}, "command     ended with status 3"),
        ({"exit_status": -15, "stopped": True}, "command     stopped by the recorder (SIGTERM)"),
        ({"exit_status": -15}, "command     ended with SIGTERM"),
        ({"exit_status": -11, "drilled": ["crash"]}, "command     ended with SIGSEGV, as the drill crash had it"),
        ({"coverage": [Standing("u-1", 1.0, "idle")]}, "coverage    u-1: idle"),
        ({"exit_status": -11}, "command     ended with SIGSEGV"),
        ({}, "lost        nothing"),
        ({"losses": [{"unit": "u", "cause": "ring-full", "count": 5}]}, "lost        5 ring-full"),
        ({"files": {"listed": 10, "not_read": 2}}, "files       10 that exist, 2 directories by name alone"),
        ({"watched": {"capability": {"state": "unwatched", "note": "why"}}}, "unwatched   capability (why)"),
        ({"not_drilled": {"stop": NOT_ASKED}}, "not drilled stop: what trouble makes it do is not in here (--drill)"),
        ({"not_drilled": {"reload": "nobody handles SIGHUP"}}, "not drilled reload: nobody handles SIGHUP"),
        ({}, "next        discover show rec/web --summary"),
    ],
)
def test_the_closing_report(more: dict[str, Any], told: str) -> None:
    assert told in lines(outcome(**more))


def test_a_full_ring_comes_with_what_to_do() -> None:
    full = {"unit": "u", "cause": "ring-full", "count": 5}
    assert any("--ring-size" in row for row in lines(outcome(losses=[full])))
    assert not any("--ring-size" in row for row in lines(outcome()))
