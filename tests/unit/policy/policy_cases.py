"""KubeArmor's own cases as accesses: what each command of ``conformance/cases.json`` does.

Only what the case is about is translated: the binaries executed, the file named, the socket and capability needed. What
a program needs besides (loader, libraries, locale, tty, ``/proc``) is left out, because the expectations were written
for AppArmor, whose base abstraction grants it.

The fixture's shell is bash. ``bash -c X`` executes without a fork, so the parent of X is the outer shell; dash of the
fixture's time forks.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.policy import Access, Op

BINARIES = {
    **{name: f"/bin/{name}" for name in ("bash", "cat", "dash", "date", "ls", "ping", "sleep", "su", "uname")},
    **{name: f"/usr/bin/{name}" for name in ("curl", "diff", "env", "head", "wget", "whoami")},
    "arping": "/usr/sbin/arping",
    "route": "/sbin/route",
}
USER1 = 1000
AF_INET, AF_PACKET = 2, 17
STREAM, DGRAM, RAW = 1, 2, 3
ICMP, TCP, UDP = 1, 6, 17


@dataclass(frozen=True)
class Shell:
    """Who runs a command."""

    exe: str = "/bin/bash"
    uid: int = 0
    cwd: str = "/"


def accesses(command: str, shell: Shell = Shell()) -> Iterator[Access]:
    """Yield what a command line of the cases does, run by a shell."""
    if "$(" in command:  # only the command inside matters to the case that has one
        yield from accesses(command[command.index("$(") + 2 : command.index(")")], shell)
        return
    words = shlex.split(command)
    if ">>" in words or ">" in words:  # the shell opens the file, echo is built in
        target = _absolute(words[-1], shell)
        appended = ">>" in words
        yield _file(shell.exe, target, shell, write=True, truncate=not appended)
        return
    if words[0] == "su":
        yield _exec(BINARIES["su"], shell)
        user = Shell(uid=USER1, cwd="/home/user1")
        yield replace(_exec(BINARIES["bash"], user), source=BINARIES["su"], parent=BINARIES["su"])
        yield from accesses(words[words.index("-c") + 1], user)
        return
    exe = BINARIES.get(words[0]) or _absolute(words[0], shell)
    yield _exec(exe, shell)
    if words[0] in ("bash", "dash"):
        forks = words[0] == "dash"
        inner = Shell(exe, shell.uid, shell.cwd)
        first, *rest = accesses(words[words.index("-c") + 1], inner)
        yield first if forks else replace(first, parent=shell.exe)
        yield from rest
    elif words[0] in ("cat", "head"):
        yield _file(exe, _absolute(words[-1], shell), shell)
    elif words[0].endswith("readwrite"):
        yield _file(exe, _absolute(words[2], shell), shell, write=words[1] == "-w")
    elif words[0] in ("curl", "wget"):
        yield from _fetch(exe, words, shell)
    elif words[0] == "ping":
        yield _socket(exe, shell, RAW, ICMP)
        yield Access(op=Op.CAPABLE, source=exe, uid=shell.uid, capability="net_raw")
    elif words[0] == "arping":
        yield replace(_socket(exe, shell, RAW, 0), family=AF_PACKET)
        yield Access(op=Op.CAPABLE, source=exe, uid=shell.uid, capability="net_raw")


def _absolute(path: str, shell: Shell) -> str:
    path = path.removeprefix("./")
    return path if path.startswith("/") else f"{shell.cwd.rstrip('/')}/{path}"


def _owned(path: str, uid: int) -> bool:
    return (USER1 if path.startswith("/home/user1") else 0) == uid


def _exec(exe: str, shell: Shell) -> Access:
    return Access(
        op=Op.EXEC, path=exe, source=shell.exe, parent=shell.exe, uid=shell.uid, owner_match=_owned(exe, shell.uid)
    )


def _file(source: str, path: str, shell: Shell, *, write: bool = False, truncate: bool = False) -> Access:
    owned = _owned(path, shell.uid)
    base = Access(op=Op.OPEN, path=path, source=source, uid=shell.uid, owner_match=owned)
    return replace(base, read=not write, write=write, truncate=truncate)


def _socket(source: str, shell: Shell, kind: int, protocol: int) -> Access:
    return Access(op=Op.SOCKET, source=source, uid=shell.uid, family=AF_INET, type=kind, protocol=protocol)


def _fetch(exe: str, words: list[str], shell: Shell) -> Iterator[Access]:
    host = words[-1]
    if not host.replace(".", "").isdigit():
        yield _socket(exe, shell, DGRAM, UDP)
    yield _socket(exe, shell, STREAM, TCP)
    yield replace(_socket(exe, shell, STREAM, TCP), op=Op.CONNECT)
