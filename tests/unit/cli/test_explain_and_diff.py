import json
from pathlib import Path

import pytest
from conftest import ROOT, Run

REDIS = ROOT / "datasets" / "redis"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from click.testing import CliRunner

    from discover.cli import group

    place = tmp_path_factory.mktemp("policies") / "redis.yaml"
    told = CliRunner().invoke(group, ["generate", str(REDIS), "-o", str(place)])
    assert told.exit_code == 0, told.output
    return place


def test_explain(discover: Run, made: Path) -> None:
    told = discover("explain", made, "spec.process")
    assert told.returncode == 0, told.stderr
    assert "exactly what was seen" in told.stdout
    assert "6 units" in told.stdout.splitlines()[-1]
    rows = [json.loads(line) for line in discover("explain", made, "--json").stdout.splitlines()]
    assert len(rows) > 10
    assert all(r["evidence"]["behaviours"] for r in rows)
    missing = discover("explain", made, "/nowhere/at/all", "--dataset", REDIS)
    assert missing.returncode == 0
    assert "read: denied, under the posture Block: no Allow rule has it" in missing.stdout
    assert discover("explain", made, "no-such-rule").returncode == 2


def test_diff(discover: Run, made: Path, tmp_path: Path) -> None:
    same = discover("diff", made, made)
    assert (same.returncode, same.stdout) == (0, "redis: permits the same\n"), same.stderr
    other = tmp_path / "redis.yaml"
    other.write_text(made.read_text().replace("readOnly: true", "readOnly: false", 1))
    told = discover("diff", made, other)
    assert told.returncode == 1
    assert "1 change, 1 of them permit something new" in told.stdout
    assert "wider:" in told.stdout
    back = json.loads(discover("diff", other, made, "--json").stdout)
    assert [(c["kind"], c["gives"]) for c in back["changes"]] == [("narrower", False)]
    assert discover("diff", made, REDIS).returncode == 2
