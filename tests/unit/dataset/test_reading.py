import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import HOSTILE, MANIFEST, record, unit_rows

from models.behaviour import BEHAVIOURS
from models.dataset import DamagedFile, DatasetError, ForeignFile, NoDataset, OtherSchema, open_dataset, watched_in


def part(place: Path) -> Path:
    return next((place / "behaviours").rglob("*.parquet"))


def test_folder_of_recordings_reads_as_one(tmp_path: Path) -> None:
    record(tmp_path / "a" / "one", ["web-1"])
    record(tmp_path / "b", ["web-2"], finish=None)
    dataset = open_dataset(tmp_path)
    assert dataset.units()["unit"].to_pylist() == ["web-1", "web-2"]
    assert dataset.behaviours().num_rows == 2 * len(unit_rows("x"))
    assert len(dataset.manifests) == 2
    assert dataset.inventory().num_rows == 3 + len(HOSTILE)
    assert open_dataset([tmp_path / "b", tmp_path]).behaviours().num_rows == dataset.behaviours().num_rows


def test_units_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    record(tmp_path / "a", ["web-1", "web-2"], id="aaa")
    record(tmp_path / "b", ["web-1"], id="bbb")
    dataset = open_dataset(tmp_path)
    names = {"web-1@aaa", "web-1@bbb", "web-2"}
    assert set(dataset.units()["unit"].to_pylist()) == names
    assert set(dataset.behaviours()["unit"].to_pylist()) == names
    assert set(dataset.losses()["unit"].to_pylist()) == {"web-1@aaa", "web-1@bbb"}
    with dataset.connect() as connection:
        assert {n for (n,) in connection.sql("SELECT DISTINCT unit FROM behaviours").fetchall()} == names


def test_views_hold_what_the_tables_hold(tmp_path: Path) -> None:
    record(tmp_path / "done [1]*'?", ["web-1"])
    record(tmp_path / "cut", ["web-1"], finish=None)
    for name in ("done [1]*'?", "cut"):
        dataset = open_dataset(tmp_path / name)
        with dataset.connect() as connection:
            rows = connection.sql("SELECT * FROM behaviours").to_arrow_table()
            assert rows.num_rows == dataset.behaviours().num_rows
            assert rows.schema.names == BEHAVIOURS.names
            for view in ("units", "losses", "inventory"):
                assert connection.sql(f"SELECT count(*) FROM {view}").fetchall() > [(0,)]


def test_rows_of_a_unit_that_nobody_described(tmp_path: Path) -> None:
    writer = record(tmp_path / "r", ["web-1"], finish=None)
    (writer.path / "units.parquet").unlink()
    assert set(open_dataset(tmp_path / "r").behaviours()["workload"].to_pylist()) == {"web"}


def test_watched_is_what_every_recording_watched() -> None:
    all_seen = {**MANIFEST["watched"], "capability": {"state": "watched", "note": ""}}
    assert watched_in([{"watched": all_seen}])["capability"]["state"] == "watched"
    both = watched_in([{"watched": all_seen}, {"watched": MANIFEST["watched"]}])
    assert both["capability"] == {"state": "unwatched", "note": "no capability tracepoint before Linux 6.14"}
    assert both["exec"]["state"] == "watched"
    assert watched_in([{}])["file"]["state"] == "unwatched"
    assert watched_in([])["file"]["state"] == "unwatched"


def test_nothing_there(tmp_path: Path) -> None:
    for place in (tmp_path / "absent", tmp_path):
        with pytest.raises(NoDataset) as e:
            open_dataset(place)
        assert e.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(NoDataset, match="is a file"):
        open_dataset(tmp_path / "file")
    with pytest.raises(NoDataset):
        open_dataset([])


@pytest.mark.parametrize(("version", "hint"), [(99, "upgrade"), (0, "record again"), (None, "record again"), ("1", "")])
def test_manifest_of_another_version(tmp_path: Path, version: object, hint: str) -> None:
    record(tmp_path / "r", ["web-1"])
    manifest = tmp_path / "r" / "recording.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema_version": version}))
    with pytest.raises(OtherSchema, match="schema version") as e:
        open_dataset(tmp_path / "r")
    assert hint in e.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\x00"])
def test_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    record(tmp_path / "r", ["web-1"])
    (tmp_path / "r" / "recording.json").write_text(text)
    with pytest.raises(DamagedFile, match="not a manifest"):
        open_dataset(tmp_path / "r")


def test_truncated_at_every_length(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1"])
    file = part(tmp_path / "r")
    whole = file.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        file.write_bytes(whole[:length])
        with pytest.raises(DamagedFile, match=file.name):
            open_dataset(tmp_path / "r").behaviours()
        with pytest.raises(DamagedFile, match=file.name):
            open_dataset(tmp_path / "r").connect()


@pytest.mark.parametrize("name", ["000001.parquet", "counts.parquet"])
def test_truncated_segment(tmp_path: Path, name: str) -> None:
    record(tmp_path / "r", ["web-1"], finish=None)
    file = tmp_path / "r" / "segments" / name
    file.write_bytes(file.read_bytes()[:-9] if file.exists() else b"PAR1")
    with pytest.raises(DamagedFile, match=name):
        open_dataset(tmp_path / "r").behaviours()


def test_foreign_parquet(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1"])
    pq.write_table(pa.table({"a": [1]}), part(tmp_path / "r"))
    with pytest.raises(ForeignFile, match="not written by discover"):
        open_dataset(tmp_path / "r").behaviours()
    (tmp_path / "other").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other" / "x.parquet")
    with pytest.raises(ForeignFile, match=r"recording\.json"):
        open_dataset(tmp_path / "other")


def test_a_file_at_the_wrong_place_or_with_other_columns(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1"])
    file = part(tmp_path / "r")
    (tmp_path / "r" / "units.parquet").write_bytes((tmp_path / "r" / "losses.parquet").read_bytes())
    with pytest.raises(ForeignFile, match="does not hold"):
        open_dataset(tmp_path / "r").units()
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["exe"]), file)
    with pytest.raises(ForeignFile, match="exe"):
        open_dataset(tmp_path / "r").behaviours()


def test_parquet_of_another_version(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1"])
    file = part(tmp_path / "r")
    table = pq.ParquetFile(file).read()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"discover.schema_version": b"2"}), file)
    with pytest.raises(OtherSchema, match="2"):
        open_dataset(tmp_path / "r").behaviours()


def test_errors_have_one_root() -> None:
    assert all(issubclass(e, DatasetError) for e in (NoDataset, OtherSchema, DamagedFile, ForeignFile))
