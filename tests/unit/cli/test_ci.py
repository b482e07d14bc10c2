"""A run held against its policy; and the two templates, as far as a parser and a shell can tell."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from discover.ci import compare_run
from discover.cli.ci import command
from discover.errors import UsageError
from discover.generate import generate
from models.dataset import open_dataset
from models.policy import dump_policy

ROOT = Path(__file__).parents[3]
DATASET = ROOT / "datasets/nginx-idle"


@pytest.fixture(scope="module")
def policy() -> Any:
    made = next(generate(open_dataset([DATASET])))
    return made.policy


@pytest.fixture
def without(tmp_path: Path, policy: Any) -> Callable[..., Path]:
    """A policy file that lacks some files."""

    def make(*paths: str) -> Path:
        kept = tuple(p for p in policy.spec.file.match_paths if p.path not in paths)
        assert len(kept) == len(policy.spec.file.match_paths) - len(paths)
        less = replace(policy, spec=replace(policy.spec, file=replace(policy.spec.file, match_paths=kept)))
        file = tmp_path / "p.yaml"
        file.write_text(dump_policy(less))
        return file

    return make


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_nothing_new_is_fine(without: Callable[..., Path]) -> None:
    done = run("--policy", without(), "--dataset", DATASET)
    assert done.exit_code == 0, done.output
    assert "nothing new in" in done.stdout


def test_news_are_told_as_the_rules_that_they_need(without: Callable[..., Path], tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    done = run("--policy", without("/etc/passwd", "/etc/group"), "--dataset", DATASET, "--summary", summary)
    assert done.exit_code == 1
    added = [line for line in done.stdout.splitlines() if line.startswith("+")]
    assert added == ["+ Allow file /etc/group (readOnly)", "+ Allow file /etc/passwd (readOnly)"]
    assert "    open /etc/passwd (read) by /usr/sbin/nginx, " in done.stdout
    text = summary.read_text()
    assert text.startswith("# before\n## command/nginx: 2 new\n")
    assert "- `+ Allow file /etc/passwd (readOnly)`" in text
    told = json.loads(run("--policy", without("/etc/passwd"), "--dataset", DATASET, "--json").stdout)
    assert (told["new"], told["rules"][0]["rule"]) == (1, "Allow file /etc/passwd (readOnly)")


def test_what_was_lost_fails_only_when_strict(without: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = without()

    def lossy(*arguments: Any, **more: Any) -> Any:
        return [
            replace(r, evidence=replace(r.evidence, lost={"ring-full": 7})) for r in compare_run(*arguments, **more)
        ]

    monkeypatch.setattr("discover.ci.compare_run", lossy)
    done = run("--policy", file, "--dataset", DATASET)
    assert (done.exit_code, "7 events lost" in done.stdout) == (0, True)
    assert run("--policy", file, "--dataset", DATASET, "--strict").exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["--dataset", DATASET, "--", "true"], ["--pid", "1", "--container", "x"]])
def test_one_run_is_needed(without: Callable[..., Path], arguments: list[object]) -> None:
    done = run("--policy", without(), *arguments)
    assert isinstance(done.exception, UsageError)
    assert "one run is needed" in str(done.exception)


def test_the_action_is_an_action() -> None:
    action = yaml.safe_load((ROOT / "deploy/github-action/action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    told = set(action["inputs"])
    text = (ROOT / "deploy/github-action/action.yml").read_text()
    for step in action["runs"]["steps"]:
        if "run" not in step:
            continue
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]  # an input is never a part of a script
        subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)
        assert {v.split("inputs.")[1].split()[0] for v in step["env"].values()} <= told
    assert all(f"inputs.{name}" in text for name in told)


def test_the_template_is_a_template() -> None:
    template = yaml.safe_load((ROOT / "deploy/gitlab-template.yml").read_text())
    job = template[".discover-ci"]
    assert job["artifacts"]["when"] == "always"
    (script,) = job["script"]
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert all(f"${name}" in script or f"${name}" in str(job["before_script"]) for name in job["variables"])


@pytest.mark.parametrize("which", ["github", "gitlab"])
def test_their_scripts_call_the_command_as_it_is(which: str, tmp_path: Path) -> None:
    """The scripts themselves run, with a stand-in that notes its arguments; click then reads those."""
    (tmp_path / "discover/bin").mkdir(parents=True)
    program = tmp_path / "discover/bin/discover"
    program.write_text('#!/bin/sh\nfor a; do printf "%s\\0" "$a"; done > "$NOTED"\n')
    program.chmod(0o755)
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    values = {"POLICY": "p a.yaml", "RUN": "echo 'a b'", "FOR": "30s", "SELECT": "app=web", "STRICT": "true"}
    if which == "github":
        action = yaml.safe_load((ROOT / "deploy/github-action/action.yml").read_text())
        script = action["runs"]["steps"][1]["run"]
        environment = {**values, "CONTAINER": "", "RUNNER_TEMP": str(tmp_path)}
        environment |= {"GITHUB_OUTPUT": str(tmp_path / "out"), "GITHUB_STEP_SUMMARY": str(tmp_path / "sum")}
    else:
        (script,) = yaml.safe_load((ROOT / "deploy/gitlab-template.yml").read_text())[".discover-ci"]["script"]
        script = script.replace("/tmp/discover-$CI_JOB_ID/", f"{tmp_path}/discover/")
        environment = {f"DISCOVER_{k}": v for k, v in {**values, "CONTAINER": ""}.items()}
    noted = tmp_path / "noted"
    subprocess.run(
        ["bash" if which == "github" else "sh", "-euc", script],
        check=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "NOTED": str(noted), **environment},
    )
    name, *arguments = noted.read_text().split("\0")[:-1]
    assert name == "ci"
    context = command.make_context("ci", arguments)
    assert str(context.params["policy"]) == "p a.yaml"
    assert context.params["limit"] == 30.0
    assert context.params["select"] == ("app=web",)
    assert context.params["strict"]
    assert context.params["argv"][-1] == "echo 'a b'"
