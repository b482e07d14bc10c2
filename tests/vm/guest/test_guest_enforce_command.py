"""`discover enforce` from its command line: a command in Audit, then in Block, with what the gates refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SHELL = os.path.realpath("/bin/sh")
POLICY = f"""
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: just-a-shell, namespace: default}}
spec:
  selector: {{matchLabels: {{app: shell}}}}
  process:
    matchPaths:
    - path: {SHELL}
  action: Allow
"""
SCRIPT = "cat /etc/hostname; cat /etc/hostname; echo ended"


def discover(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "discover"), "enforce", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def alerts(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_command_in_audit_then_in_block(tmp_path: Path) -> None:
    policy = tmp_path / "shell.yaml"
    policy.write_text(POLICY)
    command = ["--", "/bin/sh", "-c", SCRIPT]

    refused = discover(str(policy), "--mode", "block", *command)
    assert refused.returncode == 2
    assert "--accept-incomplete" in refused.stderr

    audit = discover(str(policy), "--mode", "audit", *command)
    assert audit.returncode == 0, audit.stderr
    assert "ended" in audit.stdout
    told = alerts(audit.stdout)
    assert {(a["Operation"], a["Action"], a["Result"]) for a in told} == {("Process", "Audit (Block)", "Passed")}
    assert {a["Resource"] for a in told} == {os.path.realpath("/bin/cat")}
    assert sum(a["Count"] for a in told) == 2

    block = discover(str(policy), "--mode", "block", "--accept-incomplete", "--accept-violations", *command)
    assert "ended" in block.stdout
    assert "ermission denied" in block.stderr
    told = alerts(block.stdout)
    assert {a["Source"] for a in told} == {SHELL}
    denied = ("DefaultPosture", "Block", "Permission denied")
    assert {(a["PolicyName"], a["Action"], a["Result"]) for a in told} == {denied}

    status = discover("status", "--json")
    assert (status.returncode, status.stdout) == (0, "")
    logged = discover("logs", "shell", "--json", "--operation", "process")
    assert {a["Result"] for a in alerts(logged.stdout)} == {"Passed", "Permission denied"}
    assert subprocess.run(["cat", "/etc/hostname"], check=False, capture_output=True).returncode == 0
