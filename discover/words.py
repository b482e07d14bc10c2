"""How reports say numbers and accesses."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence

from models.behaviour import Phase
from models.policy import PROTOCOLS, SOCKET_TYPES, Access, Op
from models.policy.access import NETWORK_OPS

__all__ = ["access_words", "aligned", "in_order", "listed", "many", "percent", "share", "socket_words"]

_FAMILIES = {
    socket.AF_UNIX: "unix",
    socket.AF_INET: "inet",
    socket.AF_INET6: "inet6",
    getattr(socket, "AF_NETLINK", 16): "netlink",
    getattr(socket, "AF_PACKET", 17): "packet",
}
_TYPES = {v: k for k, v in SOCKET_TYPES.items()} | {1: "stream", 2: "dgram", 3: "raw", 5: "seqpacket"}
_PROTOCOLS = {v: k for k, v in PROTOCOLS.items()}


def many(count: int, thing: str, things: str = "") -> str:
    """``1 unit``, ``2,000 units``."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def share(part: int, whole: int) -> str:
    """``3 of 1,200``."""
    return f"{part:,} of {whole:,}"


def percent(value: float) -> str:
    """A share between 0 and 1 without false precision: ``0%``, ``0.4%``, ``14%``, ``< 0.1%``."""
    if 0 < value < 0.0005:
        return "< 0.1%"
    return f"{value:.1%}" if 0 < value < 0.0995 else f"{value:.0%}"


def listed(items: Iterable[object], limit: int = 6) -> str:
    """``a, b and 3 more``."""
    texts = [str(i) for i in items]
    more = f" and {len(texts) - limit:,} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def in_order(phases: Iterable[str]) -> tuple[str, ...]:
    """The phases, each once, as they follow each other in a unit's life."""
    found = set(phases)
    return tuple(p for p in Phase if p in found)


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ") -> Iterator[str]:
    """Rows of text as columns parted by two spaces."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def socket_words(access: Access) -> str:
    """``inet stream tcp``."""
    family = _FAMILIES.get(access.family, f"family {access.family}")
    kind = _TYPES.get(access.type, f"type {access.type}")
    protocol = _PROTOCOLS.get(access.protocol, str(access.protocol)) if access.protocol else ""
    return " ".join(w for w in (family, kind, protocol) if w)


def access_words(access: Access) -> str:
    """An access in a few words: ``open /etc/passwd (read)``, ``exec /bin/sh from /usr/bin/gunicorn``."""
    if access.op in NETWORK_OPS:
        return f"{access.op} {access.dns or socket_words(access)}"
    if access.op is Op.CAPABLE:
        return f"use capability {access.capability}"
    if access.op is Op.EXEC:
        return f"exec {access.path}"
    if access.op is Op.OPEN:
        parts = {"read": access.read, "write": access.write, "create": access.create, "truncate": access.truncate}
        return f"open {access.path} ({'+'.join(n for n, yes in parts.items() if yes) or 'no mode'})"
    return f"{access.op} {access.path}"
