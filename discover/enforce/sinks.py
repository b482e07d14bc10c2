"""Where alerts go beside the file in which they are kept."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from discover.errors import DiscoverError

__all__ = ["SINKS", "Sink", "sink_of"]

SINKS = ("stdout", "file", "syslog", "journald")
Sink = Callable[[dict[str, Any]], None]
SYSLOG, JOURNAL = Path("/dev/log"), Path("/run/systemd/journal/socket")
_DAEMON = 3
"""Facility (RFC 5424)."""
_WARNING, _NOTICE = 4, 5


def sink_of(name: str) -> Sink:
    """What takes an alert. Raises `DiscoverError` where nobody listens: alerts that nobody gets are not missed."""
    match name:
        case "file":
            return lambda _alert: None  # it is kept there by whoever takes it from the kernel
        case "syslog":
            return _Syslog(SYSLOG)
        case "journald":
            return _Journal(JOURNAL)
    return lambda alert: click.echo(json.dumps(alert))


def _connected(path: Path, what: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        made.connect(str(path))
    except OSError as error:
        made.close()
        raise DiscoverError(
            f"nothing of {what} listens at {path}: {error.strerror}", "--alerts-to file, or stdout, works everywhere"
        ) from None
    return made


def _priority(alert: dict[str, Any]) -> int:
    return _WARNING if alert["Action"] == "Block" else _NOTICE


class _Syslog:
    """The local syslog: the alert's JSON line as the message (RFC 3164, without the time, which the daemon adds)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = _connected(path, "syslog")

    def __call__(self, alert: dict[str, Any]) -> None:
        line = f"<{_DAEMON << 3 | _priority(alert)}>discover: {json.dumps(alert)}".encode()
        try:
            self._socket.send(line)
        except OSError:  # the daemon was restarted
            self._socket.close()
            self._socket = _connected(self._path, "syslog")
            self._socket.send(line)


class _Journal:
    """systemd's journal: MESSAGE for people, DISCOVER_ALERT the JSON line, and a field for what one searches by."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = _connected(path, "journald")

    def __call__(self, alert: dict[str, Any]) -> None:
        what = f"{alert['Operation']} {alert['Resource']}"
        count = f" ({alert['Count']} times)" if alert["Count"] > 1 else ""
        fields = {
            "MESSAGE": f"{alert['Action']}: {alert['Source']}: {what}, by {alert['PolicyName']}{count}",
            "PRIORITY": str(_priority(alert)),
            "SYSLOG_IDENTIFIER": "discover",
            "DISCOVER_ALERT": json.dumps(alert),
            **{
                f"DISCOVER_{n.upper()}": str(alert[n])
                for n in ("PolicyName", "Operation", "Resource", "Source", "Action")
            },
        }
        message = b"".join(_field(name, value) for name, value in fields.items())
        try:
            self._socket.send(message)
        except OSError:
            self._socket.close()
            self._socket = _connected(self._path, "journald")
            self._socket.send(message)


def _field(name: str, value: str) -> bytes:
    """A field with its length before its value, so that no line break of a name begins another field."""
    raw = value.encode("utf-8", "surrogateescape")
    return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
