"""What a container runtime does inside a container at an exec or an exec probe.

KubeArmor judges it like the workload's own behaviour, because runc has joined the container's namespaces by then; under
an allow-list without rules for it every exec fails, health probes included. The list is what a real KubeArmor v1.7.4
denied or saw of runc (Docker and containerd, kernel 6.1). The project's own enforcer does not judge the runtime.
"""

from __future__ import annotations

import socket
from typing import Any

from models.policy import Access, Op

__all__ = ["AT_EXEC", "RULES"]

_NETLINK = getattr(socket, "AF_NETLINK", 16)


def _read(path: str, *, directory: bool = False) -> Access:
    return Access(op=Op.OPEN, path=path, read=True, directory=directory, owner_match=True)


AT_EXEC: tuple[Access, ...] = (
    _read("/proc/4711/fd", directory=True),
    _read("/proc/filesystems"),
    _read("/proc/sys/kernel/cap_last_cap"),
    _read("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"),
    Access(op=Op.SOCKET, family=socket.AF_UNIX, type=socket.SOCK_STREAM),
    Access(op=Op.SOCKET, family=_NETLINK, type=socket.SOCK_RAW),
)
"""The accesses; 4711 stands for the pid, which is another each time."""

RULES: dict[str, Any] = {
    "file": {
        "matchPaths": [
            {"path": "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "readOnly": True, "action": "Allow"}
        ],
        "matchDirectories": [{"dir": "/proc/", "recursive": True, "readOnly": True, "action": "Allow"}],
    },
    "network": {
        "matchProtocols": [{"protocol": "tcp", "action": "Allow"}, {"protocol": "raw", "action": "Allow"}],
    },
}
"""The rules that admit all of it under KubeArmor, as plain data: the pid varies, so only ``/proc/`` as a whole holds
it; an AF_UNIX stream counts as tcp, a netlink socket as raw."""
