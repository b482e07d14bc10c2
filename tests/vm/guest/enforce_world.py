"""A small world of real files, agents in it, and random policies and accesses about it: what the oracle is made of."""

from __future__ import annotations

import os
import pty
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.policy import Access, Op, Policy

WORLD = Path("/tmp/o")
BIN = Path("/tmp/o-bin")
LONG = "n" * 120
DIRECTORIES = ("", "a", "a/b", "b", "b/a", f"b/{LONG}", f"b/{LONG}/{LONG}", "é")
FILES = ("f", "tmp-1", "x.log", "run")
FREE = ("new", "new-1")
NOOP = 'void _start(void) { __asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall"); }'
USERS = (0, 1000)
SOCKETS = (
    (socket.AF_INET, socket.SOCK_STREAM, 6),
    (socket.AF_INET, socket.SOCK_DGRAM, 17),
    (socket.AF_UNIX, socket.SOCK_STREAM, 0),
    (socket.AF_UNIX, socket.SOCK_DGRAM, 0),
    (socket.AF_INET, socket.SOCK_RAW, 1),
    (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0),
)
"""As judged.c makes them, with the protocol that the kernel chose."""
CREATED = (
    *((f, t, 0) for f in (socket.AF_INET, socket.AF_UNIX, socket.AF_INET6) for t in (1, 2)),
    *((socket.AF_INET, 1, p) for p in (6, 132, 262)),
    *((socket.AF_INET, 3, p) for p in (1, 255)),
    *((socket.AF_NETLINK, 3, 0), (socket.AF_NETLINK, 3, 6), (socket.AF_UNIX, 5, 0), (socket.AF_PACKET, 3, 768)),
)
CAPABILITIES = ("sys_admin", "sys_nice", "sys_chroot")


class World:
    """The files. Those with an even number are one inode of root's, the others one of uid 1000's."""

    def __init__(self) -> None:
        for folder in (WORLD, BIN):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.masters = [BIN / "master-0", BIN / "master-1"]
        source = BIN / "noop.c"
        source.write_text(NOOP)
        subprocess.run(["cc", "-nostdlib", "-static", "-o", self.masters[0], source], check=True)
        shutil.copy(self.masters[0], self.masters[1])
        for uid, master in zip(USERS, self.masters, strict=True):
            master.chmod(0o777)
            os.chown(master, uid, uid)
        self.owner: dict[str, int] = {}
        for n, name in enumerate(DIRECTORIES):
            folder = WORLD / name
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
            self._own(folder, USERS[n % 2])
        self.files = [str(WORLD / d / f) for d in DIRECTORIES for f in FILES]
        for n, path in enumerate(self.files):
            self.owner[path] = USERS[n % 2]
            self.restore(path)
        self.free = [str(WORLD / d / f) for d in DIRECTORIES for f in FREE]
        self.links = {str(WORLD / "l"): str(WORLD / "a"), str(WORLD / "b/s"): str(WORLD / "a/b/f")}
        for link, target in self.links.items():
            Path(link).symlink_to(target)

    def _own(self, path: Path, uid: int) -> None:
        os.chown(path, uid, uid)
        self.owner[str(path)] = uid

    def restore(self, path: str) -> None:
        """Have a name as it was in the beginning."""
        where = Path(path)
        if where.is_dir() and not where.is_symlink():
            where.rmdir()
        else:
            where.unlink(missing_ok=True)
        if path in self.owner:
            where.hardlink_to(self.masters[USERS.index(self.owner[path])])

    def mended(self) -> None:
        """Give the files back their content."""
        for master in self.masters:
            if master.stat().st_size == 0:
                subprocess.run(["cc", "-nostdlib", "-static", "-o", BIN / "fresh", BIN / "noop.c"], check=True)
                master.write_bytes((BIN / "fresh").read_bytes())

    @property
    def directories(self) -> list[str]:
        return [str(WORLD / d) for d in DIRECTORIES]


