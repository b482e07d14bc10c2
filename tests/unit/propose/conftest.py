"""Repositories, and a review whose costly parts are worked out once."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discover.propose import Proposal
from discover.review import Review, open_review
from models.dataset import open_dataset

sys.path.insert(0, str(Path(__file__).parent))

from repositories import AUTHOR, ROOT, Server


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token and no configuration of whoever runs the tests."""
    for name in ("DISCOVER_GIT_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN", "DISCOVER_GIT_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    (tmp_path / "gitconfig").write_text("[safe]\n\tdirectory = *\n[user]\n\tname = T\n\temail = t@example.org\n")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "srv" / "policies.git", {"README.md": "policies\n"})


@pytest.fixture(scope="session")
def redis() -> Review:
    review = open_review(open_dataset([ROOT / "datasets/redis"]))
    _ = review.coverage, review.rules, review.files
    return review


@pytest.fixture
def fewer(redis: Review) -> Callable[..., Review]:
    """The review of a policy without some file rules: as if that had never been recorded."""

    def make(*paths: str) -> Review:
        policy = redis.policies[0]
        kept = tuple(p for p in policy.spec.file.match_paths if p.path not in paths)
        assert len(kept) == len(policy.spec.file.match_paths) - len(paths)
        less = replace(policy, spec=replace(policy.spec, file=replace(policy.spec.file, match_paths=kept)))
        review = replace(redis, policies=(less,), generated=None, source=None)
        review.__dict__["coverage"] = redis.coverage
        return review

    return make


@pytest.fixture
def proposal(server: Server) -> Callable[..., Proposal]:
    def make(**more: Any) -> Proposal:
        return Proposal(**{"remote": str(server.place), "author": AUTHOR, "pages": ("md",), **more})

    return make


@pytest.fixture
def stopping() -> Iterator[Callable[[Any], Any]]:
    """Servers that are stopped in the end."""
    servers: list[Any] = []

    def keep(one: Any) -> Any:
        servers.append(one)
        return one

    yield keep
    for one in servers:
        one.stop()
