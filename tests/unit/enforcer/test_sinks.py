"""Alerts to syslog and journald arrive whole, whatever names they hold."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discover.enforce import sinks
from discover.errors import DiscoverError

ALERT: dict[str, Any] = {
    "Operation": "File",
    "Resource": "/srv/a\nPRIORITY=0\n\x00\udcff",
    "Source": "/bin/cat",
    "Action": "Block",
    "PolicyName": "web",
    "Count": 3,
}


class Daemon:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.bind(str(self.path))

    def got(self) -> bytes:
        return self.socket.recv(1 << 16)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setattr(sinks, "SYSLOG", tmp_path / "log")
    monkeypatch.setattr(sinks, "JOURNAL", tmp_path / "log")
    made = Daemon(tmp_path / "log")
    yield made
    made.socket.close()


def test_syslog_gets_the_line_also_after_the_daemon_was_restarted(daemon: Daemon) -> None:
    send = sinks.sink_of("syslog")
    send(ALERT)
    head, _, line = daemon.got().partition(b"discover: ")
    assert head == b"<28>"  # daemon, warning
    assert json.loads(line) == ALERT
    daemon.socket.close()
    daemon.open()
    send(ALERT | {"Action": "Audit"})
    assert daemon.got().startswith(b"<29>discover: ")


def fields(message: bytes) -> dict[str, bytes]:
    """As journald reads its native protocol."""
    found = {}
    while message:
        name, _, rest = message.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            found[key.decode()], message = value, rest
            continue
        (length,) = struct.unpack("<Q", rest[:8])
        found[name.decode()], message = rest[8 : 8 + length], rest[9 + length :]
    return found


def test_no_name_adds_a_field_to_the_journal(daemon: Daemon) -> None:
    sinks.sink_of("journald")(ALERT)
    got = fields(daemon.got())
    assert got["PRIORITY"] == b"4"
    assert got["DISCOVER_RESOURCE"] == b"/srv/a\nPRIORITY=0\n\x00\xff"
    assert json.loads(got["DISCOVER_ALERT"]) == ALERT
    assert got["SYSLOG_IDENTIFIER"] == b"discover"


def test_where_nobody_listens_that_is_said_before_anything_is_enforced(daemon: Daemon) -> None:
    daemon.socket.close()
    daemon.path.unlink()
    for name in ("syslog", "journald"):
        with pytest.raises(DiscoverError, match="listens at"):
            sinks.sink_of(name)
