"""`discover ci` on the live kernel: a run that does more than its policy admits fails; and the CI files' own steps."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workloads import Podman

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads programs into the kernel: needs root")


def discover(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    storage = {k: v for k, v in os.environ.items() if k == "CONTAINERS_STORAGE_CONF"}
    return subprocess.run(
        [sys.executable, "-c", "from discover.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        timeout=240,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(place), **storage},
    )


def added(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("+")]


def test_more_than_the_policy_admits_is_told(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text('#!/bin/sh\ncat /etc/hostname\n[ -z "$1" ] || cat "$1"\n')
    script.chmod(0o755)
    recorded = discover(tmp_path, "record", "-q", "--no-inventory", "-o", "first", "--", script)
    assert recorded.returncode == 0, recorded.stderr
    assert discover(tmp_path, "generate", "first", "-o", "run.yaml").returncode == 0
    same = discover(tmp_path, "ci", "--policy", "run.yaml", "--json", "--", script)
    assert same.returncode == 0, same.stdout + same.stderr
    assert json.loads(same.stdout)["new"] == 0  # and what the run prints is elsewhere
    assert Path("/etc/hostname").read_text() in same.stderr
    more = discover(tmp_path, "ci", "--policy", "run.yaml", "-o", "second", "--", script, "/etc/shadow")
    assert more.returncode == 1
    assert "+ Allow file /etc/shadow (readOnly)\n" in more.stdout
    assert (tmp_path / "second" / "recording.json").exists()
    failed = discover(tmp_path, "ci", "--policy", "run.yaml", "--", script, "/nowhere")
    assert failed.returncode == 1
    assert "the run itself failed with status 1" in failed.stderr


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A run that reads the host's name, and the file that EXTRA names."""
    file = tmp_path / "run.sh"
    file.write_text('#!/bin/sh\ncat /etc/hostname\n[ -z "$EXTRA" ] || cat "$EXTRA"\n')
    file.chmod(0o755)
    return file


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that was there before: it reads one file over and over, and another from the first SIGUSR1 on."""
    code = (
        "import signal, time\nfiles = ['/etc/hostname']\n"
        "signal.signal(signal.SIGUSR1, lambda *_: files.append('/etc/shells'))\n"
        "while True:\n    [open(f).read() for f in files]\n    time.sleep(0.2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    yield process
    process.kill()
    process.wait()


def test_a_process_that_runs_already(tmp_path: Path, reader: "subprocess.Popen[bytes]") -> None:
    recorded = discover(tmp_path, "record", "-q", "--no-inventory", "--for", "4s", "-o", "first", "--pid", reader.pid)
    assert recorded.returncode == 0, recorded.stderr
    assert discover(tmp_path, "generate", "first", "-o", "pid.yaml").returncode == 0
    same = discover(tmp_path, "ci", "--policy", "pid.yaml", "--for", "4s", "--pid", reader.pid)
    assert same.returncode == 0, same.stdout + same.stderr
    reader.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    more = discover(tmp_path, "ci", "--policy", "pid.yaml", "--for", "4s", "--pid", reader.pid)
    assert more.returncode == 1, more.stdout + more.stderr
    assert added(more.stdout) == ["+ Allow file /etc/shells (readOnly)"]


def test_a_container_that_runs_already(tmp_path: Path, boxes: Podman) -> None:
    loop = "while :; do read x < /tmp/a; [ ! -e /tmp/more ] || read x < /tmp/b; sleep 0.2; done"
    boxes.run("web", "/bin/sh", "-c", f"mkdir -p /tmp; echo 1 > /tmp/a; echo 2 > /tmp/b; {loop}")
    recorded = discover(tmp_path, "record", "-q", "--no-inventory", "--for", "5s", "-o", "first", "--container", "web")
    assert recorded.returncode == 0, recorded.stderr
    assert discover(tmp_path, "generate", "first", "-o", "web.yaml").returncode == 0
    same = discover(tmp_path, "ci", "--policy", "web.yaml", "--for", "5s", "--container", "web")
    assert same.returncode == 0, same.stdout + same.stderr
    boxes("exec", "web", "/bin/sh", "-c", ": > /tmp/more")
    time.sleep(0.5)
    more = discover(tmp_path, "ci", "--policy", "web.yaml", "--for", "5s", "--container", "web")
    assert more.returncode == 1, more.stdout + more.stderr
    assert added(more.stdout) == ["+ Allow file /tmp/b (readOnly)"]
    assert "container/web (web) under web: 1 of " in more.stdout


def _learned(place: Path, *command: object) -> Path:
    recorded = discover(place, "record", "-q", "--no-inventory", "-o", "learned", "--", *command)
    assert recorded.returncode == 0, recorded.stderr
    assert discover(place, "generate", "learned", "-o", "policy.yaml").returncode == 0
    return place / "policy.yaml"


def _stand_ins(place: Path) -> Path:
    """A folder with the program of this checkout, and a ``sudo`` that takes what the scripts give it."""
    (place / "bin").mkdir()
    for name, text in (
        ("discover", f'exec {sys.executable} -c "from discover.cli import main; main()" "$@"'),
        ("sudo", '[ "$1" != -E ] || shift\nexec "$@"'),
    ):
        (place / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / "bin" / name).chmod(0o755)
    return place / "bin"


def test_the_actions_step_records_and_compares(tmp_path: Path, script: Path) -> None:
    """As the runner runs it: https://docs.github.com/actions/reference/workflow-syntax (``shell: bash``)."""
    action = yaml.safe_load((ROOT / "deploy/github-action/action.yml").read_text())
    (step,) = [s for s in action["runs"]["steps"] if s.get("id") == "compare"]
    file = tmp_path / "step.sh"
    file.write_text(step["run"])
    policy = _learned(tmp_path, "bash", "-euo", "pipefail", "-c", str(script))
    place = _stand_ins(tmp_path)
    (tmp_path / "discover" / "bin").mkdir(parents=True)
    shutil.copy(place / "discover", tmp_path / "discover/bin/discover")
    values = {"POLICY": policy, "RUN": script, "CONTAINER": "", "FOR": "", "SELECT": "", "STRICT": "true"}
    assert set(values) == set(step["env"])
    runner = {"RUNNER_TEMP": tmp_path, "GITHUB_OUTPUT": tmp_path / "out", "GITHUB_STEP_SUMMARY": tmp_path / "sum"}
    environment = {"PATH": f"{place}:/usr/bin:/bin", "PYTHONPATH": ROOT, "EXTRA": "/etc/shells", **values, **runner}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={k: str(v) for k, v in environment.items()},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    recording = tmp_path / "discover-recording"
    assert (tmp_path / "out").read_text() == f"recording={recording}\n"
    assert (recording / "recording.json").exists()
    assert "- `+ Allow file /etc/shells (readOnly)`" in (tmp_path / "sum").read_text()
    assert added(done.stdout) == ["+ Allow file /etc/shells (readOnly)"]


def test_the_templates_script_records_and_compares(tmp_path: Path, script: Path) -> None:
    """As GitLab's runner does: the lines of before_script and script in one shell that ends at the first failure."""
    job = yaml.safe_load((ROOT / "deploy/gitlab-template.yml").read_text())[".discover-ci"]
    policy = _learned(tmp_path, "sh", "-euc", str(script))
    place = _stand_ins(tmp_path)
    (lines,) = job["script"]
    text = lines.replace('"/tmp/discover-$CI_JOB_ID/bin/discover"', str(place / "discover"))
    assert text != lines
    variables = {
        **job["variables"],
        "DISCOVER_POLICY": policy,
        "DISCOVER_RUN": script,
        "EXTRA": "/etc/shells",
    }
    done = subprocess.run(
        ["sh", "-ec", text],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **{k: str(v) for k, v in variables.items()}},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for name in job["artifacts"]["paths"]:
        assert (tmp_path / name).exists()
    assert added(done.stdout) == ["+ Allow file /etc/shells (readOnly)"]
