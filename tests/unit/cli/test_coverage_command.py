import json
from pathlib import Path

from conftest import ROOT, Run


def test_idle_is_1_and_json_has_the_curve(discover: Run) -> None:
    told = discover("coverage", ROOT / "datasets" / "nginx-idle")
    assert told.returncode == 1, told.stderr
    assert told.stdout.startswith("command/nginx: IDLE\n")
    line = json.loads(discover("coverage", ROOT / "datasets" / "nginx-idle", "--json", "--raw").stdout)
    assert line["verdict"] == "idle"
    assert line["with_learner"] is False
    assert len(line["classes"]["file"]["curve"]) == 12
    assert line["units_idle"] == line["units"]


def test_complete_is_0(discover: Run, tmp_path: Path) -> None:
    # what a learned policy would deny is far below this, and the raw figure far above
    told = discover("coverage", ROOT / "datasets" / "nginx", "--at-most", "0.6")
    assert (told.returncode, told.stdout.split("\n")[0]) == (0, "command/nginx: COMPLETE"), told.stderr
    strict = discover("coverage", ROOT / "datasets" / "nginx", "--at-most", "0.01", "--raw")
    assert strict.returncode == 1
    assert "why not complete" in strict.stdout
    assert discover("coverage", tmp_path).returncode == 2
