"""PostgreSQL as Debian lays it out, with archiving, logging and autovacuum on, under pgbench and maintenance."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import processes
from .clients import tool, until
from .workload import Drill, Kind, Run, Workload, WorkloadError, own, signal_drill, tree

__all__ = ["workload"]

PORT = 5432
VERSION = max((p.name for p in Path("/usr/lib/postgresql").glob("*")), key=float, default="15")
BINARIES = Path("/usr/lib/postgresql") / VERSION / "bin"
CLUSTER = Path("/var/lib/postgresql") / VERSION / "main"
ARCHIVE = Path("/var/lib/postgresql/archive")
EXPORT = Path("/var/lib/postgresql/export")
LOGS = Path("/var/log/postgresql")
SOCKETS = Path("/run/postgresql")
ADMIN = ("psql", "-h", str(SOCKETS), "-U", "postgres", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", "bench")

SETTINGS = f"""\
port = {PORT}
listen_addresses = 'localhost'
unix_socket_directories = '{SOCKETS}'
shared_buffers = 32MB
work_mem = 256kB
maintenance_work_mem = 4MB
max_connections = 40
min_wal_size = 32MB
max_wal_size = 64MB
checkpoint_timeout = 30s
autovacuum_naptime = 2s
wal_level = replica
archive_mode = on
archive_command = 'test ! -f {ARCHIVE}/%f && cp %p {ARCHIVE}/%f'
logging_collector = on
log_directory = '{LOGS}'
log_filename = 'postgresql.log'
log_min_duration_statement = 200
"""
ACCESS = "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n"
LANGUAGES = ("danish", "english", "french", "german", "italian", "norwegian", "portuguese", "spanish", "swedish")
ZONES = ("Africa/Cairo", "America/Lima", "Asia/Tokyo", "Europe/Berlin", "Europe/Paris", "Pacific/Auckland")


def prepare(fresh: bool, rng: random.Random) -> None:
    """A cluster made by initdb with the bench database in it, and our settings; all of it before the recording."""
    for folder in (ARCHIVE, EXPORT, LOGS, SOCKETS):
        own(folder, "postgres")
    if not fresh:
        return
    (CLUSTER.parent).mkdir(parents=True, exist_ok=True)
    own(CLUSTER.parent, "postgres")
    _as_postgres(str(BINARIES / "initdb"), "-D", str(CLUSTER), "-A", "trust", "--no-sync", "-E", "UTF8")
    tree(CLUSTER, {"postgresql.conf": SETTINGS, "pg_hba.conf": ACCESS})
    control = (str(BINARIES / "pg_ctl"), "-D", str(CLUSTER), "-w", "-s")
    _as_postgres(*control, "-o", "-c archive_mode=off -c logging_collector=off", "-l", "/tmp/first.log", "start")
    tool("createdb", "-h", str(SOCKETS), "-U", "postgres", "bench")
    tool("pgbench", "-h", str(SOCKETS), "-U", "postgres", "-i", "-q", "-s", str(rng.randint(1, 2)), "bench")
    _as_postgres(*control, "-m", "fast", "stop")


def _as_postgres(*command: str) -> None:
    done = subprocess.run(
        ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *command),
        stdout=subprocess.DEVNULL,  # pg_ctl's server keeps the stream, so a pipe would never end
        stderr=subprocess.DEVNULL,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise WorkloadError(f"{' '.join(command[:3])}: exit code {done.returncode}")


def sql(*statements: str) -> str:
    """What the statements print, run over the unix socket; an error ends the unit."""
    return tool(*ADMIN, stdin="\n".join(statements))


def _pgbench(run: Run, *options: str) -> None:
    host = run.rng.choice((str(SOCKETS), "127.0.0.1"))
    seconds = str(max(1, round(run.seconds)))
    seed = f"--random-seed={run.rng.getrandbits(30)}"
    tool("pgbench", "-h", host, "-U", "postgres", "-c", "4", "-j", "2", "-T", seconds, seed, *options, "bench")


def tpcb(run: Run) -> None:
    """The standard read-write transaction of pgbench."""
    _pgbench(run)


def select_only(run: Run) -> None:
    """The read-only transaction of pgbench, prepared."""
    _pgbench(run, "-S", "-M", "prepared", "-n")


def maintenance(run: Run) -> None:
    """What an operator's nightly script does: new tables and indexes, COPY to and from files, sorts that spill."""
    name = f"report_{run.rng.randbytes(3).hex()}"
    rows = run.rng.randint(20_000, 40_000)
    sql(
        f"CREATE TABLE {name} AS SELECT n, md5(n::text) AS digest, random() AS x FROM generate_series(1, {rows}) n;",
        f"CREATE INDEX ON {name} (digest);",
        f"SELECT count(*) FROM (SELECT digest FROM {name} ORDER BY x, digest OFFSET 10) s;",
        f"SELECT count(*) FROM {name} a JOIN {name} b ON a.digest = b.digest;",
        f"COPY {name} TO '{EXPORT}/{name}.csv' (FORMAT csv);",
        f"CREATE TABLE {name}_copy (LIKE {name});",
        f"COPY {name}_copy FROM '{EXPORT}/{name}.csv' (FORMAT csv);",
        f"CREATE TEMP TABLE scratch AS SELECT * FROM {name} LIMIT 5000;",
        "UPDATE scratch SET x = x + 1;",
        f"DELETE FROM {name}_copy WHERE n % 3 = 0;",
        f"VACUUM (FULL, ANALYZE) {name}_copy;",
        f"DROP TABLE {name}_copy;",
        f"CLUSTER {name} USING {name}_digest_idx;",
        "CHECKPOINT;",
    )


