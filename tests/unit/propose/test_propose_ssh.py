"""Proposals over ssh to a real sshd: git's programs run there, keys and host keys are checked there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from repositories import Server, git
from ssh_server import Sshd, missing

from discover.propose import Proposal, propose
from discover.propose.errors import NotAllowed, Unreachable
from discover.review import Review

Make = Callable[..., Proposal]
Fewer = Callable[..., Review]
BRANCH = "discover/redis"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if why := missing():
        pytest.skip(why)
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def key(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", sshd.command())


def test_pushed_and_updated(server: Server, sshd: Sshd, redis: Review, fewer: Fewer, proposal: Make) -> None:
    first = propose([fewer("/etc/passwd")], proposal(remote=sshd.url(server.place)))
    assert (first.state, first.base) == ("pushed", "main")
    assert server.tip(BRANCH) == first.commit
    assert git(server.place, "fsck", "--strict").strip() == ""
    assert propose([fewer("/etc/passwd")], proposal(remote=sshd.url(server.place))).state == "up to date"
    second = propose([redis], proposal(remote=sshd.url(server.place)))
    assert git(server.place, "rev-parse", f"{second.commit}^").strip() == first.commit
    assert "Signed-off-by: Ada <ada@example.org>" in git(server.place, "log", "-1", "--format=%B", BRANCH)


def test_the_short_form_with_a_host_of_the_users_configuration(
    server: Server, sshd: Sshd, redis: Review, proposal: Make
) -> None:
    outcome = propose([redis], proposal(remote=f"{sshd.user}@forge:{server.place}"))
    assert server.tip(BRANCH) == outcome.commit


@pytest.mark.parametrize(
    ("used", "known", "error", "message"),
    [
        ("stranger", "known", NotAllowed, r"may not be read: .*Permission denied \(publickey\)"),
        ("mine", "unknown", Unreachable, r"Host key verification failed"),
        ("reader", "known", NotAllowed, r"may not be written: .*marked as read only"),
    ],
)
def test_refused_there_and_nothing_changed(
    server: Server,
    sshd: Sshd,
    redis: Review,
    proposal: Make,
    monkeypatch: pytest.MonkeyPatch,
    used: str,
    known: str,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", sshd.command(used, known))
    before = server.refs()
    with pytest.raises(error, match=message) as caught:
        propose([redis], proposal(remote=sshd.url(server.place)))
    hint: Any = caught.value
    assert ("known_hosts" if known == "unknown" else "key") in hint.hint
    assert server.refs() == before


def test_no_repository_and_no_server(sshd: Sshd, redis: Review, proposal: Make, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="does not appear to be a git repository"):
        propose([redis], proposal(remote=sshd.url(tmp_path / "nowhere.git")))
    with pytest.raises(Unreachable, match="Connection refused"):
        propose([redis], proposal(remote=f"ssh://{sshd.user}@127.0.0.1:9/x.git"))


def test_a_hook_says_no(server: Server, sshd: Sshd, redis: Review, proposal: Make) -> None:
    hook = server.place / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no direct pushes' >&2\nexit 1\n")
    hook.chmod(0o755)
    before = server.refs()
    with pytest.raises(Exception, match="refused the push to discover/redis: pre-receive hook declined"):
        propose([redis], proposal(remote=sshd.url(server.place)))
    assert server.refs() == before
