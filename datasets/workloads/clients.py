"""Clients that put load on a unit, and the services that a unit itself calls: all on loopback, all bounded."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .workload import WorkloadError

__all__ = ["DNS_NAME", "UPSTREAM_PORT", "Web", "each", "multipart", "services", "tool", "until", "wrk"]

DNS_NAME = "upstream.internal"
"""A name that the unit's resolver answers with 127.0.0.1."""

UPSTREAM_PORT = 9000
"""Where the HTTP service listens that the workloads call."""


def tool(*command: str, stdin: str | None = None, timeout: float = 60.0, check: bool = True) -> str:
    """Runs a client program and returns what it printed; raises `WorkloadError` with its last words if it failed."""
    if not shutil.which(command[0]):
        raise WorkloadError(f"{command[0]} is not installed; see datasets/workloads/packages.txt")
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise WorkloadError(f"{' '.join(command[:6])}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def wrk(url: str, seconds: float, connections: int = 8, threads: int = 2) -> float:
    """Requests a second that wrk reached on `url`."""
    command = ("wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", url)
    for line in tool(*command).splitlines():
        if line.startswith("Requests/sec:"):
            return float(line.split()[1])
    raise WorkloadError(f"wrk printed no rate for {url}")


class Web:
    """An HTTP client for one port on loopback: a connection for each request, no redirects followed."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read: int | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of one request; `read` stops after so many bytes and hangs up.

        Asked again, up to twice, if the server hangs up first, as one does that replaces its workers.
        """
        for _ in range(2):
            with contextlib.suppress(ConnectionError):
                return self._once(method, path, body, headers or {}, read)
            time.sleep(0.2)
        return self._once(method, path, body, headers or {}, read)

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read: int | None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(read)
        finally:
            connection.close()

    def expect(self, status: int, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """The body of a request whose status must be `status`; header names are given with ``_`` for ``-``."""
        got, content = self.ask(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        if got != status:
            raise WorkloadError(f"{method} {path}: status {got}, expected {status}: {content[:200]!r}")
        return content

    def raw(self, request: bytes) -> bytes:
        """What the server answers to bytes that need not be HTTP."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
            link.sendall(request)
            link.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: link.recv(65536), b""))


def each(work: Callable[[int], object], numbers: Iterable[int], threads: int = 4) -> None:
    """Calls `work` with each number from a few threads; the first exception is raised here."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, numbers))


def multipart(field: str, filename: str, content: bytes, boundary: str) -> tuple[bytes, str]:
    """A form with one file, and its Content-Type."""
    disposition = f'form-data; name="{field}"; filename="{filename}"'
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class _Upstream(BaseHTTPRequestHandler):
    """Swallows what is posted and answers ``/bytes/N`` with N bytes, slowly if asked to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = int(self.path.rpartition("/")[2]) if self.path.rpartition("/")[2].isdigit() else 64
        self._answer(b"u" * size)

    def do_POST(self) -> None:
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            left -= len(self.rfile.read(min(left, 65536)))
        self._answer(b'{"stored": true}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing: the terminal shows the progress of the recording."""


class _Names(socketserver.BaseRequestHandler):
    """Answers every A question with 127.0.0.1 and every other with no records."""

    def handle(self) -> None:
        query, link = self.request
        end = query.index(b"\0", 12) + 5
        kind = struct.unpack("!H", query[end - 4 : end - 2])[0]
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton("127.0.0.1")
        answers = 1 if kind == 1 else 0
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, answers, 0, 0)
        link.sendto(head + query[12:end] + record * answers, self.client_address)


class services:  # noqa: N801 - used as a context manager, like contextlib's
    """The services that workloads call, for as long as the block runs: HTTP on `UPSTREAM_PORT`, DNS on port 53."""

    def __enter__(self) -> services:
        socketserver.ThreadingUDPServer.allow_reuse_address = True
        self._servers: list[socketserver.BaseServer] = [
            ThreadingHTTPServer(("127.0.0.1", UPSTREAM_PORT), _Upstream),
            socketserver.ThreadingUDPServer(("127.0.0.1", 53), _Names),
        ]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def until(seconds: float, work: Callable[[], object]) -> int:
    """Repeats `work` for `seconds`; how often."""
    end = time.monotonic() + seconds
    times = 0
    while time.monotonic() < end:
        work()
        times += 1
    return times
