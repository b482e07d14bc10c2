import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic
from synthetic import HOSTILE, MANIFEST, START, counts_table, losses_table, many_rows, record, row, segment, units_table

from collectors import writer as writer_module
from collectors.writer import RecordingError, RecordingWriter
from models.behaviour import BEHAVIOURS, SEGMENT
from models.dataset import open_dataset
from models.dataset_layout import segment_files

ROOT = Path(__file__).parents[3]


def rows_of(path: Path) -> list[dict[str, object]]:
    return open_dataset(path).behaviours().to_pylist()


def fingerprint(path: Path) -> dict[str, str]:
    files = sorted((path / "behaviours").rglob("*.parquet"))
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_finished_rows_are_what_was_appended_with_identity(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1", "web-2"])
    dataset = open_dataset(tmp_path / "r")
    table = dataset.behaviours()
    assert table.schema.equals(BEHAVIOURS)
    assert table.num_rows == 2 * len(synthetic.unit_rows("x"))
    assert set(table["workload"].to_pylist()) == {"web"}
    assert set(table["image"].to_pylist()) == {"nginx:1.27"}
    paths = {r["path_raw"] or str(r["path"]).encode() for r in table.to_pylist() if r["path"]}
    assert set(HOSTILE) <= paths
    assert dataset.recordings[0].status == "complete"
    assert not (tmp_path / "r" / "segments").exists()


def test_killed_recording_reads_like_a_finished_one(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1", "web-2"], finish=None)
    before = rows_of(tmp_path / "r")
    assert open_dataset(tmp_path / "r").recordings[0].status == "interrupted"
    RecordingWriter.resume(tmp_path / "r").finish("interrupted")
    assert rows_of(tmp_path / "r") == before


def test_live_recording_says_so_and_takes_no_second_writer(tmp_path: Path) -> None:
    with RecordingWriter.create(tmp_path / "r", MANIFEST) as writer:
        writer.append(segment(synthetic.unit_rows("web-1")))
        assert open_dataset(tmp_path / "r").recordings[0].status == "recording"
        with pytest.raises(RecordingError, match="another process"):
            RecordingWriter.resume(tmp_path / "r")
    assert open_dataset(tmp_path / "r").recordings[0].status == "interrupted"


def test_counts_replace_and_equal_behaviours_add_up(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path / "r", MANIFEST)
    same = row("u", "open", path="/a", access="read")
    writer.append(segment([{**same, "key": 1}, {**same, "key": 2}, {**same, "key": 3, "path": "/b"}]))
    writer.append(segment([{**same, "key": 1}]))  # read twice after a restart
    writer.counts(counts_table({1: 5, 2: 2, 3: 1}))
    writer.counts(counts_table({1: 10, 2: 7}, START.replace(hour=13)))
    writer.finish()
    rows = {str(r["path"]): r for r in rows_of(tmp_path / "r")}
    assert (rows["/a"]["count"], rows["/a"]["first_seen"], rows["/a"]["last_seen"]) == (
        17,
        START,
        START.replace(hour=13),
    )
    assert rows["/b"]["count"] == 1


def test_counts_of_an_earlier_run_stay(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path / "r", MANIFEST)
    writer.append(segment([row("u", "open", path="/a", key=1)]))
    writer.counts(counts_table({1: 50}))
    writer.close()
    writer = RecordingWriter.resume(tmp_path / "r")
    writer.append(segment([row("u", "open", path="/a", key=9), row("u", "open", path="/b", key=10)]))
    writer.counts(counts_table({9: 4, 10: 2}))
    writer.finish()
    assert {str(r["path"]): r["count"] for r in rows_of(tmp_path / "r")} == {"/a": 54, "/b": 2}


def test_a_finished_recording_goes_on(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1"])
    first = open_dataset(tmp_path / "r").behaviours()["count"].to_pylist()
    writer = RecordingWriter.resume(tmp_path / "r")
    writer.append(segment(synthetic.unit_rows("web-1"), first_key=90_000))
    writer.append(segment(synthetic.unit_rows("web-9"), first_key=91_000))
    writer.units(units_table(["web-9"]))
    writer.finish()
    table = open_dataset(tmp_path / "r").behaviours()
    assert sum(table["count"].to_pylist()) == 3 * sum(first)
    assert table.num_rows == 2 * len(first)
    assert open_dataset(tmp_path / "r").units()["unit"].to_pylist() == ["web-1", "web-9"]


@pytest.mark.parametrize(("same_counters", "total"), [(True, 5), (False, 8)])
def test_losses_over_a_restart(tmp_path: Path, same_counters: bool, total: int) -> None:
    record(tmp_path / "r", ["web-1"], finish=None)  # ring-full: 3
    writer = RecordingWriter.resume(tmp_path / "r", same_counters=same_counters)
    writer.losses(losses_table([("web-1", "ring-full", 4)]))
    writer.losses(losses_table([("web-1", "ring-full", 5)]))
    writer.close()
    assert open_dataset(tmp_path / "r").losses()["count"].to_pylist() == [total]


def test_samples_make_no_difference(tmp_path: Path) -> None:
    accept = row("u", "accept", family="inet", type="stream", address="10.0.0.9", port=5)
    run = row("u", "exec", path="/bin/true", argv=["true", "b"])
    rows = [
        accept,
        {**accept, "address": "10.0.0.1"},
        {**accept, "address": "10.0.0.1", "port": 9},
        run,
        {**run, "argv": ["true", "a"]},
        row("u", "connect", family="inet", address="10.0.0.9", port=5),
        row("u", "connect", family="inet", address="10.0.0.1", port=9),
    ]
    writer = RecordingWriter.create(tmp_path / "r", MANIFEST)
    writer.append(segment(rows))
    writer.finish()
    found = sorted((str(r["op"]), str(r["address"]), r["port"], r["count"]) for r in rows_of(tmp_path / "r"))
    assert found == [
        ("accept", "10.0.0.1", 5, 2),
        ("accept", "10.0.0.1", 9, 1),
        ("connect", "10.0.0.1", 9, 1),
        ("connect", "10.0.0.9", 5, 1),
        ("exec", "None", None, 2),
    ]


def test_same_rows_same_bytes_however_they_came(tmp_path: Path) -> None:
    table = many_rows(30_000)
    shuffled = table.take(pa.array(random.Random(1).sample(range(table.num_rows), table.num_rows)))
    for name, rows, cut in (("a", table, 30_000), ("b", shuffled, 7_001), ("c", shuffled, 200)):
        writer = RecordingWriter.create(tmp_path / name, MANIFEST)
        for start in range(0, rows.num_rows, cut):
            writer.append(rows.slice(start, cut))
        writer.finish()
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") == fingerprint(tmp_path / "c")
    assert len(fingerprint(tmp_path / "a")) == 3


def test_row_groups_are_cut_at_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.dataset_compact._GROUP_ROWS", 1000)
    writer = RecordingWriter.create(tmp_path / "r", MANIFEST)
    writer.append(many_rows(20_000))
    writer.finish()
    for file in (tmp_path / "r" / "behaviours").rglob("*.parquet"):
        metadata = pq.ParquetFile(file).metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert set(sizes[:-1]) == {1000}
        assert 0 < sizes[-1] <= 1000
    assert sum(r["count"] for r in rows_of(tmp_path / "r")) == 20_000  # type: ignore[misc]


def test_small_appends_do_not_pile_up(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path / "r", MANIFEST)
    for n in range(300):
        writer.append(segment([row("u", "open", path=f"/f{n}")], first_key=n))
    assert len(segment_files(tmp_path / "r")) < 60
    writer.close()
    assert {r["path"] for r in rows_of(tmp_path / "r")} == {f"/f{n}" for n in range(300)}


def test_a_fold_cut_short_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RecordingWriter.create(tmp_path / "r", MANIFEST)
    monkeypatch.setattr(writer_module, "_FOLD_AT", 4)
    monkeypatch.setattr(Path, "unlink", lambda *a, **k: None)  # killed after the rename, before the removal
    for n in range(4):
        writer.append(segment([row("u", "open", path=f"/f{n}")], first_key=n))
    monkeypatch.undo()
    writer.close()
    assert len(list((tmp_path / "r" / "segments").glob("*.parquet"))) == 5
    assert [r["count"] for r in rows_of(tmp_path / "r")] == [1, 1, 1, 1]
    RecordingWriter.resume(tmp_path / "r").close()
    assert [f.name for f in (tmp_path / "r" / "segments").glob("*.parquet")] == ["000001-000004.parquet"]


@pytest.mark.parametrize("step", ["rmtree", "rename"])
def test_finish_cut_short_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    record(tmp_path / "r", ["web-1"])
    writer = RecordingWriter.resume(tmp_path / "r")
    writer.append(segment(synthetic.unit_rows("web-1"), first_key=90_000))
    expected = rows_of(tmp_path / "r")

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    real = RecordingWriter._settle
    monkeypatch.setattr(RecordingWriter, "_settle", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.finish()
    monkeypatch.setattr(RecordingWriter, "_settle", real)
    assert (tmp_path / "r" / "compacted").is_dir()
    assert rows_of(tmp_path / "r") == expected
    if step == "rename":
        for part in ("segments", "behaviours"):
            subprocess.run(["rm", "-r", str(tmp_path / "r" / part)], check=True)
        assert rows_of(tmp_path / "r") == expected
    RecordingWriter.resume(tmp_path / "r").finish()
    assert rows_of(tmp_path / "r") == expected
    assert not (tmp_path / "r" / "compacted").exists()


def test_modes_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        record(tmp_path / "done", ["web-1"])
        record(tmp_path / "cut", ["web-1"], finish=None)
    finally:
        os.umask(before)
    for place in (tmp_path / "done", tmp_path / "cut"):
        for path in [place, *place.rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_unit_names_are_no_paths(tmp_path: Path) -> None:
    names = ["../../../etc", "a/b", "unit=x", ".", "", "a%2Fb", "ü" * 300, "ü" * 300 + "!", "1234", "n\nl"]
    record(tmp_path / "r", names)
    assert set(open_dataset(tmp_path / "r").behaviours()["unit"].unique().to_pylist()) == set(names)
    assert len(list((tmp_path / "r" / "behaviours").iterdir())) == len(names)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    glob = f"{tmp_path}/r/behaviours/**/*.parquet"
    found = duckdb.sql(f"SELECT DISTINCT unit FROM read_parquet('{glob}', hive_partitioning=false)").fetchall()
    assert {u for (u,) in found} == set(names)


def test_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1"])
    with pytest.raises(RecordingError, match="recording already") as e:
        RecordingWriter.create(tmp_path / "r", MANIFEST)
    assert e.value.hint == "choose another folder with -o"  # it has ended: nothing goes on with it
    RecordingWriter.create(tmp_path / "killed", MANIFEST).close()
    with pytest.raises(RecordingError, match="recording already") as e:
        RecordingWriter.create(tmp_path / "killed", MANIFEST)
    assert "--resume" in e.value.hint
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RecordingError, match="not empty"):
        RecordingWriter.create(tmp_path / "other", MANIFEST)


def test_redaction_comes_before_the_disk(tmp_path: Path) -> None:
    def redact(table: pa.Table) -> pa.Table:
        at = SEGMENT.get_field_index("argv")
        return table.set_column(at, SEGMENT.field(at), pa.nulls(table.num_rows, SEGMENT.field(at).type))

    writer = RecordingWriter.create(tmp_path / "r", MANIFEST, redact=redact)
    writer.append(segment([row("u", "exec", path="/bin/x", argv=["x", "--password=hunter2"])]))
    writer.close()
    assert not any(b"hunter2" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


KILLED = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/tests/unit/dataset"]
from pathlib import Path
import synthetic
from collectors import writer as w
w._FOLD_AT = 5
path = Path(sys.argv[1])
writer = w.RecordingWriter.resume(path) if path.exists() else w.RecordingWriter.create(path, synthetic.MANIFEST)
start = int(sys.argv[3])
n = start
print("ready", flush=True)
while True:
    n += 1
    writer.append(synthetic.segment([synthetic.row("u", "open", path=f"/f{n}")], first_key=n))
    print(n, flush=True)
    if n % 3 == 0:
        writer.counts(synthetic.counts_table({k: 2 for k in range(start + 1, n + 1)}))
        writer.units(synthetic.units_table(["u", f"u{n}"]))
        writer.losses(synthetic.losses_table([("u", "missed", n)]))
    if n - start > 12:
        writer.finish()
        writer = w.RecordingWriter.resume(path)
        start = n
"""


@pytest.fixture
def fast_disk(tmp_path: Path) -> Iterator[Path]:
    """Memory where there is some: a disk that syncs slowly leaves few moments to be killed at."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_sigkill_at_any_moment_leaves_whole_files_and_every_acknowledged_row(fast_disk: Path) -> None:
    chance = random.Random(11)
    place, last, finishes = fast_disk / "r", 0, 0
    acknowledged: set[str] = set()
    for _ in range(12):
        command = [sys.executable, "-c", KILLED, str(place), str(ROOT), str(last)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            told = [process.stdout.readline().strip() for _ in range(chance.randrange(25))]
            time.sleep(chance.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.read().split()
        acknowledged |= {f"/f{n}" for n in told}
        last = max([last + 2, *(int(n) + 2 for n in told)])
        dataset = open_dataset(place)
        rows = dataset.behaviours().to_pylist()
        paths = [str(r["path"]) for r in rows]
        assert acknowledged <= set(paths)
        assert len(paths) == len(set(paths))
        assert {r["count"] for r in rows} <= {1, 2}
        dataset.units(), dataset.losses()
        finishes += (place / "behaviours").exists()
        for file in place.rglob("*.parquet"):
            if not file.name.startswith("."):
                pq.read_table(file)
    assert len(acknowledged) > 30
    assert finishes
    RecordingWriter.resume(place).finish("interrupted")
    assert not list(place.rglob("*.tmp"))
    assert acknowledged <= {str(r["path"]) for r in rows_of(place)}


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs: needs root")


@needs_root
@pytest.mark.parametrize("when", ["append", "finish"])
def test_full_disk_loses_nothing_that_was_written(tmp_path: Path, when: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        writer = RecordingWriter.create(small / "r", MANIFEST)
        written = 0
        with pytest.raises(RecordingError, match="no space left") as e:  # noqa: PT012 - where it fails is what differs
            for n in range(1000):
                table = many_rows(2_000, seed=n + 1)
                if when == "finish" and n == 5:
                    ballast = small / "ballast"
                    with pytest.raises(OSError, match="No space"):
                        ballast.write_bytes(b"x" * (1 << 20))
                    writer.finish()
                writer.append(table)
                written += table.num_rows
        assert "--resume" in e.value.hint
        assert written > 0
        writer.close()
        assert sum(r["count"] for r in rows_of(small / "r")) == written  # type: ignore[misc]
        assert not list(small.rglob("*.tmp"))
        assert not (small / "r" / ".compacting").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        RecordingWriter.resume(small / "r").finish()
        assert sum(r["count"] for r in rows_of(small / "r")) == written  # type: ignore[misc]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@needs_root
def test_read_only_file_system_is_an_error_with_a_hint(tmp_path: Path) -> None:
    place = tmp_path / "ro"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    try:
        record(place / "old", ["web-1"], finish=None)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        with pytest.raises(RecordingError, match="Read-only") as e:
            RecordingWriter.create(place / "r", MANIFEST)
        assert "-o" in e.value.hint
        with pytest.raises(RecordingError, match="Read-only"):
            RecordingWriter.resume(place / "old")
        assert rows_of(place / "old")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
