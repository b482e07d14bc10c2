import json
from pathlib import Path

import pytest
from conftest import ROOT, Run

HEAD = "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: p}\nspec:\n"
SELECTOR = "  selector: {matchLabels: {app: web}}\n"
FINE = HEAD + SELECTOR + "  file: {matchPaths: [{path: /etc/shadow, action: Block}]}\n"
NOTED = HEAD + SELECTOR + "  network: {matchProtocols: [{protocol: all, action: Allow}]}\n"
WARNED = HEAD + SELECTOR + "  process: {matchPaths: [{path: /bin/bash, action: Block}]}\n"
WRONG = HEAD + SELECTOR + "  file: {matchDirectories: [{dir: /var/run/x/, action: Block}]}\n"


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (FINE, [], 0),
        (FINE, ["--strict"], 0),
        (WARNED, [], 1),
        (WARNED, ["--lenient"], 0),
        (WRONG, ["--lenient"], 1),
        (HEAD + "  fil: 1\n", [], 1),
        ("a: [1\n", [], 1),
        ("kind: Pod\napiVersion: v1\n", [], 2),
        (FINE, ["--strict", "--lenient"], 2),
    ],
)
def test_exit_status(discover: Run, tmp_path: Path, text: str, options: list[str], code: int) -> None:
    (tmp_path / "p.yaml").write_text(text)
    told = discover("check", tmp_path / "p.yaml", *options)
    assert told.returncode == code, told.stdout + told.stderr
    if code != 2:
        assert "error" in told.stdout


def test_notes_count_where_asked_for(discover: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(NOTED)
    told = discover("check", tmp_path / "p.yaml", "--json", "--target", "discover", "--lenient")
    assert told.returncode == 0
    findings = {f["id"]: f for f in map(json.loads, told.stdout.splitlines())}
    assert findings["tcp-any-destination"]["corrected"]["kind"] == "NetworkPolicy"
    assert (findings["no-evidence"]["severity"], findings["no-evidence"]["line"]) == ("warning", 1)
    assert discover("check", tmp_path / "p.yaml", "--target", "discover", "--strict").returncode == 1


def test_against_a_recording_a_learned_policy_has_no_error(discover: Run, tmp_path: Path) -> None:
    data = ROOT / "datasets" / "nginx"
    made = tmp_path / "policies" / "nginx.yaml"
    made.parent.mkdir()
    assert discover("generate", data, "-o", made, "--target", "kubearmor-bpflsm").returncode == 0
    told = discover("check", made.parent, "--dataset", data, "--no-coverage", "--lenient")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 errors" in told.stdout
    alone = discover("check", made.parent, "--json")
    assert alone.returncode == 0, alone.stdout  # its evidence lies beside it: nothing is guessed
    assert "no-evidence" not in alone.stdout
    nothing = discover("check", data)
    assert nothing.returncode == 2
    assert "no policy was named" in nothing.stderr


def test_low_coverage_and_an_unmet_must_see(discover: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        HEAD + SELECTOR + "  file: {matchDirectories: [{dir: /, recursive: true, action: Allow}]}\n"
    )
    (tmp_path / "discover.yaml").write_text(
        "version: 1\nmustSee:\n- {path: /var/www/never/*, reason: monthly report, owner: o}\n"
    )
    told = discover(
        "check", tmp_path / "p.yaml", "--dataset", ROOT / "datasets" / "nginx", "--json", "--target", "discover"
    )
    findings = {f["id"]: f for f in map(json.loads, told.stdout.splitlines())}
    assert "monthly report" in findings["low-coverage"]["message"]
    covered = discover("coverage", ROOT / "datasets" / "nginx-idle", "--raw", "--decisions", tmp_path / "discover.yaml")
    assert "not seen: path /var/www/never/* (monthly report)" in covered.stdout
