"""A Python web application under gunicorn: templates, SQLite, uploads by way of temporary files, an outgoing call."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

from . import processes
from .clients import DNS_NAME, UPSTREAM_PORT, Web, each, multipart, wrk
from .workload import Drill, Kind, Run, Workload, own, signal_drill

__all__ = ["workload"]

PORT = 8000
web = Web(PORT)
HOME = Path("/srv/pyweb")
DATA = HOME / "data"
LOGS = Path("/var/log/pyweb")
SOURCE = Path(__file__).parent / "apps" / "pyweb"


def prepare(fresh: bool, rng: random.Random) -> None:
    """The application as root's, its data and logs as www-data's."""
    del rng
    for folder in (LOGS, Path("/run/pyweb")):
        own(folder, "www-data")
    if fresh:
        shutil.copytree(SOURCE, HOME / "app", ignore=shutil.ignore_patterns("__pycache__"))
        (DATA / "uploads").mkdir(parents=True)
        own(DATA, "www-data")


def _note(run: Run) -> int:
    words = {"title": f"note {run.rng.randint(1, 999)}", "body": run.rng.randbytes(60).hex()}
    body = web.expect(201, "POST", "/api/notes", json.dumps(words).encode(), Content_Type="application/json")
    return int(json.loads(body)["id"])


def _upload(run: Run, size: int) -> str:
    suffix = run.rng.choice((".txt", ".png", ".pdf", ".jpeg"))
    boundary = run.rng.randbytes(8).hex()
    form, kind = multipart("file", f"file{suffix}", run.rng.randbytes(size), boundary)
    return str(json.loads(web.expect(201, "POST", "/upload", form, Content_Type=kind))["name"])


def pages(run: Run) -> None:
    """Rendered pages and the style sheet."""
    number = _note(run)
    for path in ("/", f"/notes/{number}", "/static/style.css"):
        web.expect(200, "GET", path)
    wrk(f"http://127.0.0.1:{PORT}/", run.seconds, connections=4)


def notes(run: Run) -> None:
    """The JSON interface: notes made, listed and deleted by several clients, and the database compacted."""
    numbers = [_note(run) for _ in range(run.rng.randint(15, 30))]
    web.expect(200, "GET", "/api/notes")
    each(lambda n: web.expect(204, "DELETE", f"/api/notes/{numbers[n]}"), range(8))
    web.expect(204, "POST", "/vacuum")


def uploads(run: Run) -> None:
    """Uploads: small ones stay in memory, those above 500 KB pass through a temporary file."""
    names = [_upload(run, size) for size in (200, 40_000, 700_000, 2_000_000, run.rng.randint(600_000, 3_000_000))]
    for name in names:
        web.expect(200, "GET", f"/uploads/{name}")


def report(run: Run) -> None:
    """Reports by way of a named temporary file."""
    for _ in range(run.rng.randint(3, 8)):
        _note(run)
    for _ in range(run.rng.randint(3, 6)):
        web.expect(200, "GET", "/report")


def backup(run: Run) -> None:
    """An archive of all uploads, made by tar and gzip."""
    _upload(run, run.rng.randint(1_000, 100_000))
    web.expect(200, "POST", "/backup")
    web.expect(200, "POST", "/backup")


def errors(run: Run) -> None:
    """Pages that are not there, methods that are not meant, bodies too large, and an exception with its traceback."""
    for _ in range(5):
        web.expect(404, "GET", f"/{run.rng.randbytes(4).hex()}.php")
    web.expect(404, "GET", "/uploads/..%2f..%2fetc%2fpasswd")
    web.expect(405, "DELETE", "/report")
    web.expect(400, "POST", "/api/notes", b"{", Content_Type="application/json")
    web.expect(500, "GET", "/fail")


def outgoing(run: Run) -> None:
    """Requests that make the application ask another service, found by its name."""
    for _ in range(run.rng.randint(3, 8)):
        web.expect(200, "GET", "/weather")


def rotate(run: Run) -> None:
    """The log is renamed and SIGUSR1 makes gunicorn open a new one."""
    (LOGS / "access.log").rename(LOGS / "access.log.1")
    os.kill(run.pid, signal.SIGUSR1)
    time.sleep(0.5)
    web.expect(200, "GET", "/")


def reload(run: Run) -> None:
    """SIGHUP: gunicorn starts new workers that load the application again."""
    os.kill(run.pid, signal.SIGHUP)
    time.sleep(1.5)
    web.expect(200, "GET", "/")


def crash_worker(run: Run) -> None:
    """A worker dies by SIGSEGV and is replaced."""
    os.kill(processes.children(run.pid)[0], signal.SIGSEGV)
    time.sleep(1.0)


def crash(run: Run) -> None:
    """A worker dies by SIGSEGV and is replaced; then the main process dies, and its workers are told to stop."""
    crash_worker(run)
    workers = processes.children(run.pid)
    os.kill(run.pid, signal.SIGSEGV)
    for worker in workers:  # they would notice by themselves, but only after half their time-out, 15 s
        os.kill(worker, signal.SIGTERM)


workload = Workload(
    name="pyweb",
    command=(
        *("setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups", "--"),
        *("gunicorn", "--chdir", str(HOME / "app"), "--bind", f"0.0.0.0:{PORT}", "--pid", "/run/pyweb/gunicorn.pid"),
        *("--workers", "2", "--max-requests", "400"),
        *("--access-logfile", str(LOGS / "access.log"), "--error-logfile", str(LOGS / "error.log"), "app:app"),
    ),
    executable="/usr/bin/python3",
    mounts={"/srv": "root", "/var/log": "root"},
    prepare=prepare,
    ready=lambda pid: processes.listening(PORT) and len(processes.children(pid)) >= 2,
    kinds={
        "pages": Kind(pages, 0.6),
        "notes": Kind(notes, 0.5),
        "uploads": Kind(uploads, 0.5),
        "report": Kind(report, 0.3),
        "backup": Kind(backup, 0.2),
        "errors": Kind(errors, 0.4),
        "outgoing": Kind(outgoing, 0.3),
    },
    drills={
        "reload": Drill(reload, "reload"),
        "rotate": Drill(rotate, "rotate=USR1"),
        "stop": Drill(signal_drill(signal.SIGTERM, settle=0.3), "stop"),
        "crash": Drill(crash),
    },
    touch=lambda: web.ask("GET", "/"),
    version=("gunicorn", "--version"),
    environment={"PYWEB_DATA": str(DATA), "PYWEB_UPSTREAM": f"http://{DNS_NAME}:{UPSTREAM_PORT}"},
)
