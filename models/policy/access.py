"""One access of a workload, as a policy sees it: the question that every decision answers.

`Access` holds what the kernel knows at the security hook. Its operations carry the names of the behaviour dataset, so
a dataset row becomes an access without translation. A rename or a link may be asked as one access with two paths
(`Op.RENAME`, `Op.LINK`) or as its two halves; both names are judged either way.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CREATES_NAME", "FILE_OPS", "NETWORK_OPS", "UNJUDGED", "Access", "Op", "PolicyClass"]


class PolicyClass(StrEnum):
    """A class of accesses: one Allow rule in it turns it into an allow-list."""

    PROCESS = "process"
    FILE = "file"
    NETWORK = "network"
    DNS = "dns"
    """Names asked for over DNS: ``network.matchDNSQueries``, an allow-list of its own beside the protocols."""
    CAPABILITIES = "capabilities"
    SYSCALLS = "syscalls"
    """Only ever audited."""


class Op(StrEnum):
    """What was done. The values are those of the dataset's ``op`` column where it has one."""

    EXEC = "exec"
    OPEN = "open"
    WRITE = "file-write"
    """A write to an open file: KubeArmor judges it (``file_permission``), the dataset does not record it."""
    MMAP_EXEC = "mmap-exec"
    MPROTECT_EXEC = "mprotect-exec"
    TRUNCATE = "truncate"
    UNLINK = "unlink"
    RENAME = "rename"
    RENAME_FROM = "rename-from"
    RENAME_TO = "rename-to"
    LINK = "link"
    LINK_FROM = "link-from"
    LINK_TO = "link-to"
    SYMLINK = "symlink"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    MKNOD = "mknod"
    CHMOD = "chmod"
    CHOWN = "chown"
    SETXATTR = "setxattr"
    STAT = "stat"
    SOCKET = "socket"
    CONNECT = "connect"
    BIND = "bind"
    LISTEN = "listen"
    ACCEPT = "accept"
    SEND = "send"
    CAPABLE = "capable"
    SYSCALL = "syscall"


NETWORK_OPS = frozenset({Op.SOCKET, Op.CONNECT, Op.BIND, Op.LISTEN, Op.ACCEPT, Op.SEND})
UNJUDGED = frozenset({Op.STAT, Op.MMAP_EXEC, Op.MPROTECT_EXEC})
"""Never judged, in either dialect: a mapping was judged when its file was opened, and a look at metadata is free."""
FILE_OPS = frozenset(Op) - NETWORK_OPS - UNJUDGED - {Op.EXEC, Op.CAPABLE, Op.SYSCALL}
CREATES_NAME = frozenset({Op.MKDIR, Op.MKNOD, Op.SYMLINK, Op.LINK_TO, Op.RENAME_TO})
"""The operations whose path may not exist yet; ownership is then that of the directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One access.

    Paths are text as the kernel resolved them, seen from the workload's root; undecodable bytes are surrogates
    (``surrogateescape``). An object without a path in any mount namespace (memfd, pipe) has a path that does not begin
    with ``/``.
    """

    op: Op
    path: str = ""
    """The object. For an exec: the binary, or the script itself, as the kernel resolved it."""
    target: str = ""
    """The second name of `Op.RENAME` and `Op.LINK`."""
    source: str = ""
    """The executable of the task that did it. Empty if unknown: then no ``fromSource`` matches."""
    parent: str = ""
    """The executable of that task's parent: what ``fromSource`` of a process rule compares."""
    read: bool = False
    write: bool = False
    """`read` and `write` are the mode of an open; other operations do not need them."""
    create: bool = False
    """An open that made the file (``O_CREAT`` on a name that was free)."""
    truncate: bool = False
    """An open with ``O_TRUNC``."""
    directory: bool = False
    uid: int = 0
    owner_match: bool | None = None
    """Whether `uid` owns the object. None: the object does not exist yet, or it is not known."""
    parent_owner_match: bool | None = None
    """Whether `uid` owns the directory that holds the name."""
    tty: bool = False
    """Whether the task has a controlling terminal."""
    argv: tuple[str, ...] | None = None
    """Arguments of an exec including ``argv[0]``; None if unknown."""
    overlay: bool = False
    """The object lives on overlayfs (a file of the image): the kernel fires ``file_open`` twice for it."""
    copy_up: bool = False
    """The first write to a file of the image: overlayfs copies it up through a temporary file of another path."""
    family: int = socket.AF_INET
    type: int = 0
    """``SOCK_*`` without flags. Connections and the rest carry the socket's."""
    protocol: int = 0
    """As given to ``socket()``; for later operations the protocol that the kernel chose (tcp is 6, unix is 0)."""
    dns: str = ""
    """The name asked for, when a `Op.SEND` is a DNS query."""
    capability: str = ""
    """Without ``cap_``, in lower case."""
    syscall: str = ""
    """Name of the system call; `path` is then its path argument."""

    @property
    def policy_class(self) -> PolicyClass | None:
        """The class that judges this access first; None if no class ever does."""
        op = self.op
        if op is Op.EXEC:
            return PolicyClass.PROCESS
        if op in FILE_OPS:
            return PolicyClass.FILE
        if op is Op.SEND:
            return PolicyClass.DNS if self.dns else None
        if op in NETWORK_OPS:
            return PolicyClass.NETWORK
        if op is Op.CAPABLE:
            return PolicyClass.CAPABILITIES
        return PolicyClass.SYSCALLS if op is Op.SYSCALL else None
