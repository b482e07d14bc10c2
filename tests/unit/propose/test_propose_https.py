"""A forge of one's own over https, with a certificate that the machine does not know until it is told."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from forge_servers import ForgeServer, GitHttp
from repositories import Server

from discover.propose import Outcome, Proposal, propose
from discover.propose.errors import Unreachable
from discover.review import Review

TOKEN = "tok_SecretOfTheTest0123456789"


class Site:
    """A GitLab over TLS and its git server, with one project."""

    def __init__(self, folder: Path, stopping: Any) -> None:
        self.certificate = folder / "certificate.pem"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=forge -addext"
        names = ["subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
        subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
        self.certificate.write_text((folder / "key").read_text() + (folder / "cert").read_text())
        self.authority = folder / "cert"
        self.server = Server(folder / "site" / "shop" / "policies.git", {"README.md": "x\n"})
        self.git = stopping(GitHttp(folder / "site", TOKEN)).speak_tls(self.certificate)
        self.rest = stopping(ForgeServer("gitlab", "shop/policies", TOKEN)).speak_tls(self.certificate)

    def propose(self, review: Review) -> Outcome:
        remote = self.git.url("shop/policies.git")
        wanted = Proposal(remote, author="Ada <a@example.org>", pages=(), forge="gitlab", forge_url=self.rest.url)
        return propose([review], wanted)


@pytest.fixture
def site(tmp_path: Path, stopping: Any, monkeypatch: Any) -> Site:
    monkeypatch.setenv("GITLAB_TOKEN", TOKEN)
    return Site(tmp_path, stopping)


def test_a_certificate_by_the_environment(site: Site, redis: Review, monkeypatch: Any) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(site.authority))
    outcome = site.propose(redis)
    assert outcome.state == "opened"
    assert len(site.rest.state.requests) == 1


def test_a_certificate_by_git_s_configuration(site: Site, redis: Review, tmp_path: Path) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(config.read_text() + f"[http]\n\tsslCAInfo = {site.authority}\n")
    assert site.propose(redis).state == "opened"


def test_an_unknown_certificate_is_refused_with_what_to_do(site: Site, redis: Review) -> None:
    before = site.server.refs()
    with pytest.raises(Unreachable, match="certificate") as caught:
        site.propose(redis)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    assert site.server.refs() == before
