"""Requests on GitHub and GitLab, against servers that check path, headers and body as the public API documents them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forge_servers import ForgeServer, GitHttp
from repositories import Server

from discover.errors import UsageError
from discover.propose import Outcome, Proposal, propose
from discover.propose.body import title_of
from discover.propose.errors import NotAllowed, ProposeError, Unreachable
from discover.propose.forge import forge_of
from discover.propose.remote import Credentials, credentials, parse_remote
from discover.review import Review

TOKEN = "tok_SecretOfTheTest0123456789"
Fewer = Callable[..., Review]
KINDS = ["github", "gitlab"]


class Site:
    """A forge with its git server and one project, ``shop/policies``."""

    def __init__(self, kind: str, tmp_path: Path, stopping: Any, monkeypatch: Any) -> None:
        self.kind = kind
        self.server = Server(tmp_path / "site" / "shop" / "policies.git", {"README.md": "x\n"})
        self.git = stopping(GitHttp(tmp_path / "site", TOKEN))
        self.rest = stopping(ForgeServer(kind, "shop/policies", TOKEN))
        self.state = self.rest.state
        monkeypatch.setenv("GITHUB_TOKEN" if kind == "github" else "GITLAB_TOKEN", TOKEN)

    def propose(self, *reviews: Review, **more: Any) -> Outcome:
        wanted = Proposal(
            self.git.url("shop/policies.git"),
            **{"author": "Ada <a@example.org>", "pages": (), "forge": self.kind, "forge_url": self.rest.url, **more},
        )
        return propose(list(reviews), wanted)

    def methods(self) -> list[str]:
        return [c.method for c in self.state.calls]


@pytest.fixture(params=KINDS)
def site(request: Any, tmp_path: Path, stopping: Any, monkeypatch: Any) -> Site:
    return Site(request.param, tmp_path, stopping, monkeypatch)


def text_of(made: dict[str, Any]) -> str:
    return str(made.get("body") or made.get("description"))


def test_opens_one_and_updates_the_same(site: Site, redis: Review, fewer: Fewer) -> None:
    first = site.propose(fewer("/etc/passwd"))
    assert first.state == "opened"
    (made,) = site.state.requests
    assert first.url == (made.get("html_url") or made["web_url"])
    assert made["title"] == "Add KubeArmor policy redis"
    assert "How to roll back" in text_of(made)
    again = site.propose(fewer("/etc/passwd"))
    assert (again.state, again.commit, again.url) == ("up to date", "", first.url)
    more = site.propose(redis)
    assert (more.state, more.url) == ("updated", first.url)
    assert len(site.state.requests) == 1
    assert site.methods() == ["GET", "POST", "GET", "GET", {"github": "PATCH", "gitlab": "PUT"}[site.kind]]
    assert site.server.tip("discover/redis") == more.commit


def test_nothing_new_asks_for_nothing(site: Site, redis: Review) -> None:
    site.propose(redis)
    site.server.commit({"policies/redis.yaml": site.server.read("policies/redis.yaml", "discover/redis")})
    calls = len(site.state.calls)
    assert site.propose(redis).state == "nothing new"
    assert len(site.state.calls) == calls
    assert len(site.state.requests) == 1


def test_an_expired_token_shows_before_anything_is_pushed(
    site: Site, redis: Review, monkeypatch: Any, caplog: Any
) -> None:
    site.git.token = "tok_expired0123456789"  # git still takes it, the API does not
    monkeypatch.setenv("DISCOVER_GIT_TOKEN", "tok_expired0123456789")
    before = site.server.refs()
    with caplog.at_level(0), pytest.raises(NotAllowed, match="401") as caught:
        site.propose(redis)
    assert "the token from DISCOVER_GIT_TOKEN" in str(caught.value)
    assert "tok_" not in f"{caught.value}{caught.value.hint}{caplog.text}"
    assert site.server.refs() == before


def test_a_refused_request_takes_the_branch_back(site: Site, redis: Review, fewer: Fewer) -> None:
    site.state.refuse["POST"] = (422, {"message": "Validation Failed", "errors": [{"message": f"no {TOKEN} here"}]})
    before = site.server.refs()
    with pytest.raises(ProposeError, match="422") as caught:
        site.propose(redis)
    assert "Validation Failed" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert site.server.refs() == before
    del site.state.refuse["POST"]
    site.propose(fewer("/etc/passwd"))
    kept = site.server.refs()
    site.state.refuse["PATCH"] = site.state.refuse["PUT"] = (403, {"message": "Forbidden"})
    with pytest.raises(NotAllowed):
        site.propose(redis)
    assert site.server.refs() == kept


def test_a_project_that_is_not_there(site: Site, redis: Review) -> None:
    site.state.refuse["GET"] = (404, {"message": "Not Found"})
    with pytest.raises(NotAllowed, match="404 Not Found") as caught:
        site.propose(redis)
    assert "does the project exist" in caught.value.hint
    assert site.server.tip("discover/redis") == ""


def test_a_forge_that_is_no_forge(redis: Review, stopping: Any) -> None:
    remote = parse_remote("https://git.example.org/shop/policies.git")
    forge = forge_of("github", remote, Credentials("u", TOKEN, "here"), "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="does not answer"):
        forge.find("b", "main")


def test_only_what_changed_is_told(site: Site, redis: Review, fewer: Fewer) -> None:
    """A new image behaves differently: the request is about that, and each new rule says why."""
    site.propose(fewer("/etc/passwd", "/etc/group"))
    site.server.commit({"policies/redis.yaml": site.server.read("policies/redis.yaml", "discover/redis")})
    outcome = site.propose(redis, branch="discover/redis-new")
    head = outcome.body.split("## command/redis")[0]
    assert head.count("**new**") == 2
    assert "/etc/passwd" in head
    assert "/etc/group" in head
    assert "/etc/ld.so.cache" not in head
    assert head.count("why: 6 of 6 units") == 2
    assert outcome.title == "Update KubeArmor policy redis: 2 changes, 2 permit more"


@pytest.mark.parametrize(
    ("address", "given", "api", "place"),
    [
        ("https://github.com/o/n.git", "", "https://api.github.com", "/repos/o/n/pulls"),
        ("git@ssh.github.com:o/n.git", "", "https://api.github.com", "/repos/o/n/pulls"),
        ("ssh://git@github.acme.com:2222/o/n", "", "https://github.acme.com/api/v3", "/repos/o/n/pulls"),
        ("https://acme.ghe.com/o/n", "", "https://api.acme.ghe.com", "/repos/o/n/pulls"),
        ("git@altssh.gitlab.com:a/b.git", "", "https://gitlab.com/api/v4", "/projects/a%2Fb/merge_requests"),
        (
            "https://gitlab.x.org:8443/a/b/c",
            "",
            "https://gitlab.x.org:8443/api/v4",
            "/projects/a%2Fb%2Fc/merge_requests",
        ),
        (
            "https://x.org/gitlab/a/b.git",
            "https://x.org/gitlab/api/v4/",
            "https://x.org/gitlab/api/v4",
            "/projects/a%2Fb/merge_requests",
        ),
    ],
)
def test_where_the_api_is(address: str, given: str, api: str, place: str) -> None:
    remote = parse_remote(address)
    kind = remote.forge() if not given else "gitlab"
    made: Any = forge_of(kind, remote, Credentials("u", TOKEN, "here"), given)
    assert (made.rest.base, made.place) == (api, place)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_token_nothing_is_pushed(kind: str, tmp_path: Path, redis: Review, stopping: Any) -> None:
    """A repository that anybody may write to still takes no request from nobody."""
    server = Server(tmp_path / "site" / "shop" / "policies.git", {"README.md": "x\n"})
    git = stopping(GitHttp(tmp_path / "site"))
    before = server.refs()
    wanted = Proposal(git.url("shop/policies.git"), author="A <a@b.c>", pages=(), forge=kind)
    with pytest.raises(NotAllowed, match="wants a token to open a request, and there is none") as caught:
        propose([redis], wanted)
    assert {"github": "GH_TOKEN", "gitlab": "GITLAB_TOKEN"}[kind] in caught.value.hint
    assert server.refs() == before


def test_a_job_token_is_not_enough(monkeypatch: Any) -> None:
    monkeypatch.setenv("CI_JOB_TOKEN", TOKEN)
    remote = parse_remote("https://gitlab.com/a/b")
    with pytest.raises(NotAllowed) as caught:
        forge_of("gitlab", remote, credentials(remote, "gitlab"))
    assert "CI_JOB_TOKEN may open none" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body", "message", "hint"),
    [
        (409, {"message": ["Another open merge request already exists: !7"]}, "already exists: !7", "says why"),
        (400, {"message": {"title": ["is too long"]}}, "title is too long", "says why"),
        (429, {"message": "Retry later"}, "too many requests", "later"),
        (301, {"message": "Moved Permanently"}, "it is at another address now", "new address"),
    ],
)
def test_what_a_forge_refuses_is_said(
    site: Site, redis: Review, status: int, body: Any, message: str, hint: str
) -> None:
    site.state.refuse["POST"] = (status, body)
    before = site.server.refs()
    with pytest.raises(ProposeError, match=message) as caught:
        site.propose(redis)
    assert hint in caught.value.hint
    assert site.server.refs() == before


def test_a_title_fits(redis: Review) -> None:
    policy = redis.policies[0]
    long = replace(policy, metadata=replace(policy.metadata, name="a" * 253))
    title = title_of([replace(redis, policies=(long,), against=(policy,))])
    assert len(title) == 255
    assert title.endswith("…")


@pytest.mark.parametrize("address", ["ssh://-oProxyCommand=x/o/n", "git@-oProxyCommand=x:o/n"])
def test_an_address_is_no_option(address: str) -> None:
    with pytest.raises(UsageError, match="no address of a repository"):
        parse_remote(address)


@pytest.mark.parametrize(
    ("address", "kind", "project", "shown"),
    [
        ("https://github.com/o/n.git", "github", "o/n", "https://github.com/o/n.git"),
        ("git@github.com:o/n.git", "github", "o/n", "ssh://git@github.com/o/n.git"),
        ("https://gitlab.example.org/a/b/c", "gitlab", "a/b/c", "https://gitlab.example.org/a/b/c"),
        ("ssh://git@gitlab.com:22/a/b.git", "gitlab", "a/b", "ssh://git@gitlab.com:22/a/b.git"),
        ("https://u:secret@git.example.org/o/n", "none", "o/n", "https://git.example.org/o/n"),
        ("https://notgithub.example.org/o/n", "none", "o/n", "https://notgithub.example.org/o/n"),
    ],
)
def test_addresses(address: str, kind: str, project: str, shown: str) -> None:
    remote = parse_remote(address)
    assert (remote.forge(), remote.project, str(remote)) == (kind, project, shown)
    assert "secret" not in repr(remote)


def test_a_token_does_not_travel_in_the_clear(redis: Review, monkeypatch: Any) -> None:
    monkeypatch.setenv("DISCOVER_GIT_TOKEN", TOKEN)
    with pytest.raises(NotAllowed, match="plain http"):
        propose([redis], Proposal("http://git.example.org/o/n", author="A <a@b>"))
    assert TOKEN not in repr(Credentials("u", TOKEN, "x"))
