"""AppArmor's log: what it denied, would have denied or was asked to tell, one record each.

Read from the kernel's audit multicast group (audit(7), AUDIT_NLGRP_READLOG, Linux 3.16), where nothing is rate-limited
as it is on the console, with or without an audit daemon.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from enforcer.errors import EnforceError

__all__ = ["Entry", "Log", "parse"]

_NETLINK_AUDIT = 9
_READLOG = 1 << 0
_AVC, _APPARMOR = 1400, range(1500, 1508)
_HEADER = struct.Struct("=IHHII")
_FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
_TEXT = frozenset({"profile", "name", "comm", "target", "info", "peer"})


@dataclass(frozen=True)
class Entry:
    """One record. `verdict`: DENIED, ALLOWED (complain) or AUDIT; `when` is Unix time."""

    verdict: str
    when: float
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


def parse(text: str) -> Entry | None:
    """Read the text of a record; None if it is not AppArmor's.

    A name that holds a quote, a space or a control character stands in hexadecimal, so that it ends nothing.
    """
    head, _, rest = text.partition("): ")
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(rest):
        quoted = value.startswith('"')
        hidden = not quoted and name in _TEXT and _HEX.fullmatch(value)
        text = bytes.fromhex(value).decode("utf-8", "surrogateescape") if hidden else value.strip('"')
        fields.setdefault(name, text)
    if fields.get("apparmor") not in ("DENIED", "ALLOWED", "AUDIT"):
        return None
    when = re.match(r"audit\((\d+\.\d+)", head)
    return Entry(fields["apparmor"], float(when[1]) if when else 0.0, fields)


class Log:
    """Listens from now on."""

    def __init__(self) -> None:
        self.lost = 0
        """How often records came faster than they were taken, and some were lost."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_AUDIT)
        try:
            with contextlib.suppress(OSError):  # SO_RCVBUFFORCE, past the limit for others
                self._socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            self._socket.bind((0, _READLOG))
        except OSError as error:
            self._socket.close()
            raise EnforceError(
                f"the kernel's audit log cannot be read: {error.strerror}", "it needs CAP_AUDIT_READ"
            ) from None
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def take(self) -> list[Entry]:
        """What has come since the last call."""
        found: list[Entry] = []
        while True:
            try:
                message = self._socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != 105:  # ENOBUFS
                    raise
                self.lost += 1
                continue
            _, kind, _, _, _ = _HEADER.unpack_from(message)
            if kind == _AVC or kind in _APPARMOR:
                text = message[_HEADER.size :].rstrip(b"\0\n").decode("utf-8", "surrogateescape")
                if entry := parse(text):
                    found.append(entry)
