"""Pull and merge requests: the few REST calls that GitHub and GitLab need, as their documentation has them.

- GitHub: https://docs.github.com/rest/pulls/pulls (version 2022-11-28): list, create, update a pull request.
- GitLab: https://docs.gitlab.com/api/merge_requests: list, create, update a merge request.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import httpx

from discover.propose.errors import NotAllowed, ProposeError, Unreachable
from discover.propose.remote import Credentials, Remote
from discover.propose.trust import HINT, is_certificate, tls_context
from discover.text import printable

__all__ = ["Forge", "GitHub", "GitLab", "NoForge", "Request", "forge_of"]

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """A pull or merge request."""

    number: int
    url: str
    title: str = ""
    body: str = ""


class Forge(Protocol):
    """Where requests live."""

    word: str
    """What it calls one: ``pull request``."""

    def find(self, branch: str, base: str) -> Request | None:
        """The open request from a branch, if there is one. Asks with the token, so a bad one shows here."""
        ...  # pragma: no cover

    def create(self, branch: str, base: str, title: str, body: str) -> Request:
        """Open one."""
        ...  # pragma: no cover

    def update(self, request: Request, title: str, body: str) -> Request:
        """Give it another title and body."""
        ...  # pragma: no cover


class NoForge:
    """A repository without requests: a branch is pushed, and that is all."""

    word = "branch"

    def find(self, branch: str, base: str) -> Request | None:  # noqa: ARG002 - the protocol's
        """There is never one."""
        return None

    def create(self, branch: str, base: str, title: str, body: str) -> Request:  # noqa: ARG002
        """Nothing but a name."""
        return Request(0, "", title, body)

    def update(self, request: Request, title: str, body: str) -> Request:  # noqa: ARG002
        """Nothing."""
        return request


class _Rest:
    """One API with its headers, and its errors as ours."""

    def __init__(self, base: str, headers: dict[str, str], secret: Credentials, scope: str) -> None:
        self.base, self.secret, self.scope = base, secret, scope
        self.http = httpx.Client(
            base_url=base,
            headers={"User-Agent": "discover", **headers},
            timeout=_TIMEOUT,
            follow_redirects=False,
            verify=tls_context() if base.startswith("https:") else True,
        )

    def ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self.http.request(method, path, **more)
        except httpx.HTTPError as error:
            said = printable(self.secret.hide(str(error)))
            hint = HINT if is_certificate(said) else "is the address right?"
            raise Unreachable(f"{self.base} does not answer: {said}", hint) from None
        if answer.is_success:
            try:
                return answer.json()
            except ValueError:
                raise Unreachable(
                    f"{self.base} answered {method} {path} with something that is no JSON",
                    "name the API: --forge-url URL",
                ) from None
        raise self._error(method, path, answer)

    def _error(self, method: str, path: str, answer: httpx.Response) -> ProposeError:
        said = printable(self.secret.hide(_message(answer)))
        what = f"{self.base}: {method} {path}: {answer.status_code} {said}".rstrip()
        if answer.status_code == 401:
            where = f"the token from {self.secret.source}" if self.secret.token else "to be asked without a token"
            return NotAllowed(f"{what}: it does not take {where}", f"make a new token with {self.scope}")
        if answer.is_redirect:
            return ProposeError(
                f"{what}: it is at {printable(answer.headers.get('Location', 'another address'))[:200]} now",
                "name the repository by its new address",
            )
        if answer.status_code == 429 or answer.headers.get("X-RateLimit-Remaining") == "0":
            return ProposeError(f"{what}: too many requests for this token", "try again later")
        if answer.status_code in (403, 404):
            return NotAllowed(what, f"does the project exist, and has the token {self.scope}?")
        return ProposeError(what, "the answer above says why")


def _message(answer: httpx.Response) -> str:
    try:
        told = answer.json()
    except ValueError:
        return answer.reason_phrase
    if not isinstance(told, dict):
        return answer.reason_phrase
    message = told.get("message") or told.get("error_description") or told.get("error") or answer.reason_phrase
    errors = told.get("errors")
    details = [e.get("message") or e.get("code") if isinstance(e, dict) else e for e in errors or ()]
    if isinstance(message, dict):  # GitLab's, of what is wrong with each field
        message = [f"{k} {'; '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in message.items()]
    text = "; ".join(map(str, [*(message if isinstance(message, list) else [message]), *details]))
    return text[:500]


class GitHub:
    """GitHub, and GitHub Enterprise under its own address."""

    word = "pull request"

    def __init__(self, base: str, project: str, secret: Credentials) -> None:
        self.owner = project.split("/", maxsplit=1)[0]
        self.place = f"/repos/{quote(project)}/pulls"
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if secret.token:
            headers["Authorization"] = f"Bearer {secret.token}"
        self.rest = _Rest(base, headers, secret, "the right to write pull requests")

    def find(self, branch: str, base: str) -> Request | None:
        """``GET /repos/{owner}/{repo}/pulls?head=owner:branch``."""
        query = {"state": "open", "head": f"{self.owner}:{branch}", "base": base}
        found = self.rest.ask("GET", self.place, params=query)
        return _github(found[0]) if found else None

    def create(self, branch: str, base: str, title: str, body: str) -> Request:
        """``POST /repos/{owner}/{repo}/pulls``."""
        data = {"title": title, "head": branch, "base": base, "body": body}
        return _github(self.rest.ask("POST", self.place, json=data))

    def update(self, request: Request, title: str, body: str) -> Request:
        """``PATCH /repos/{owner}/{repo}/pulls/{number}``."""
        data = {"title": title, "body": body}
        return _github(self.rest.ask("PATCH", f"{self.place}/{request.number}", json=data))


def _github(told: dict[str, Any]) -> Request:
    return Request(
        int(told["number"]), str(told["html_url"]), str(told.get("title") or ""), str(told.get("body") or "")
    )


class GitLab:
    """GitLab, anywhere."""

    word = "merge request"

    def __init__(self, base: str, project: str, secret: Credentials) -> None:
        self.place = f"/projects/{quote(project, safe='')}/merge_requests"
        self.rest = _Rest(base, {"PRIVATE-TOKEN": secret.token} if secret.token else {}, secret, "the scope api")

    def find(self, branch: str, base: str) -> Request | None:
        """``GET /projects/:id/merge_requests?source_branch=``."""
        query = {"state": "opened", "scope": "all", "source_branch": branch, "target_branch": base}
        found = self.rest.ask("GET", self.place, params=query)
        return _gitlab(found[0]) if found else None

    def create(self, branch: str, base: str, title: str, body: str) -> Request:
        """``POST /projects/:id/merge_requests``."""
        data = {
            "source_branch": branch,
            "target_branch": base,
            "title": title,
            "description": body,
            "remove_source_branch": True,
        }
        return _gitlab(self.rest.ask("POST", self.place, json=data))

    def update(self, request: Request, title: str, body: str) -> Request:
        """``PUT /projects/:id/merge_requests/:iid``."""
        data = {"title": title, "description": body}
        return _gitlab(self.rest.ask("PUT", f"{self.place}/{request.number}", json=data))


def _gitlab(told: dict[str, Any]) -> Request:
    title, body = str(told.get("title") or ""), str(told.get("description") or "")
    return Request(int(told["iid"]), str(told["web_url"]), title, body)


def forge_of(name: str, remote: Remote, secret: Credentials, base: str = "") -> Forge:
    """The forge of a remote: `name` is ``github``, ``gitlab`` or ``none``, `base` its API where it is not the usual.

    Raises `NotAllowed` where no token is known: nobody opens a request without one.
    """
    if name == "none" or (remote.scheme == "file" and not base):
        return NoForge()
    api = base.rstrip("/") or _usual(name, remote)
    if not secret.token:
        variable = "GH_TOKEN" if name == "github" else "GITLAB_TOKEN"
        job = "CI_JOB_TOKEN" in os.environ and name == "gitlab"
        raise NotAllowed(
            f"{api} wants a token to open a request, and there is none",
            ("CI_JOB_TOKEN may open none; " if job else "")
            + f"set {variable}, configure a credential helper, or --forge none to push the branch alone",
        )
    return (GitHub if name == "github" else GitLab)(api, _project(remote, base), secret)


def _usual(name: str, remote: Remote) -> str:
    """Where a forge's API is.

    GitHub: https://docs.github.com/rest, for Enterprise Server below ``/api/v3`` of the host, with data residency at
    ``api.SUBDOMAIN.ghe.com``. GitLab: ``/api/v4`` of the host.
    """
    site = remote.site
    if name == "gitlab":
        return f"{site}/api/v4"
    if site in ("https://github.com", "https://www.github.com"):
        return "https://api.github.com"
    return site.replace("://", "://api.") if remote.host.endswith(".ghe.com") else f"{site}/api/v3"


def _project(remote: Remote, base: str) -> str:
    """``owner/name``, without the folder of a site below one: an API at ``/gitlab/api/v4`` serves ``/gitlab/o/n``."""
    folder = urlsplit(base).path.partition("/api/")[0].strip("/")
    return remote.project.removeprefix(f"{folder}/") if folder else remote.project