def dump(run: Run) -> None:
    """A logical backup, and its restore into a database of its own that is dropped again."""
    connect = ("-h", str(SOCKETS), "-U", "postgres")
    target = f"restored_{run.rng.randbytes(2).hex()}"
    saved = run.scratch / "bench.dump"
    tool("pg_dump", *connect, "-Fc", "-f", str(saved), "bench")
    tool("createdb", *connect, target)
    tool("pg_restore", *connect, "-d", target, str(saved))
    tool("dropdb", *connect, target)


def archive(run: Run) -> None:
    """WAL segments that are switched and archived by a command, and the newest one compressed by another."""
    for _ in range(run.rng.randint(2, 4)):
        sql("CREATE TABLE IF NOT EXISTS ticks (at timestamptz);", "INSERT INTO ticks VALUES (now());")
        sql("SELECT pg_switch_wal();")
        time.sleep(0.3)
    sql(f"COPY ticks TO PROGRAM 'gzip > {EXPORT}/ticks-{run.rng.randint(1, 99)}.csv.gz';")


def extensions(run: Run) -> None:
    """Features that read from the package's share folder: extensions, time zones, dictionaries, collations."""
    for name in run.rng.sample(("pg_trgm", "pgcrypto", "hstore", "citext", "ltree", "btree_gin", "unaccent"), 2):
        sql(f"CREATE EXTENSION IF NOT EXISTS {name};")
    language = run.rng.choice(LANGUAGES)
    sql(
        f"SET timezone = '{run.rng.choice(ZONES)}';",
        "SELECT now();",
        f"SELECT to_tsvector('{language}', 'the quick brown foxes jumped over lazy dogs');",
        "SELECT 'a' < 'B' COLLATE \"C.utf8\";",
    )


def sessions(run: Run) -> None:
    """Many short connections, some refused, some killed."""

    def short() -> None:
        sql("SELECT count(*) FROM pgbench_branches;")
        tool(*ADMIN[:-1], f"missing_{run.rng.randint(1, 9)}", stdin="SELECT 1;", check=False)

    until(run.seconds, short)
    sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'bench';")
    tool(*ADMIN, stdin="SELECT pg_terminate_backend(pg_backend_pid());", check=False)


def ask_rotation(_: Run) -> None:
    """What ``pg_ctl logrotate`` leaves before its SIGUSR1 (src/backend/postmaster/syslogger.c)."""
    (CLUSTER / "logrotate").touch()
    own(CLUSTER, "postgres")


def rotate(_: Run) -> None:
    """The log is renamed and the collector told to open a new one."""
    log = LOGS / "postgresql.log"
    shutil.move(log, log.with_suffix(".log.1"))
    sql("SELECT pg_rotate_logfile();")
    time.sleep(0.7)


def configure(_: Run) -> None:
    """Other settings in the file."""
    with (CLUSTER / "postgresql.conf").open("a") as settings:
        settings.write("log_connections = on\nwork_mem = 512kB\n")


def reload(run: Run) -> None:
    """Other settings and SIGHUP."""
    configure(run)
    os.kill(run.pid, signal.SIGHUP)
    time.sleep(0.5)
    sql("SELECT 1;")


def crash_backend(_: Run) -> None:
    """A backend dies by SIGSEGV and the server recovers by itself."""
    sleeper = subprocess.Popen(
        (*ADMIN, "-c", "SELECT pg_sleep(20)"), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    time.sleep(0.4)
    backend = sql("\\t on", "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' LIMIT 1;").strip()
    os.kill(int(backend), signal.SIGSEGV)
    sleeper.wait(10)
    _wait_answers()


def crash(run: Run) -> None:
    """A backend dies by SIGSEGV and the server recovers; then all of it dies, to recover at its next start."""
    crash_backend(run)
    left = processes.children(run.pid)
    os.kill(run.pid, signal.SIGSEGV)
    for process in left:  # they end by themselves once they notice, the checkpointer only after a while
        processes.wait_gone(process, 10.0)


def _wait_answers() -> None:
    for _ in range(100):
        if "1" in tool(*ADMIN, stdin="SELECT 1;", check=False):
            return
        time.sleep(0.1)
    raise WorkloadError("the server did not recover from the death of a backend")


def ready(pid: int) -> bool:
    """Whether postmaster.pid says so: its eighth line, the status (src/include/utils/pidfile.h)."""
    try:
        lines = (CLUSTER / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


workload = Workload(
    name="postgres",
    command=(
        *("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"),
        *(str(BINARIES / "postgres"), "-D", str(CLUSTER)),
    ),
    executable=str(BINARIES / "postgres"),
    mounts={"/var/lib/postgresql": "postgres", "/var/log": "root"},
    prepare=prepare,
    ready=ready,
    kinds={
        "tpcb": Kind(tpcb, 0.6),
        "select-only": Kind(select_only, 0.5),
        "maintenance": Kind(maintenance, 0.4),
        "dump": Kind(dump, 0.3),
        "archive": Kind(archive, 0.3),
        "extensions": Kind(extensions, 0.3),
        "sessions": Kind(sessions, 0.3),
    },
    drills={
        "reload": Drill(reload, "reload", configure),
        "rotate": Drill(rotate, "rotate=USR1", ask_rotation),
        "stop": Drill(signal_drill(signal.SIGINT, settle=0.2), "stop"),
        "crash": Drill(crash),
    },
    touch=lambda: tool(*ADMIN, stdin="SELECT count(*) FROM pgbench_branches;", check=False),
    version=(str(BINARIES / "postgres"), "--version"),
)
