"""Servers on loopback: git's own http backend, and the two forges' REST as their documentation has it."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Nothing: a test's output is its own."""

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server:
    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    scheme = "http"

    def speak_tls(self, certificate: Path) -> Any:
        """From now on https, with the key and certificate in this file; returns itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "https"
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class GitHttp(_Server):
    """``git http-backend`` behind a small server: the smart protocol as every forge speaks it (git-http-backend(1))."""

    def __init__(self, root: Path, token: str = "", *, may_write: bool = True) -> None:
        server = self
        self.token, self.may_write, self.seen = token, may_write, []

        class Handler(_Quiet):
            def do_GET(self) -> None:
                self.serve()

            def do_POST(self) -> None:
                self.serve()

            def serve(self) -> None:
                length = self.headers.get("Content-Length")
                body = self.rfile.read(int(length)) if length else self.chunks()
                server.seen.append((self.command, self.path))
                told = self.headers.get("Authorization", "")
                if server.token:
                    kind, _, value = told.partition(" ")
                    _user, _, password = base64.b64decode(value or "").decode().partition(":")
                    if kind != "Basic" or password != server.token:
                        self.answer(401, b"no", {"WWW-Authenticate": 'Basic realm="git"'})
                        return
                if not server.may_write and "receive-pack" in self.path:
                    self.answer(403, b"forbidden")
                    return
                parts = urlsplit(self.path)
                done = subprocess.run(
                    ["git", "http-backend"],
                    input=body,
                    capture_output=True,
                    check=False,
                    env={
                        "PATH": os.environ["PATH"],
                        "GIT_PROJECT_ROOT": str(root),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "PATH_INFO": unquote(parts.path),
                        "QUERY_STRING": parts.query,
                        "REQUEST_METHOD": self.command,
                        "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                        "CONTENT_LENGTH": str(len(body)),
                        "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                        "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                        "REMOTE_USER": "tester",
                        "REMOTE_ADDR": "127.0.0.1",
                        "GIT_CONFIG_COUNT": "1",
                        "GIT_CONFIG_KEY_0": "safe.directory",
                        "GIT_CONFIG_VALUE_0": "*",
                    },
                )
                head, _, rest = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
                status = int(headers.pop("Status", "200").split()[0])
                self.answer(status, rest, headers)

            def chunks(self) -> bytes:
                body = b""
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                return body

        super().__init__(Handler)

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"


@dataclass
class Call:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class ForgeState:
    """What a forge knows, and every call that it got."""

    calls: list[Call] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    refuse: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """By method: what to answer instead."""


class ForgeServer(_Server):
    """GitHub's or GitLab's REST for requests; a call that its documentation does not have gets 404 or 422."""

    def __init__(self, kind: str, project: str, token: str) -> None:
        state = self.state = ForgeState()

        class Handler(_Quiet):
            def serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                parts = urlsplit(self.path)
                call = Call(
                    self.command,
                    parts.path,
                    parse_qs(parts.query),
                    {k.lower(): v for k, v in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
                state.calls.append(call)
                status, body = self.decide(call)
                self.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

            def decide(self, call: Call) -> tuple[int, Any]:
                if call.method in state.refuse:
                    return state.refuse[call.method]
                return github(state, call, project, token) if kind == "github" else gitlab(state, call, project, token)

            do_GET = do_POST = do_PATCH = do_PUT = serve  # noqa: N815 - http.server's names

        super().__init__(Handler)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def github(state: ForgeState, call: Call, project: str, token: str) -> tuple[int, Any]:
    """https://docs.github.com/en/rest/pulls/pulls?apiVersion=2022-11-28."""
    if call.headers.get("authorization") != f"Bearer {token}":
        return 401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"}
    if call.headers.get("accept") != "application/vnd.github+json":
        return 415, {"message": "Unsupported 'Accept' header"}
    if call.headers.get("x-github-api-version") != "2022-11-28":
        return 400, {"message": "no such version"}
    place = f"/repos/{project}/pulls"
    if call.path == place and call.method == "GET":
        owner, _, branch = call.query["head"][0].partition(":")
        assert owner == project.split("/")[0]
        found = [
            r
            for r in state.requests
            if r["head"]["ref"] == branch
            and r["base"]["ref"] == call.query["base"][0]
            and r["state"] == call.query["state"][0]
        ]
        return 200, found
    if call.path == place and call.method == "POST":
        if set(call.body) - {"title", "head", "base", "body", "draft", "maintainer_can_modify"}:
            return 422, {"message": "Validation Failed"}
        number = len(state.requests) + 1
        made = {
            "number": number,
            "state": "open",
            "html_url": f"https://github.example/{project}/pull/{number}",
            "title": call.body["title"],
            "body": call.body["body"],
            "head": {"ref": call.body["head"]},
            "base": {"ref": call.body["base"]},
        }
        state.requests.append(made)
        return 201, made
    number = call.path.removeprefix(f"{place}/")
    if call.method == "PATCH" and number.isdigit() and 0 < int(number) <= len(state.requests):
        if set(call.body) - {"title", "body", "state", "base", "maintainer_can_modify"}:
            return 422, {"message": "Validation Failed"}
        state.requests[int(number) - 1].update(call.body)
        return 200, state.requests[int(number) - 1]
    return 404, {"message": "Not Found"}


def gitlab(state: ForgeState, call: Call, project: str, token: str) -> tuple[int, Any]:
    """https://docs.gitlab.com/api/merge_requests/."""
    if call.headers.get("private-token") != token:
        return 401, {"message": "401 Unauthorized"}
    place = f"/projects/{project.replace('/', '%2F')}/merge_requests"
    if call.path == place and call.method == "GET":
        if call.query.get("scope") not in (None, ["all"]):
            return 200, []  # only one's own
        return 200, [
            r
            for r in state.requests
            if r["source_branch"] == call.query["source_branch"][0]
            and r["target_branch"] == call.query["target_branch"][0]
            and r["state"] == call.query["state"][0]
        ]
    if call.path == place and call.method == "POST":
        missing = {"source_branch", "target_branch", "title"} - set(call.body)
        if missing:
            return 400, {"error": f"{missing} is missing"}
        number = len(state.requests) + 1
        made = {
            "iid": number,
            "id": 1000 + number,
            "state": "opened",
            "web_url": f"https://gitlab.example/{project}/-/merge_requests/{number}",
            **call.body,
        }
        state.requests.append(made)
        return 201, made
    number = call.path.removeprefix(f"{place}/")
    if call.method == "PUT" and number.isdigit() and 0 < int(number) <= len(state.requests):
        state.requests[int(number) - 1].update(call.body)
        return 200, state.requests[int(number) - 1]
    return 404, {"message": "404 Not found"}