@dataclass
class Agent:
    """A process that does what it is told (judged.c)."""

    path: str
    uid: int
    tty: bool
    by: tuple[str, ...] = ()
    """What starts it."""

    def __post_init__(self) -> None:
        self._master, slave = pty.openpty() if self.tty else (-1, -1)
        command = [*self.by, self.path, str(self.uid)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=not self.tty,
            pass_fds=() if slave < 0 else (slave,),
            preexec_fn=None if slave < 0 else lambda: _terminal(slave),  # noqa: PLW1509 - this process has one thread
        )

    def do(self, line: str) -> int:
        """The errno of a deed."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the agent ended at: {line}"
        return int(answer)

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def _terminal(slave: int) -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@dataclass(frozen=True)
class Deed:
    """What an agent is told, and the access that it is."""

    line: str
    access: Access
    touched: tuple[str, ...] = ()
    """Names to be restored."""
    existing: bool = False


def deeds(world: World, agent: Agent, rng: random.Random, count: int) -> Iterator[Deed]:
    """Random deeds of an agent."""
    everything = [*world.files, *world.directories]
    for _ in range(count):
        kind = rng.choice(
            ("open",) * 4 + ("change",) * 4 + ("exec",) * 3 + ("socket",) * 2 + ("use",) * 2 + ("capable",)
        )
        common: dict[str, Any] = {"source": agent.path, "parent": agent.path, "uid": agent.uid, "tty": agent.tty}
        if kind == "open":
            yield _open(world, agent, rng, everything, common)
        elif kind == "change":
            yield _change(world, agent, rng, everything, common)
        elif kind == "exec":
            asked, path = _asked(world, rng, world.files)
            access = Access(op=Op.EXEC, path=path, owner_match=world.owner[path] == agent.uid, argv=("noop",), **common)
            yield Deed(f"exec {asked}", access)
        elif kind == "socket":
            family, type_, protocol = rng.choice(CREATED)
            access = Access(op=Op.SOCKET, family=family, type=type_, protocol=protocol, **common)
            yield Deed(f"socket {int(family)} {type_} {protocol}", access)
        elif kind == "use":
            number = rng.randrange(len(SOCKETS))
            family, type_, protocol = SOCKETS[number]
            op = rng.choice(("bind", "connect", "listen", "accept", "fastopen"))
            if op == "fastopen" and number != 0:
                op = "connect"
            judged = Op.CONNECT if op == "fastopen" else Op(op)
            yield Deed(f"use {op} {number}", Access(op=judged, family=family, type=type_, protocol=protocol, **common))
        elif agent.uid == 0:
            name = rng.choice(CAPABILITIES)
            yield Deed(f"capable {name}", Access(op=Op.CAPABLE, capability=name, **common))


def _asked(world: World, rng: random.Random, paths: list[str]) -> tuple[str, str]:
    """(what is asked for, what it is): sometimes by way of a symbolic link."""
    if rng.random() < 0.1:
        return f"{WORLD}/l/{(name := rng.choice(FILES))}", f"{WORLD}/a/{name}"
    path = rng.choice(paths)
    return path, path


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _open(world: World, agent: Agent, rng: random.Random, everything: list[str], common: dict[str, Any]) -> Deed:
    if rng.random() < 0.2:
        path = rng.choice(world.free)
        owns = world.owner[_parent(path)] == agent.uid
        mode = rng.choice(("wc", "rc", "rwc"))
        access = Access(
            op=Op.OPEN, path=path, read="r" in mode, write="w" in mode, create=True, parent_owner_match=owns, **common
        )
        return Deed(f"open {mode} {path}", access, (path,))
    asked, path = _asked(world, rng, everything)
    mode = rng.choice(("r", "w", "rw", "wt", "wc")) if path in world.files else "r"
    access = Access(
        op=Op.OPEN,
        path=path,
        read="r" in mode,
        write="w" in mode,
        truncate="t" in mode,
        directory=path not in world.files,
        owner_match=world.owner[path] == agent.uid,
        **common,
    )
    return Deed(f"open {mode} {asked}", access, existing=True)


_NEW = {Op.MKDIR, Op.MKNOD, Op.SYMLINK}


def _change(world: World, agent: Agent, rng: random.Random, everything: list[str], common: dict[str, Any]) -> Deed:
    op = rng.choice((Op.UNLINK, Op.RENAME, Op.LINK, Op.CHMOD, Op.CHOWN, Op.TRUNCATE, Op.RMDIR, *_NEW))
    if op in _NEW:
        path = rng.choice(world.free)
        access = Access(op=op, path=path, parent_owner_match=world.owner[_parent(path)] == agent.uid, **common)
        return Deed(f"{op} {path}", access, (path,))
    path = rng.choice(world.files if op in (Op.UNLINK, Op.RENAME, Op.LINK, Op.TRUNCATE) else everything)
    if op is Op.RMDIR:
        path = rng.choice([d for d in world.directories if d != str(WORLD)])
    owns = world.owner[path] == agent.uid
    if op is Op.RENAME:
        target = rng.choice([*world.files, *world.free])
        access = Access(op=op, path=path, target=target, owner_match=owns, **common)
        return Deed(f"rename {path} {target}", access, (path, target))
    if op is Op.LINK:
        target = rng.choice(world.free)
        access = Access(op=op, path=path, target=target, owner_match=owns, **common)
        return Deed(f"link {path} {target}", access, (target,))
    return Deed(
        f"{op} {path}", Access(op=op, path=path, owner_match=owns, **common), (path,) if op is Op.UNLINK else ()
    )


# -- policies


def policies(rng: random.Random, agents: list[str]) -> list[Policy]:
    """One or two random policies about the world."""
    return [
        Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": _spec(rng, agents)})
        for name in ("one", "two")[: rng.choice((1, 1, 2))]
    ]


def _spec(rng: random.Random, agents: list[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    names = [f"{WORLD}/{d}/{f}".replace("//", "/") for d in DIRECTORIES for f in (*FILES, *FREE)]
    folders = [f"{WORLD}/{d}".rstrip("/") for d in DIRECTORIES]

    def common(*flags: str) -> dict[str, Any]:
        rule: dict[str, Any] = {"action": rng.choice(("Allow", "Allow", "Audit", "Block"))}
        rule |= {flag: True for flag in flags if rng.random() < 0.2}
        if rng.random() < 0.15:
            rule["pts"] = False
        return rule

    def sourced(rule: dict[str, Any]) -> dict[str, Any]:
        if rng.random() < 0.3:
            rule["fromSource"] = [{"path": p} for p in rng.sample(agents, rng.choice((1, 1, 2)))]
        return rule

    def listed(make: Any, most: int) -> list[dict[str, Any]]:
        return [make() for _ in range(rng.randrange(most + 1))]

    def section(*flags: str) -> dict[str, Any]:
        globs = ("*", "tmp-*", "?", "**", "*.log", "[fn]*", "{f,run}", "**/f")
        return {
            "matchPaths": listed(lambda: sourced({"path": rng.choice(names + folders), **common(*flags)}), 4),
            "matchDirectories": listed(
                lambda: sourced(
                    {
                        "dir": rng.choice(["/", "/tmp", *folders]).rstrip("/") + "/",
                        "recursive": rng.random() < 0.6,
                        **common(*flags),
                    }
                ),
                3,
            ),
            "matchPatterns": listed(
                lambda: {
                    k: v
                    for k, v in {"pattern": f"{rng.choice(folders)}/{rng.choice(globs)}", **common(*flags)}.items()
                    if k != "pts"
                },
                2,
            ),
        }

    if rng.random() < 0.8:
        spec["file"] = section("readOnly", "ownerOnly")
    if rng.random() < 0.7:
        spec["process"] = section("ownerOnly")
        spec["process"]["matchPaths"] += listed(
            lambda: sourced({"execname": rng.choice(FILES), **common("ownerOnly")}), 1
        )
    if rng.random() < 0.6:
        words = ("tcp", "UDP", "raw", "icmp", "stream", "all", "tcp,udp", "sctp", "dgram", "seqpacket")
        spec["network"] = {
            "matchProtocols": listed(lambda: sourced({"protocol": rng.choice(words), "action": common()["action"]}), 3)
        }
    if rng.random() < 0.5:
        spec["capabilities"] = {
            "matchCapabilities": listed(
                lambda: sourced({"capability": rng.choice(CAPABILITIES), "action": common()["action"]}), 2
            )
        }
    return spec
