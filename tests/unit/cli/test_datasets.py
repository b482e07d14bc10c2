import json
import stat
from pathlib import Path

import pytest
import synthetic
from conftest import Run

from collectors.writer import RecordingWriter
from models.dataset import open_dataset


@pytest.fixture
def places(tmp_path: Path) -> Path:
    synthetic.record(tmp_path / "done", ["web-1", "web-2"], id="aaa")
    synthetic.record(tmp_path / "cut", ["web-1"], finish=None, id="bbb")
    return tmp_path


def test_list(discover: Run, places: Path) -> None:
    told = discover("datasets", "list", places)
    assert told.returncode == 0, told.stderr
    header, cut, done = told.stdout.splitlines()
    assert header.split() == ["path", "workload", "status", "units", "behaviours", "lost", "size", "started"]
    assert cut.split()[1:6] == ["web", "interrupted", "1", "22", "3"]
    assert done.split()[1:6] == ["web", "complete", "2", "44", "3"]
    rows = [json.loads(line) for line in discover("datasets", "list", places, "--json").stdout.splitlines()]
    assert [(r["id"], r["status"], r["behaviours"]) for r in rows] == [
        ("bbb", "interrupted", 22),
        ("aaa", "complete", 44),
    ]


def test_list_of_nothing(discover: Run, tmp_path: Path) -> None:
    told = discover("datasets", "list", tmp_path)
    assert (told.returncode, told.stdout) == (0, "")
    assert "no recording in" in told.stderr
    assert discover("datasets", "list", tmp_path / "absent").returncode == 2


def test_list_goes_on_after_one_that_cannot_be_read(discover: Run, places: Path) -> None:
    (places / "cut" / "recording.json").write_text("{")
    told = discover("datasets", "list", places)
    assert told.returncode == 1
    assert "unreadable" in told.stdout
    assert "complete" in told.stdout
    assert "not a manifest" in told.stderr


def test_a_recording_in_progress_is_left_alone(discover: Run, places: Path) -> None:
    with RecordingWriter.resume(places / "cut"):
        assert '"recording"' in discover("datasets", "list", places, "--json").stdout
        for action in (["finish"], ["remove", "--yes"]):
            told = discover("datasets", *action, places / "cut")
            assert told.returncode in {2, 3}
            assert "recorded" in told.stderr
    assert open_dataset(places / "cut").behaviours().num_rows == 22


def test_finish(discover: Run, places: Path) -> None:
    before = open_dataset(places / "cut").behaviours().to_pylist()
    told = discover("datasets", "finish", places / "cut", places / "done")
    assert told.returncode == 0, told.stderr
    assert "nothing to do" in told.stderr
    dataset = open_dataset(places / "cut")
    assert dataset.behaviours().to_pylist() == before
    assert (dataset.recordings[0].status, dataset.losses()["count"].to_pylist()) == ("interrupted", [3])
    assert dataset.manifests[0]["ended"].startswith("2026-03-01T12:00")
    assert not (places / "cut" / "segments").exists()
    again = discover("datasets", "finish", places / "cut")
    assert "nothing to do" in again.stderr


def test_merge(discover: Run, places: Path) -> None:
    told = discover("datasets", "merge", places / "done", places / "cut", "-o", places / "all")
    assert told.returncode == 0, told.stderr
    merged, parts = open_dataset(places / "all"), open_dataset([places / "done", places / "cut"])
    assert set(merged.units()["unit"].to_pylist()) == {"web-1@aaa", "web-1@bbb", "web-2"}
    key = ["unit", "class", "op", "path", "access"]
    ours = sorted(map(str, merged.behaviours().select(key).to_pylist()))
    assert ours == sorted(map(str, parts.behaviours().select(key).to_pylist()))
    assert merged.inventory().num_rows == parts.inventory().num_rows
    assert merged.losses().to_pylist() == parts.losses().sort_by("unit").to_pylist()
    assert merged.watched == parts.watched
    assert merged.recordings[0].status == "interrupted"  # as one of its parts
    assert stat.S_IMODE((places / "all").stat().st_mode) == 0o700


def test_merge_into_something(discover: Run, places: Path) -> None:
    told = discover("datasets", "merge", places / "cut", "-o", places / "done")
    assert told.returncode == 3
    assert "recording already" in told.stderr
    assert open_dataset(places / "done").behaviours().num_rows == 44


def test_remove(discover: Run, places: Path, tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.mkdir()
    (other / "file").touch()
    (tmp_path / "link").symlink_to(places / "done")
    for path in (other, tmp_path / "link", tmp_path / "absent"):
        told = discover("datasets", "remove", "--yes", places / "cut", path)
        assert told.returncode == 2
        assert "nothing was deleted" in told.stderr
    assert (places / "cut").is_dir()
    assert discover("datasets", "remove", places / "cut", text="n\n").returncode == 0
    assert (places / "cut").is_dir()
    assert discover("datasets", "remove", places / "cut", text="y\n").returncode == 0
    assert not (places / "cut").exists()
    assert (places / "done").is_dir()
    assert discover("datasets", "remove", "--yes", places / "done").returncode == 0
    assert not (places / "done").exists()
