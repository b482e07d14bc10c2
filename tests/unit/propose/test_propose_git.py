"""Proposals to real git servers, over file, http (git's own backend) and ssh."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forge_servers import GitHttp
from repositories import ROOT, Server, git

from discover.errors import UsageError
from discover.propose import Proposal, propose
from discover.propose.errors import Conflict, NotAllowed, ProposeError, Rejected, Unreachable
from discover.review import Review, open_reviews
from models.dataset import open_dataset
from models.learn.sidecar import from_json
from models.policy import load_policies

Make = Callable[..., Proposal]
Fewer = Callable[..., Review]
TOKEN = "ghp_SecretOfTheTest0123456789"
BRANCH = "discover/redis"


def test_a_branch_with_everything_signed_off(server: Server, redis: Review, proposal: Make) -> None:
    outcome = propose([redis], proposal(pages=("md", "html"), path="policies/{namespace}"))
    assert (outcome.state, outcome.branch, outcome.base) == ("pushed", BRANCH, "main")
    assert server.changed(BRANCH) == [
        "policies/default/redis.evidence.json",
        "policies/default/redis.posture.yaml",
        "policies/default/redis.review.html",
        "policies/default/redis.review.md",
        "policies/default/redis.yaml",
    ]
    assert server.tip(BRANCH) == outcome.commit
    assert server.read("policies/default/redis.yaml", BRANCH) == redis.text
    (policy,) = load_policies(server.read("policies/default/redis.yaml", BRANCH))
    assert policy == redis.policies[0]
    assert "kubearmor-file-posture: audit" in server.read("policies/default/redis.posture.yaml", BRANCH)
    message = git(server.place, "log", "-1", "--format=%B", BRANCH)
    assert message.startswith("Add KubeArmor policy redis\n\nFrom 6 units of command/redis.\n")
    assert message.rstrip().endswith("Signed-off-by: Ada <ada@example.org>")
    assert git(server.place, "log", "-1", "--format=%an <%ae>", BRANCH).strip() == "Ada <ada@example.org>"
    assert git(server.place, "fsck", "--strict").strip() == ""
    for part in (
        "What changes",
        "Look at these rules first",
        "What was observed",
        "Lost while recording",
        "Coverage: ",
        "Simulation",
        "How to roll back",
    ):
        assert part in outcome.body
    assert server.tip("main") == git(server.place, "merge-base", "main", BRANCH).strip()


def test_again_is_up_to_date_and_news_are_a_second_commit(
    server: Server, redis: Review, fewer: Fewer, proposal: Make
) -> None:
    first = propose([fewer("/etc/passwd")], proposal())
    before = server.refs()
    assert propose([fewer("/etc/passwd")], proposal()).state == "up to date"
    assert server.refs() == before
    second = propose([redis], proposal())
    assert git(server.place, "rev-parse", f"{second.commit}^").strip() == first.commit
    diff = git(server.place, "diff", first.commit, second.commit, "--", "policies/redis.yaml")
    added = [line for line in diff.splitlines() if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))]
    assert [line[1:].strip() for line in added] == ["- path: /etc/passwd", "readOnly: true"]


def test_after_the_merge_nothing_new_is_nothing(server: Server, redis: Review, fewer: Fewer, proposal: Make) -> None:
    propose([redis], proposal())
    git(server.place, "update-ref", "refs/heads/main", BRANCH)
    before = server.refs()
    assert propose([redis], proposal()).state == "nothing new"
    git(server.place, "update-ref", "-d", f"refs/heads/{BRANCH}")
    assert propose([redis], proposal()).state == "nothing new"
    assert before != server.refs()
    assert server.tip(BRANCH) == ""


def test_after_a_squash_the_branch_begins_anew(server: Server, redis: Review, fewer: Fewer, proposal: Make) -> None:
    propose([fewer("/etc/passwd")], proposal())
    server.commit({n: server.read(n, BRANCH) for n in server.changed(BRANCH)}, "squashed")
    outcome = propose([redis], proposal())
    assert git(server.place, "rev-parse", f"{BRANCH}^").strip() == server.tip("main")
    assert outcome.title == "Update KubeArmor policy redis: 1 change, 1 permit more"
    assert "**new**: `Allow file /etc/passwd (readOnly)`" in outcome.body
    assert "why: 6 of 6 units" in outcome.body


def test_what_people_wrote_is_kept(server: Server, redis: Review, fewer: Fewer, proposal: Make) -> None:
    text = propose([fewer("/etc/passwd")], proposal(dry_run=True)).diff
    assert "redis.yaml" in text
    propose([fewer("/etc/passwd")], proposal())
    mine = server.read("policies/redis.yaml", BRANCH)
    group = "    - path: /etc/group\n"
    edited = mine.replace(group, f"    # the accounts, by Ada\n{group}")
    assert edited != mine
    edited += "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}   # stays\n"
    server.commit({"policies/redis.yaml": edited, "policies/other.yaml": "a: 1 # theirs\n"})
    git(server.place, "update-ref", "-d", f"refs/heads/{BRANCH}")
    propose([redis], proposal())
    now = server.read("policies/redis.yaml", BRANCH)
    assert "# the accounts, by Ada\n" in now
    assert now.endswith("metadata: {name: theirs}   # stays\n")
    assert server.read("policies/other.yaml", BRANCH) == "a: 1 # theirs\n"
    assert "- path: /etc/passwd" in now


def test_evidence_is_by_the_places_of_the_file_as_people_ordered_it(
    server: Server, redis: Review, fewer: Fewer, proposal: Make
) -> None:
    propose([fewer("/etc/passwd")], proposal())
    mine = server.read("policies/redis.yaml", BRANCH)
    group = "    - path: /etc/group\n      readOnly: true\n"
    last = "    - path: /var/log/redis/redis-server.log\n"
    assert group in mine
    assert last in mine
    server.commit({"policies/redis.yaml": mine.replace(group, "").replace(last, last + group)})
    git(server.place, "update-ref", "-d", f"refs/heads/{BRANCH}")
    propose([redis], proposal())
    (policy,) = load_policies(server.read("policies/redis.yaml", BRANCH))
    evidence = json.loads(server.read("policies/redis.evidence.json", BRANCH))
    assert evidence["//"] == "+argocd:skip-file-rendering"
    assert from_json(json.dumps(evidence), "e").policy == "redis"
    places = {r["where"]: r for r in evidence["rules"]}
    paths = [p.path for p in policy.spec.file.match_paths]
    assert paths.index("/etc/group") > 10
    for number, path in enumerate(paths):
        assert path in places[f"spec.file.matchPaths[{number}]"]["examples"]


def test_a_dry_run_changes_nothing(server: Server, redis: Review, proposal: Make) -> None:
    before = server.refs()
    outcome = propose([redis], proposal(dry_run=True))
    assert outcome.state == "dry run"
    assert "+++ b/policies/redis.yaml" in outcome.diff
    assert "+    - path: /etc/passwd" in outcome.diff
    assert server.refs() == before


def test_a_conflict_is_said_and_leaves_all_as_it_was(
    server: Server, redis: Review, fewer: Fewer, proposal: Make
) -> None:
    propose([fewer("/etc/passwd")], proposal())
    server.commit(
        {"policies/redis.yaml": server.read("policies/redis.yaml", BRANCH).replace("/etc/group", "/etc/groups")}
    )
    before = server.refs()
    with pytest.raises(Conflict, match=r"policies/redis\.yaml was changed on main and on discover/redis") as caught:
        propose([redis], proposal())
    assert "merge main into discover/redis" in caught.value.hint
    assert server.refs() == before


def test_a_protected_branch_refuses_clearly(server: Server, redis: Review, proposal: Make) -> None:
    hook = server.place / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    before = server.refs()
    with pytest.raises(Rejected, match="refused the push to discover/redis: pre-receive hook declined") as caught:
        propose([redis], proposal())
    assert "--branch" in caught.value.hint
    assert server.refs() == before


def test_the_policy_lives_elsewhere_already(server: Server, redis: Review, proposal: Make) -> None:
    server.commit({"apps/cache/redis.yaml": redis.text})
    before = server.refs()
    with pytest.raises(ProposeError, match=r"in .* already, as apps/cache/redis\.yaml") as caught:
        propose([redis], proposal())
    assert caught.value.hint == "update it there: --path apps/cache"
    assert server.refs() == before


def test_a_thousand_policies_are_no_burden(server: Server, redis: Review, proposal: Make) -> None:
    files = {
        f"policies/ns{n % 40}/app-{n}.yaml": redis.text.replace("name: redis", f"name: app-{n}") for n in range(1000)
    }
    server.commit(files)
    outcome = propose([redis], proposal(path="policies/shop"))
    assert sorted(outcome.files) == server.changed(BRANCH)
    assert len(server.names(BRANCH)) == 1001 + len(outcome.files)


def test_http_with_a_token(server: Server, redis: Review, proposal: Make, stopping: Any, monkeypatch: Any) -> None:
    http = stopping(GitHttp(server.place.parent, TOKEN))
    monkeypatch.setenv("DISCOVER_GIT_TOKEN", TOKEN)
    outcome = propose([redis], proposal(remote=http.url("policies.git")))
    assert outcome.state == "pushed"
    assert server.tip(BRANCH) == outcome.commit
    assert ("POST", "/policies.git/git-receive-pack") in http.seen
    assert TOKEN not in git(server.place, "log", "-p", "--all", "--format=fuller")


def test_http_with_the_credential_helper(
    server: Server, redis: Review, proposal: Make, stopping: Any, tmp_path: Path
) -> None:
    http = stopping(GitHttp(server.place.parent, TOKEN))
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\n[ $1 = get ] && printf 'username=u\\npassword={TOKEN}\\n'\n")
    helper.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(config.read_text() + f"[credential]\n\thelper = {helper}\n")
    assert propose([redis], proposal(remote=http.url("policies.git"))).state == "pushed"


@pytest.mark.parametrize("token", ["", "ghp_expired0123456789"])
def test_http_with_a_bad_token(
    server: Server, redis: Review, proposal: Make, stopping: Any, monkeypatch: Any, token: str, caplog: Any
) -> None:
    http = stopping(GitHttp(server.place.parent, TOKEN))
    monkeypatch.setenv("DISCOVER_GIT_TOKEN", token)
    before = server.refs()
    with caplog.at_level(0), pytest.raises(NotAllowed) as caught:
        propose([redis], proposal(remote=http.url("policies.git")))
    said = f"{caught.value} {caught.value.hint}"
    assert ("has expired" if token else "there is none") in said
    assert not token or token not in said + caplog.text
    assert server.refs() == before


def test_http_read_only(server: Server, redis: Review, proposal: Make, stopping: Any, monkeypatch: Any) -> None:
    http = stopping(GitHttp(server.place.parent, TOKEN, may_write=False))
    monkeypatch.setenv("DISCOVER_GIT_TOKEN", TOKEN)
    before = server.refs()
    with pytest.raises(NotAllowed, match="may not write there"):
        propose([redis], proposal(remote=http.url("policies.git")))
    assert server.refs() == before


def test_http_hook(server: Server, redis: Review, proposal: Make, stopping: Any) -> None:
    http = stopping(GitHttp(server.place.parent))
    hook = server.place / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Rejected, match="hook declined"):
        propose([redis], proposal(remote=http.url("policies.git")))
    assert server.tip(BRANCH) == ""


def test_ssh_runs_gits_programs_on_the_other_side(
    server: Server, redis: Review, proposal: Make, tmp_path: Path, monkeypatch: Any
) -> None:
    """What ssh would run there is run here: the last argument is the command line."""
    told = tmp_path / "told"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {told}\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    outcome = propose([redis], proposal(remote=f"ssh://git@git.example.org{server.place}"))
    assert outcome.state == "pushed"
    assert server.tip(BRANCH) == outcome.commit
    assert "git@git.example.org" in told.read_text()
    assert "git-receive-pack" in told.read_text()


def test_no_repository_and_no_server(redis: Review, proposal: Make, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"no git repository|cannot be read"):
        propose([redis], proposal(remote=str(tmp_path)))
    with pytest.raises(Unreachable, match="cannot be reached"):
        propose([redis], proposal(remote="http://127.0.0.1:9/x.git"))


@pytest.mark.parametrize("path", ["../up", "a/../b", "{secret}", ".git", "a//b", "{workload.__class__}"])
def test_a_path_stays_inside(redis: Review, proposal: Make, path: str) -> None:
    with pytest.raises(UsageError):
        propose([redis], proposal(path=path))


def test_decisions_of_the_repository_are_obeyed(server: Server, proposal: Make) -> None:
    server.commit(
        {
            "policies/discover.yaml": "version: 1\nrefusals:  # by the security team\n"
            "  - {pattern: /etc/passwd, reason: nobody needs it, owner: sec@example.org}\n"
        }
    )

    def reviews(decisions: Any) -> list[Review]:
        return list(open_reviews(open_dataset([ROOT / "datasets/nginx-idle"])))

    outcome = propose(reviews, proposal())
    text = server.read("policies/nginx.yaml", outcome.branch)
    assert "/etc/group" in text
    assert "/etc/passwd" not in text
    assert "policies/discover.yaml" not in outcome.files


def test_the_command(server: Server, tmp_path: Path) -> None:
    code = "from discover.cli import main; main()"
    done = subprocess.run(
        [
            "python",
            "-c",
            code,
            "propose",
            str(ROOT / "datasets/nginx-idle"),
            "--to",
            str(server.place),
            "--pages",
            "md",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pushed: discover/nginx at ")
    assert server.tip("discover/nginx")
