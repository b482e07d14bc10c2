"""Where a repository is, and who may write there: addresses, tokens, and keeping tokens out of every message.

A token comes from the environment (`TOKENS`), else from ``git credential fill``, which asks the helpers that the user
configured and never a terminal. It travels in headers only: not in an address, a commit, a log line or an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from discover.errors import UsageError
from discover.propose.errors import NotAllowed

__all__ = ["TOKENS", "Credentials", "Remote", "credentials", "parse_remote"]

TOKENS = {
    "github": ("DISCOVER_GIT_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
    "gitlab": ("DISCOVER_GIT_TOKEN", "GITLAB_TOKEN"),
    "none": ("DISCOVER_GIT_TOKEN",),
}
"""Environment variables that are looked at, in this order, by forge. GitLab's ``CI_JOB_TOKEN`` is none of them: it may
read merge requests and open none (https://docs.gitlab.com/ci/jobs/ci_job_token/#job-token-access)."""
_USERS = {"github": "x-access-token", "gitlab": "oauth2", "none": "git"}
"""The user name that goes with a token over https; GitHub and GitLab take any, and document these."""
_SCP = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>[^/:]+):(?P<path>[^/].*|/.*)")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SSH_HOSTS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
"""Names under which the two forges answer ssh on port 443, and the name of the forge itself."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository's address, without anything secret in it."""

    scheme: str
    """``https``, ``http``, ``ssh`` or ``file``."""
    host: str
    path: str
    port: int | None = None
    user: str = ""
    inside: tuple[str, str] | None = field(default=None, repr=False)
    """User and password that stood in the address; never shown."""

    def __str__(self) -> str:
        if self.scheme == "file":
            return self.path
        user = f"{self.user}@" if self.user and self.scheme == "ssh" else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{self.host}{port}/{self.path.lstrip('/')}"

    @property
    def project(self) -> str:
        """``owner/name``, as forges call it."""
        return self.path.strip("/").removesuffix(".git")

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return self.host in _LOOPBACK

    @property
    def site(self) -> str:
        """The web address of the host: ``https://git.example.org:8443``. An ssh port says nothing about the web's."""
        name = _SSH_HOSTS.get(self.host, self.host) if self.scheme == "ssh" else self.host
        name = f"[{name}]" if ":" in name else name
        scheme, port = ("https", None) if self.scheme == "ssh" else (self.scheme, self.port)
        return f"{scheme}://{name}" + (f":{port}" if port else "")

    def forge(self) -> str:
        """``github``, ``gitlab`` or ``none``, by the host's name; ``ghe.com`` is GitHub's domain for enterprises."""
        words = re.split(r"[.-]", self.host.lower())
        if "github" in words or words[-2:] == ["ghe", "com"]:
            return "github"
        return "gitlab" if "gitlab" in words else "none"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a server. Shows nothing of itself."""

    user: str = field(repr=False, default="")
    token: str = field(repr=False, default="")
    source: str = "nowhere"
    """Where it was found: the name of the variable, or the helper."""

    def hide(self, text: str) -> str:
        """A text without the token in it, however a server may have quoted it."""
        for secret in {self.token, unquote(self.token)}:
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def parse_remote(address: str) -> Remote:
    """Read an address as git does: a URL, ``user@host:path``, or a path. Raises `UsageError`."""
    if "://" in address:
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"the repository's address cannot be read: {error}", _HINT) from None
        if parts.scheme == "file":
            return Remote("file", "", unquote(parts.path))
        if parts.scheme not in ("https", "http", "ssh") or not parts.hostname or parts.hostname.startswith("-"):
            raise UsageError(f"no address of a repository: {parts.scheme}://…", _HINT)
        inside = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.password else None
        user = "" if inside else unquote(parts.username or "")
        return Remote(parts.scheme, parts.hostname, parts.path, port, user, inside)
    if (scp := _SCP.fullmatch(address)) and not Path(address).exists():
        if scp["host"].startswith("-"):  # ssh would read it as an option
            raise UsageError(f"no address of a repository: {address}", _HINT)
        return Remote("ssh", scp["host"], scp["path"], None, scp["user"] or "")
    return Remote("file", "", str(Path(address).absolute()))


_HINT = "https://HOST/OWNER/NAME, ssh://git@HOST/OWNER/NAME, git@HOST:OWNER/NAME, or a folder"


def credentials(remote: Remote, forge: str, environment: Mapping[str, str] | None = None) -> Credentials:
    """Who may write there, if anybody says so. Raises `NotAllowed` rather than send a token over plain http."""
    environment = os.environ if environment is None else environment
    found = _from_environment(forge, environment)
    if not found.token and remote.inside:
        found = Credentials(*remote.inside, "the address")
    if not found.token and (remote.scheme in ("https", "http") or (remote.scheme == "ssh" and forge != "none")):
        found = _from_helper(remote, environment)
    if found.token and remote.scheme == "http" and not remote.is_loopback:
        raise NotAllowed(
            f"{remote} is plain http, and the token from {found.source} would be readable on the way", "use https"
        )
    return found


def _from_environment(forge: str, environment: Mapping[str, str]) -> Credentials:
    for name in TOKENS[forge]:
        if token := environment.get(name, "").strip():
            return Credentials(environment.get("DISCOVER_GIT_USER") or _USERS[forge], token, name)
    return Credentials()


def _from_helper(remote: Remote, environment: Mapping[str, str]) -> Credentials:
    """What ``git credential fill`` knows (gitcredentials(7)); no question reaches a terminal."""
    git = shutil.which("git")
    if git is None:
        return Credentials()
    # over ssh it is only the forge's API that wants a token
    protocol, _, host = remote.site.partition("://")
    asked = f"protocol={protocol}\nhost={host}\npath={remote.path.lstrip('/')}\n\n"
    quiet = {**environment, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": ""}
    try:
        done = subprocess.run(
            [git, "credential", "fill"],
            input=asked,
            capture_output=True,
            text=True,
            timeout=30,
            env=quiet,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Credentials()
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if done.returncode or not told.get("password"):
        return Credentials()
    return Credentials(told.get("username", "git"), told["password"], "git's credential helper")
