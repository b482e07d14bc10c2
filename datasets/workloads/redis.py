"""Redis with snapshots and an append-only file, under redis-benchmark, scripts and subscribers."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from pathlib import Path

from . import processes
from .clients import tool
from .workload import Drill, Kind, Run, Workload, WorkloadError, own, signal_drill, tree

__all__ = ["workload"]

PORT = 6379
DATA = Path("/var/lib/redis")
LOG = Path("/var/log/redis/redis-server.log")
SOCKET = Path("/run/redis/redis.sock")

SETTINGS = f"""\
bind 127.0.0.1 -::1
port {PORT}
unixsocket {SOCKET}
unixsocketperm 770
daemonize no
pidfile /run/redis/redis-server.pid
logfile {LOG}
dir {DATA}
dbfilename dump.rdb
save 900 1
save 2 500
appendfilename appendonly.aof
appenddirname appendonlydir
maxmemory 64mb
"""


def prepare(fresh: bool, rng: random.Random) -> None:
    """Configuration where the package has it, readable and writable for redis (CONFIG REWRITE replaces the file)."""
    del fresh, rng
    tree(Path("/etc/redis"), {"redis.conf": SETTINGS})
    for folder in (Path("/etc/redis"), DATA, LOG.parent, SOCKET.parent):
        own(folder, "redis")


def cli(*words: str) -> str:
    """The answer to one command, by redis-cli; an error answer ends the unit."""
    answer = tool("redis-cli", "-p", str(PORT), *words)
    if answer.startswith(("ERR", "(error)", "NOSCRIPT")):
        raise WorkloadError(f"redis: {' '.join(words)}: {answer.strip()}")
    return answer.strip()


def _idle(field: str) -> None:
    for _ in range(200):
        if f"{field}:0" in cli("INFO", "persistence"):
            return
        time.sleep(0.05)
    raise WorkloadError(f"redis: {field} went on for 10 s")


def _save() -> None:
    """BGSAVE, done; another may be under way, because enough has changed."""
    for _ in range(20):
        _idle("rdb_bgsave_in_progress")
        if "already in progress" not in tool("redis-cli", "-p", str(PORT), "BGSAVE"):
            _idle("rdb_bgsave_in_progress")
            return
    raise WorkloadError("redis: snapshots went on and on")


def benchmark(run: Run) -> None:
    """redis-benchmark over TCP and the unix socket."""
    tests = run.rng.sample(("set", "get", "incr", "lpush", "rpop", "sadd", "hset", "zadd", "mset"), 4)
    common = ("-n", "20000", "-c", "8", "-q", "-r", "5000", "-d", str(run.rng.randint(3, 400)))
    tool("redis-benchmark", "-p", str(PORT), "-t", ",".join(tests[:2]), *common)
    tool("redis-benchmark", "-s", str(SOCKET), "-t", ",".join(tests[2:]), *common)


def snapshot(run: Run) -> None:
    """BGSAVE by a child into a temporary file that is then renamed; once by hand, once because enough changed."""
    for number in range(5):
        cli("SET", f"key:{number}", run.rng.randbytes(300).hex())
    _save()
    tool("redis-benchmark", "-p", str(PORT), "-t", "set", "-n", "3000", "-r", "3000", "-q")
    time.sleep(2.3)
    _idle("rdb_bgsave_in_progress")


def append_only(run: Run) -> None:
    """The append-only file is switched on, written to and rewritten."""
    cli("CONFIG", "SET", "appendonly", "yes")
    _idle("aof_rewrite_in_progress")
    for number in range(run.rng.randint(20, 60)):
        cli("RPUSH", f"list:{number % 7}", run.rng.randbytes(50).hex())
    cli("BGREWRITEAOF")
    _idle("aof_rewrite_in_progress")
    cli("CONFIG", "SET", "appendonly", "no")


def subscribers(run: Run) -> None:
    """Publishers and subscribers, some of which just go away."""

    def subscribe() -> None:
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as link:
            link.sendall(b"SUBSCRIBE news\r\n")
            for _ in range(3):
                link.recv(4096)

    listeners = [threading.Thread(target=subscribe) for _ in range(6)]
    for listener in listeners:
        listener.start()
    time.sleep(0.3)
    for number in range(6):
        cli("PUBLISH", "news", f"item {number} {run.rng.random()}")
    for listener in listeners:
        listener.join(10)


def scripts(run: Run) -> None:
    """Lua: evaluated, loaded and called by digest, and a function library."""
    cli("EVAL", "return redis.call('INCRBY', KEYS[1], ARGV[1])", "1", "counter", str(run.rng.randint(1, 99)))
    digest = cli("SCRIPT", "LOAD", "local s = 0; for i = 1, 10000 do s = s + i end; return s")
    cli("EVALSHA", digest, "0")
    library = "#!lua name=tools\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)"
    cli("FUNCTION", "LOAD", "REPLACE", library)
    cli("FCALL", "twice", "0", "21")


def operator(run: Run) -> None:
    """What an operator asks of it: settings rewritten to the file, slow log, memory report, a flush."""
    cli("CONFIG", "SET", "maxmemory", f"{run.rng.randint(40, 60)}mb")
    cli("CONFIG", "REWRITE")
    for words in (("INFO",), ("SLOWLOG", "GET"), ("MEMORY", "DOCTOR"), ("CLIENT", "LIST"), ("DBSIZE",)):
        cli(*words)
    cli("FLUSHALL", "ASYNC")


def rotate(_: Run) -> None:
    """Redis opens its log for every line, so a rotation is a rename and the next line."""
    LOG.rename(LOG.with_suffix(".log.1"))
    _save()


def crash(run: Run) -> None:
    """SIGSEGV: Redis writes a report to its log and dies."""
    os.kill(run.pid, signal.SIGSEGV)
    time.sleep(1.0)


workload = Workload(
    name="redis",
    command=(
        *("setpriv", "--reuid=redis", "--regid=redis", "--init-groups", "--"),
        *("redis-server", "/etc/redis/redis.conf"),
    ),
    executable="/usr/bin/redis-server",
    mounts={"/etc/redis": "redis", "/var/lib/redis": "redis", "/var/log": "root"},
    prepare=prepare,
    ready=lambda _: processes.listening(PORT) and SOCKET.exists(),
    kinds={
        "benchmark": Kind(benchmark, 0.7),
        "snapshot": Kind(snapshot, 0.5),
        "append-only": Kind(append_only, 0.5),
        "subscribers": Kind(subscribers, 0.5),
        "scripts": Kind(scripts, 0.5),
        "operator": Kind(operator, 0.5),
    },
    drills={
        "rotate": Drill(rotate),
        "stop": Drill(signal_drill(signal.SIGTERM, settle=0.2), "stop"),
        "crash": Drill(crash),
    },
    touch=lambda: tool("redis-cli", "-p", str(PORT), "PING", check=False),
    version=("redis-server", "--version"),
)
