"""`discover ci` on the live kernel: a run that does more than its policy admits fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads programs into the kernel: needs root")


def discover(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from discover.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        timeout=240,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(place)},
    )


def test_more_than_the_policy_admits_is_told(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text('#!/bin/sh\ncat /etc/hostname\n[ -z "$1" ] || cat "$1"\n')
    script.chmod(0o755)
    recorded = discover(tmp_path, "record", "-q", "--no-inventory", "-o", "first", "--", script)
    assert recorded.returncode == 0, recorded.stderr
    assert discover(tmp_path, "generate", "first", "-o", "run.yaml").returncode == 0
    same = discover(tmp_path, "ci", "--policy", "run.yaml", "--", script)
    assert same.returncode == 0, same.stdout + same.stderr
    more = discover(tmp_path, "ci", "--policy", "run.yaml", "-o", "second", "--", script, "/etc/shadow")
    assert more.returncode == 1
    assert "+ Allow file /etc/shadow (readOnly)\n" in more.stdout
    assert (tmp_path / "second" / "recording.json").exists()
    failed = discover(tmp_path, "ci", "--policy", "run.yaml", "--", script, "/nowhere")
    assert failed.returncode == 1
    assert "the run itself failed with status 1" in failed.stderr
