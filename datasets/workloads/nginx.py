"""nginx as a site's front: static files, listings, WebDAV uploads and a proxied application with a cache."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import string
import time
from email.utils import formatdate
from pathlib import Path

from . import processes
from .clients import UPSTREAM_PORT, Web, each, wrk
from .workload import Drill, Kind, Run, Workload, own, signal_drill, tree

__all__ = ["workload"]

PORT = 80
web = Web(PORT)
SITE = Path("/var/www/html")
UPLOADS = Path("/var/www/uploads")
STATE = Path("/var/lib/nginx")
LOGS = Path("/var/log/nginx")

CONFIGURATION = f"""\
user www-data;
worker_processes 2;
error_log {LOGS}/error.log warn;
pid /run/nginx.pid;
worker_rlimit_core 64m;
working_directory /tmp;

events {{ worker_connections 256; }}

http {{
    include mime.types;
    default_type application/octet-stream;
    access_log {LOGS}/access.log combined;
    sendfile on;
    keepalive_timeout 5;
    server_tokens off;
    client_max_body_size 4m;
    client_body_buffer_size 8k;
    proxy_buffers 4 8k;
    proxy_cache_path {STATE}/cache levels=1:2 keys_zone=pages:1m max_size=20m inactive=10m;
    include conf.d/*.conf;
}}
"""
SERVER = f"""\
server {{
    listen {PORT} default_server;
    listen [::]:{PORT} default_server;
    server_name _;
    root {SITE};
    index index.html;
    error_page 404 /errors/404.html;
    error_page 500 502 504 /errors/50x.html;
    access_log {LOGS}/site.log combined;

    location / {{ gzip_static on; try_files $uri $uri/ =404; }}
    location /files/ {{ autoindex on; }}
    location /private/ {{ auth_basic "staff"; auth_basic_user_file /etc/nginx/htpasswd; }}
    location /api/ {{ proxy_pass http://127.0.0.1:{UPSTREAM_PORT}/; proxy_read_timeout 5s; }}
    location /pages/ {{
        proxy_pass http://127.0.0.1:{UPSTREAM_PORT}/;
        proxy_cache pages;
        proxy_cache_valid 200 1m;
    }}
    location /dead/ {{ proxy_pass http://127.0.0.1:9; }}
    location /uploads/ {{
        alias {UPLOADS}/;
        dav_methods PUT DELETE MKCOL MOVE COPY;
        create_full_put_path on;
        dav_access user:rw group:r;
    }}
}}
"""
TYPES = "types { text/html html; text/css css; image/png png; application/javascript js; text/plain txt; }\n"
PAGES = 60


def prepare(fresh: bool, rng: random.Random) -> None:
    """Configuration, and a site whose layout is fixed while some names differ from unit to unit."""
    tree(
        Path("/etc/nginx"),
        {
            "nginx.conf": CONFIGURATION,
            "conf.d/site.conf": SERVER,
            "mime.types": TYPES,
            # apr1 of "secret"
            "htpasswd": "staff:$apr1$5hJ2.t6L$9rTPSMJnVAdHXmkQ6QhkM1\n",
        },
    )
    LOGS.mkdir(parents=True, exist_ok=True)
    if not fresh:
        return
    shutil.rmtree(SITE, ignore_errors=True)
    files: dict[str, str | bytes] = {"index.html": "<h1>index</h1>", "robots.txt": "User-agent: *\n"}
    files |= {"errors/404.html": "<h1>not here</h1>", "errors/50x.html": "<h1>broken</h1>"}
    files |= {"private/index.html": "<h1>staff only</h1>"}
    for number in range(PAGES):
        kind = ("html", "css", "js", "png")[number % 4]
        files[f"{kind}/page-{number}.{kind}"] = rng.randbytes(rng.randint(200, 20_000))
    for number in range(6):
        text = f"/* bundle {number} */\n".encode() * 400
        name = f"assets/app-{number}.{rng.randbytes(4).hex()}.js"
        files |= {name: text, f"{name}.gz": gzip.compress(text)}
    for number in range(12):
        files[f"files/{''.join(rng.choices(string.ascii_lowercase, k=8))}-{number}.txt"] = rng.randbytes(3000)
    files["large.bin"] = rng.randbytes(1 << 20) * 8
    tree(SITE, files)
    own(UPLOADS, "www-data")


def static(run: Run) -> None:
    """Small files: some one by one, one under wrk."""
    pages = sorted(
        p for p in SITE.rglob("*") if p.suffix in (".html", ".css", ".js", ".png") and "private" not in p.parts
    )
    chosen = [str(p.relative_to(SITE)) for p in run.rng.sample(pages, 30)]
    each(lambda n: web.expect(200, "GET", f"/{chosen[n]}"), range(len(chosen)))
    for path in ("/", "/robots.txt"):
        web.expect(200, "GET", path)
    wrk(f"http://127.0.0.1:{PORT}/{chosen[0]}", run.seconds)


def ranges(run: Run) -> None:
    """Parts of a large file, alone and several in one request, and requests with a condition."""
    for _ in range(40):
        first = run.rng.randrange(8 << 20)
        web.expect(206, "GET", "/large.bin", Range=f"bytes={first}-{first + run.rng.randint(1, 60_000)}")
    web.expect(206, "GET", "/large.bin", Range="bytes=0-99,5000-6000,-200")
    web.expect(416, "GET", "/large.bin", Range=f"bytes={9 << 20}-")
    modified = (SITE / "robots.txt").stat().st_mtime
    web.expect(304, "GET", "/robots.txt", If_Modified_Since=formatdate(modified, usegmt=True))


def errors(run: Run) -> None:
    """What goes wrong on a public site: names that are not there, scanners, methods, bad requests, a dead upstream."""
    for _ in range(15):
        web.expect(404, "GET", f"/{run.rng.randbytes(5).hex()}/{run.rng.choice(('index.php', '.env', 'wp-login.php'))}")
    web.expect(403, "GET", "/html/")
    web.expect(401, "GET", "/private/")
    web.expect(401, "GET", "/private/", Authorization="Basic c3RhZmY6d3Jvbmc=")
    web.expect(405, "POST", "/robots.txt", b"x")
    web.expect(413, "POST", "/api/in", b"", Content_Length=str(5 << 20))
    web.expect(502, "GET", "/dead/")
    web.raw(b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n")
    web.raw(b"\x16\x03\x01\x02\x00")


def proxy(run: Run) -> None:
    """The proxied application: small and large bodies (spooled to disk), large answers to a slow client, the cache."""
    for _ in range(10):
        web.expect(200, "POST", "/api/in", run.rng.randbytes(run.rng.choice((100, 4_000, 40_000, 900_000))))
    for _ in range(12):
        web.expect(200, "GET", f"/pages/bytes/{run.rng.randint(100, 90_000)}")
    web.expect(200, "GET", "/pages/bytes/777")
    web.expect(200, "GET", "/pages/bytes/777")
    each(lambda n: web.ask("GET", f"/api/bytes/{3_000_000 + n}", read=200_000), range(3), threads=3)


def upload(run: Run) -> None:
    """WebDAV: files put (by way of a temporary file and a rename), folders made, moved, copied and deleted."""
    folder = f"/uploads/{run.rng.randbytes(3).hex()}/"
    web.expect(201, "MKCOL", folder)
    for number in range(8):
        web.expect(201, "PUT", f"{folder}item-{number}.dat", run.rng.randbytes(run.rng.choice((50, 9_000, 300_000))))
    host = "http://127.0.0.1"
    web.expect(204, "MOVE", f"{folder}item-0.dat", Destination=f"{host}{folder}moved.dat")
    web.expect(204, "COPY", f"{folder}item-1.dat", Destination=f"{host}{folder}copy.dat")
    web.expect(200, "GET", f"{folder}moved.dat")
    for number in range(2, 5):
        web.expect(204, "DELETE", f"{folder}item-{number}.dat")


def large(run: Run) -> None:
    """A large file: whole, to several at once, and to a client that hangs up."""
    each(lambda _: web.expect(200, "GET", "/large.bin"), range(6))
    each(lambda n: web.ask("GET", "/large.bin", read=10_000 * (n + 1)), range(run.rng.randint(3, 8)))


def listing(run: Run) -> None:
    """Directory listings, precompressed files and the password-protected corner."""
    web.expect(200, "GET", "/files/")
    names = sorted(p.name for p in (SITE / "files").iterdir())
    for name in run.rng.sample(names, 6):
        web.expect(200, "GET", f"/files/{name}")
    for path in sorted((SITE / "assets").glob("*.js")):
        web.expect(200, "GET", f"/assets/{path.name}", Accept_Encoding="gzip")


def rotate(run: Run) -> None:
    """Log rotation as logrotate does it: rename, SIGUSR1 to reopen, compress the old one."""
    for log in ("access.log", "site.log", "error.log"):
        (LOGS / log).rename(LOGS / f"{log}.1")
    os.kill(run.pid, signal.SIGUSR1)
    time.sleep(0.5)
    web.expect(200, "GET", "/")


def configure(_: Run) -> None:
    """A second server in the configuration."""
    (Path("/etc/nginx/conf.d") / "status.conf").write_text("server { listen 8081; location / { stub_status; } }\n")


def reload(run: Run) -> None:
    """A new configuration and SIGHUP: old workers leave, new ones start."""
    configure(run)
    os.kill(run.pid, signal.SIGHUP)
    time.sleep(0.8)
    Web(8081).expect(200, "GET", "/")


def crash_worker(run: Run) -> None:
    """A worker dies by SIGSEGV and is replaced."""
    os.kill(processes.children(run.pid)[0], signal.SIGSEGV)
    time.sleep(0.5)


def crash(run: Run) -> None:
    """A worker dies by SIGSEGV and is replaced; then the main process dies the same way, its workers with it."""
    crash_worker(run)
    workers = processes.children(run.pid)
    os.kill(run.pid, signal.SIGSEGV)
    for worker in workers:  # orphans would go on serving
        os.kill(worker, signal.SIGTERM)


workload = Workload(
    name="nginx",
    command=("nginx", "-g", "daemon off;"),
    executable="/usr/sbin/nginx",
    mounts={"/etc/nginx": "root", "/var/www": "root", "/var/lib/nginx": "root", "/var/log": "root"},
    prepare=prepare,
    ready=lambda pid: processes.listening(PORT) and len(processes.children(pid)) >= 2,
    kinds={
        "static": Kind(static, 0.7),
        "ranges": Kind(ranges, 0.3),
        "errors": Kind(errors, 0.5),
        "proxy": Kind(proxy, 0.4),
        "upload": Kind(upload, 0.3),
        "large": Kind(large, 0.2),
        "listing": Kind(listing, 0.3),
    },
    drills={
        "reload": Drill(reload, "reload", configure),
        "rotate": Drill(rotate, "rotate=USR1"),
        "stop": Drill(signal_drill(signal.SIGQUIT, settle=0.2), "stop"),
        "crash": Drill(crash, "crash", crash_worker),
    },
    touch=lambda: web.ask("GET", "/"),
    version=("nginx", "-v"),
)
