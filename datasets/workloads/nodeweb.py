"""A Node web application: files, a JSON store on disk, uploads through a temporary folder, an outgoing call."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

from . import processes
from .clients import DNS_NAME, UPSTREAM_PORT, Web, each, wrk
from .workload import Drill, Kind, Run, Workload, own, signal_drill, tree

__all__ = ["workload"]

PORT = 3000
web = Web(PORT)
HOME = Path("/srv/nodeweb")
DATA = HOME / "data"
LOGS = Path("/var/log/nodeweb")
SOURCE = Path(__file__).parent / "apps" / "nodeweb"


def prepare(fresh: bool, rng: random.Random) -> None:
    """The application and its public files as root's, its data and logs as www-data's."""
    own(LOGS, "www-data")
    if not fresh:
        return
    shutil.copytree(SOURCE, HOME / "app")
    files: dict[str, str | bytes] = {"index.html": "<h1>files</h1>"}
    files |= {f"page-{number}.html": rng.randbytes(rng.randint(300, 20_000)) for number in range(20)}
    tree(HOME / "app" / "public", files)
    for folder in ("items", "uploads"):
        (DATA / folder).mkdir(parents=True)
    own(DATA, "www-data")


def _upload(run: Run) -> str:
    content = run.rng.randbytes(run.rng.choice((300, 50_000, 900_000)))
    return str(json.loads(web.expect(201, "POST", "/upload", content))["name"])


def pages(run: Run) -> None:
    """Files, plain and compressed, some under wrk."""
    for number in run.rng.sample(range(20), 10):
        web.expect(200, "GET", f"/page-{number}.html", Accept_Encoding=run.rng.choice(("gzip", "identity")))
    wrk(f"http://127.0.0.1:{PORT}/", run.seconds, connections=4)


def items(run: Run) -> None:
    """The JSON store: items written by way of a temporary file and a rename, read and deleted."""
    keys = [f"item-{run.rng.getrandbits(24):x}" for _ in range(20)]
    for key in keys:
        web.expect(201, "PUT", f"/items/{key}", json.dumps({"at": run.rng.random()}).encode())
    each(lambda n: web.expect(200, "GET", f"/items/{keys[n]}"), range(20))
    for key in keys[:5]:
        web.expect(200, "DELETE", f"/items/{key}")


def uploads(run: Run) -> None:
    """Uploads that pass through a folder of mkdtemp."""
    for _ in range(run.rng.randint(4, 9)):
        _upload(run)


def compressed(run: Run) -> None:
    """Uploads sent back through gzip, a program that the application starts."""
    for _ in range(run.rng.randint(2, 4)):
        web.expect(200, "GET", f"/compressed/{_upload(run)}")


def outgoing(run: Run) -> None:
    """Requests that make the application resolve a name and call another service."""
    for _ in range(run.rng.randint(3, 8)):
        web.expect(200, "GET", "/weather")


def errors(run: Run) -> None:
    """Names that are not there, a path that leads outside, a body that is no JSON; and the health page."""
    for _ in range(5):
        web.expect(404, "GET", f"/{run.rng.randbytes(4).hex()}.html")
    web.expect(404, "GET", "/items/missing")
    web.expect(500, "PUT", "/items/broken", b"{")
    web.expect(500, "GET", "/compressed/missing")
    web.raw(b"GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    web.expect(200, "GET", "/health")


def rotate(_: Run) -> None:
    """Log rotation with copytruncate: the application knows no signal for it."""
    log = LOGS / "access.log"
    shutil.copy(log, log.with_suffix(".log.1"))
    os.truncate(log, 0)
    web.expect(200, "GET", "/")


def crash(run: Run) -> None:
    """SIGSEGV."""
    os.kill(run.pid, signal.SIGSEGV)
    time.sleep(0.5)


workload = Workload(
    name="nodeweb",
    command=(
        *("setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups", "--"),
        *("node", str(HOME / "app" / "server.js")),
    ),
    executable="/usr/bin/node",
    mounts={"/srv": "root", "/var/log": "root"},
    prepare=prepare,
    ready=lambda _: processes.listening(PORT),
    kinds={
        "pages": Kind(pages, 0.6),
        "items": Kind(items, 0.6),
        "uploads": Kind(uploads, 0.5),
        "compressed": Kind(compressed, 0.5),
        "outgoing": Kind(outgoing, 0.5),
        "errors": Kind(errors, 0.5),
    },
    drills={
        "rotate": Drill(rotate),
        "stop": Drill(signal_drill(signal.SIGTERM, settle=0.3), "stop"),
        "crash": Drill(crash),
    },
    touch=lambda: web.ask("GET", "/"),
    version=("node", "-p", "`Node.js ${process.versions.node}`"),
    environment={
        "PORT": str(PORT),
        "NODEWEB_DATA": str(DATA),
        "NODEWEB_LOG": str(LOGS / "access.log"),
        "NODEWEB_UPSTREAM": f"http://{DNS_NAME}:{UPSTREAM_PORT}",
    },
)
