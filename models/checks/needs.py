"""``needs-…``: what nearly every program needs, or a well-known one, and an allow-list does not have.

Only for policies without a recording and without the evidence of one: with it, what is missing is known, and nothing is
guessed.
"""

# ruff: noqa: S108 - names of places, nothing is made there
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.checks.context import Context, Mistake, Severity, allow_directory, allow_paths, fragment
from models.policy import Access, Action, Op, PolicyClass

__all__ = ["NEEDS", "SOFTWARE", "Need", "dns_udp", "needs", "software"]

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/aarch64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that programs need: any one of `paths`, or each of them."""

    id: str
    severity: Severity
    paths: tuple[str, ...]
    message: str
    fix: str
    corrected: Mapping[str, Any]
    write: bool = False
    any_of: bool = False


NEEDS = (
    Need(
        "needs-libraries",
        Severity.WARNING,
        _LIBRARIES,
        "no C library can be opened: a program that is not linked statically does not start again, once it has ended",
        "list the loader and the libraries; where they are depends on the image (a recording knows)",
        fragment(
            allow_paths(["/etc/ld.so.cache"]),
            allow_directory("/usr/lib/", recursive=True),
            allow_directory("/lib/", recursive=True),
        ),
        any_of=True,
    ),
    Need(
        "needs-tmp",
        Severity.WARNING,
        ("/tmp/x", "/var/tmp/x", "/dev/shm/x"),
        "no temporary file can be written: neither in /tmp nor in /var/tmp nor in /dev/shm",
        "list the one that it uses",
        allow_directory("/tmp/", read_only=False),
        write=True,
        any_of=True,
    ),
    Need(
        "needs-names",
        Severity.WARNING,
        ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"),
        "host names cannot be resolved (EAI_AGAIN): the files that say how are not listed",
        "list the files of the resolver",
        allow_paths(["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"]),
    ),
    Need(
        "needs-users",
        Severity.WARNING,
        ("/etc/passwd", "/etc/group"),
        "user and group names cannot be looked up: os.userInfo(), getpwuid() and what drops privileges fail",
        "list the user database",
        allow_paths(["/etc/passwd", "/etc/group"]),
    ),
    Need(
        "needs-devices",
        Severity.WARNING,
        ("/dev/null", "/dev/urandom"),
        "the null device and the random device cannot be opened, which start-up code often does",
        "list the devices",
        {
            "file": {
                "matchPaths": [
                    {"path": "/dev/null", "action": "Allow"},
                    {"path": "/dev/urandom", "readOnly": True, "action": "Allow"},
                ]
            }
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Habit:
    """What a well-known program does with files, from its manual."""

    path: str
    message: str
    corrected: Mapping[str, Any]
    write: bool = True


_PID_FILE = "it writes its pid there when it starts: after a restart it does not come up"
SOFTWARE: dict[str, tuple[Habit, ...]] = {
    "nginx": (Habit("/run/nginx.pid", _PID_FILE, allow_paths(["/run/nginx.pid"], read_only=False)),),
    "httpd": (
        Habit(
            "/usr/local/apache2/logs/httpd.pid", _PID_FILE, allow_directory("/usr/local/apache2/logs/", read_only=False)
        ),
    ),
    "apache2": (Habit("/run/apache2/apache2.pid", _PID_FILE, allow_directory("/run/apache2/", read_only=False)),),
    "postgres": (
        Habit(
            "/dev/shm/PostgreSQL.1804289383",
            "its processes share memory through files of changing names there: each new connection fails",
            allow_directory("/dev/shm/", read_only=False),
        ),
        Habit(
            "/run/postgresql/.s.PGSQL.5432.lock",
            "it makes its socket and the lock beside it there when it starts",
            allow_directory("/run/postgresql/", read_only=False),
        ),
        Habit(
            "/usr/share/postgresql/15/timezonesets/Default",
            "it reads its time zones and message catalogues there when it starts",
            allow_directory("/usr/share/postgresql/", recursive=True),
            write=False,
        ),
    ),
    "mysqld": (Habit("/run/mysqld/mysqld.pid", _PID_FILE, allow_directory("/run/mysqld/", read_only=False)),),
    "redis-server": (
        Habit("/data/dump.rdb", "it saves its data there when it stops", allow_directory("/data/", read_only=False)),
    ),
}
"""By name of the executable; for ``postgres`` also where the rule names it by a pattern."""


def _opens(path: str, *, write: bool) -> Access:
    return Access(
        op=Op.OPEN, path=path, read=not write, write=write, create=write, owner_match=True, parent_owner_match=True
    )


def needs(context: Context) -> Iterator[Mistake]:
    """What nearly every program opens."""
    if context.is_known or not context.is_list(PolicyClass.FILE):
        return
    for need in NEEDS:
        missing = [p for p in need.paths if context.denies(_opens(p, write=need.write))]
        if not missing or (need.any_of and len(missing) < len(need.paths)):
            continue
        wanted = need.corrected if need.any_of else _only(need.corrected, missing)
        message = need.message if need.any_of else f"{need.message} ({', '.join(missing)})"
        yield Mistake(need.id, need.severity, message, need.fix, wanted, context.name_of_list("file"))


def _only(corrected: Mapping[str, Any], missing: list[str]) -> dict[str, Any]:
    items = [i for i in corrected["file"]["matchPaths"] if i["path"] in missing]
    return {"file": {"matchPaths": items}}


def software(context: Context) -> Iterator[Mistake]:
    """``needs-of-software``: what a program that everybody knows does at its start and later."""
    if context.is_known or not context.is_list(PolicyClass.FILE):
        return
    named = {r.value.rpartition("/")[2]: r for r in reversed(context.of("process", Action.ALLOW))}
    for name, habits in SOFTWARE.items():
        for habit in habits if name in named else ():
            if context.denies(_opens(habit.path, write=habit.write)):
                message = f"{name} needs {habit.path}, which no rule has: {habit.message}"
                yield context.mistake(
                    "needs-of-software", Severity.WARNING, named[name], message, "list it", habit.corrected
                )


def dns_udp(context: Context) -> Iterator[Mistake]:
    """``needs-dns-udp``: a network allow-list without UDP."""
    if not context.is_list(PolicyClass.NETWORK):
        return
    asks = [s for s in context.seen if s.access.protocol == 17]
    if context.is_known and not asks:
        return
    if context.denies(Access(op=Op.SOCKET, type=2, protocol=17)):
        yield Mistake(
            "needs-dns-udp",
            Severity.WARNING,
            "the network list has no udp: names are asked for over UDP, so none can be resolved",
            "list udp, unless the workload connects to addresses alone",
            {"network": {"matchProtocols": [{"protocol": "udp", "action": "Allow"}]}},
            context.name_of_list("network"),
        )
