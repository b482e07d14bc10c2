"""The plans by which datasets are recorded, and what the script does with the recordings."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.bench import Bench, BenchError
from benchmarks.dataset import opened_below
from benchmarks.figures import Result, best, markdown, ratios
from benchmarks.measures import MEASURES, load_measure
from benchmarks.measures.distinct import populate
from benchmarks.observers import Bare, Observer, ObserverError
from datasets import make
from datasets.workloads import NAMES, clients, load_workload, processes, recordings
from datasets.workloads.plan import LEAST, Unit, plan, plan_idle
from datasets.workloads.workload import DRILLS, WorkloadError
from models.behaviour import LOSSES, UNITS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_load_comes_up_in_three_units(name: str) -> None:
    units = make.planned(name, None)
    seen = Counter(kind for unit in units for kind in unit.kinds)
    assert set(seen) == set(load_workload(name).kinds)
    assert min(seen.values()) >= LEAST
    assert all(unit.kinds and len(set(unit.kinds)) == len(unit.kinds) for unit in units)


def test_the_numbers_of_units_are_those_that_were_asked_for() -> None:
    counts = {name: len(make.planned(name, None)) for name in make.DATASETS}
    assert sorted(counts[name] >= 20 for name in NAMES) == [False, False, True, True, True]
    assert all(counts[name] >= 6 for name in NAMES)
    assert counts["nginx-idle"] == 12
    assert counts["nginx-shell"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_drill_and_restarts_occur_and_a_unit_ends_once(name: str) -> None:
    workload, units = load_workload(name), make.planned(name, None)
    drilled = {drill for unit in units for drill in unit.drills}
    assert drilled >= set(workload.drills) - {"stop"}
    assert drilled <= set(DRILLS)
    assert not any({"stop", "crash"} <= set(unit.drills) for unit in units)
    assert not units[0].continues
    assert "stop" in workload.drills
    assert any(unit.continues for unit in plan(workload, 20))


def test_a_plan_is_the_same_every_time_and_its_seeds_differ() -> None:
    workload = load_workload("nginx")
    assert plan(workload, 20) == plan(workload, 20)
    assert plan(workload, 20, seed=2) != plan(workload, 20)
    seeds = [unit.seed for unit in (*plan(workload, 20), *plan_idle(workload, 12))]
    assert len(set(seeds)) == 32


def test_too_few_units_are_refused() -> None:
    with pytest.raises(ValueError, match="2 units"):
        plan(load_workload("redis"), LEAST - 1)


def test_an_idle_unit_has_no_load_and_says_so() -> None:
    (unit, *_) = plan_idle(load_workload("nginx"), 3)
    assert unit.kinds == ()
    assert unit.drills == ()
    assert unit.notes()[0] == "load: none (idle)"


@pytest.mark.parametrize("unit", plan(load_workload("pyweb"), 4), ids=lambda unit: unit.name)
def test_a_unit_survives_json(unit: Unit) -> None:
    assert Unit.from_json(json.loads(json.dumps(unit.as_json()))) == unit


def test_every_client_program_and_software_is_in_the_list_of_packages() -> None:
    text = (ROOT / "datasets/workloads/packages.txt").read_text()
    listed = {line for line in text.splitlines() if line and not line.startswith("#")}
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", line) for line in listed)
    assert {"nginx-light", "postgresql-15", "redis-server", "gunicorn", "python3-flask", "nodejs", "wrk"} <= listed


def test_unknown_workloads_are_refused() -> None:
    with pytest.raises(KeyError):
        load_workload("apache")


def test_a_failing_client_ends_the_unit_with_its_last_words() -> None:
    with pytest.raises(WorkloadError, match="exit 3: gone wrong"):
        clients.tool("sh", "-c", "echo gone wrong >&2; exit 3")
    with pytest.raises(WorkloadError, match="no-such-client is not installed"):
        clients.tool("no-such-client")


def test_the_services_answer_http_and_names() -> None:
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01"
    sent: list[bytes] = []

    class Link:
        def sendto(self, answer: bytes, _: object) -> None:
            sent.append(answer)

    clients._Names((question, Link()), ("127.0.0.1", 1), None)  # type: ignore[arg-type]
    assert sent[0][:2] == question[:2]
    assert sent[0].endswith(b"\x00\x04\x7f\x00\x00\x01")


def test_a_form_holds_its_file() -> None:
    body, kind = clients.multipart("file", "a.txt", b"content", "b0")
    assert body.startswith(b"--b0\r\n")
    assert body.endswith(b"content\r\n--b0--\r\n")
    assert kind == "multipart/form-data; boundary=b0"


def test_processes_are_found_below_their_ancestor_and_seen_to_end() -> None:
    executable = str(Path(shutil.which("sleep") or "/bin/sleep").resolve())
    parent = subprocess.Popen(["sh", "-c", "sleep 30; true"])
    try:
        pid = processes.find(parent.pid, executable, timeout=5)
        assert pid in list(processes.descendants(parent.pid))
        assert processes.alive(parent.pid)
        assert not processes.wait_gone(parent.pid, 0.1)
    finally:
        for child in processes.children(parent.pid):
            subprocess.run(["kill", str(child)], check=True)
        parent.wait(5)
    assert not processes.alive(parent.pid)
    assert processes.find(parent.pid, executable, timeout=1) is None


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    unit = {"unit": "u1", "workload": "nginx", "cgroup": "/user.slice/me", "notes": ["from the recorder"]}
    table = pa.Table.from_pylist([unit], schema=UNITS).replace_schema_metadata({"discover.kind": "units"})
    pq.write_table(table, tmp_path / "units.parquet")
    return tmp_path


def test_notes_are_added_once_and_the_schema_stays(recording: Path) -> None:
    unit = Unit("nginx", 3, 99, ("static", "proxy"), ("reload",), continues=True)
    recordings.annotate(recording, unit)
    recordings.annotate(recording, unit)
    with pytest.raises(WorkloadError, match="did not do the drill reload"):
        recordings.annotate(recording, unit, ["reload"])
    table = pq.read_table(recording / "units.parquet", partitioning=None)
    assert table.schema.equals(UNITS)
    assert table.schema.metadata[b"discover.kind"] == b"units"
    assert table.column("cgroup").to_pylist() == [None]
    assert table.column("notes").to_pylist() == [
        ["from the recorder", "load: static", "load: proxy", "drill: reload, by hand", "state: restart", "seed: 99"]
    ]


def test_losses_are_added_up_by_cause(recording: Path) -> None:
    assert recordings.losses(recording) == {}
    counted = [("u1", "ring-full", 2), ("u2", "ring-full", 3), ("u1", "unresolved", 0)]
    rows = [dict(zip(("unit", "cause", "count"), row, strict=True)) for row in counted]
    pq.write_table(pa.Table.from_pylist(rows, schema=LOSSES), recording / "losses.parquet")
    assert recordings.losses(recording) == {"ring-full": 5}


def test_an_unfinished_recording_is_an_error(recording: Path) -> None:
    with pytest.raises(WorkloadError, match="no behaviours"):
        recordings.rows(recording)


def test_a_failed_merge_leaves_the_old_dataset(tmp_path: Path) -> None:
    old = tmp_path / "nginx"
    old.mkdir()
    (old / "kept").touch()
    with pytest.raises(WorkloadError, match="exit code 1"):
        recordings.merge(["false"], [tmp_path], old)
    assert (old / "kept").exists()


def test_a_unit_that_loses_events_is_recorded_again_and_then_reported(tmp_path: Path, monkeypatch) -> None:
    runs: list[int] = []
    unit = Unit("nginx", 0, 1, ("static",))
    monkeypatch.setattr(make, "_run", lambda *_: runs.append(1) or {"version": "1", "kernel": "6"})
    monkeypatch.setattr(recordings, "losses", lambda _: {"ring-full": 1} if len(runs) < 2 else {})
    monkeypatch.setattr(recordings, "rows", lambda _: 7)
    monkeypatch.setattr(recordings, "annotate", lambda *_: None)
    options = make.Options(tmp_path, ("discover",), None, 1, again=False)
    done = make.record_unit("nginx", unit, options)
    assert (done["attempts"], done["lost"], done["rows"]) == (2, {}, 7)
    assert make.record_unit("nginx", unit, options)["kept"]
    assert len(runs) == 2


class Scripted(Observer):
    """An observer whose samples are given."""

    def __init__(self, name: str, *values: float) -> None:
        self.name, self.values = name, list(values)

    def next(self) -> float:
        if not self.values:
            raise ObserverError("worn out")
        return self.values.pop(0)


def taken(*observers: Scripted, rounds: int = 2, slow: tuple[str, ...] = (), quick: bool = True) -> Result:
    result = Result("m", "some measure", "ns", "≤ 2x")
    Bench(Path("/nonexistent"), observers, quick).interleave(result, rounds, lambda o: o.next(), slow)
    return result


def test_ratios_pair_the_samples_of_one_round() -> None:
    result = taken(Scripted("bare", 10, 20, 40), Scripted("discover", 11, 30, 44), rounds=3)
    spread = ratios(result.samples)["discover"]
    assert (spread.middle, spread.least, spread.greatest) == pytest.approx((1.1, 1.1, 1.5))
    Bench.judge(result, at_most=1.25)
    assert result.holds
    Bench.judge(result, at_least=1.2)
    assert result.holds is False


def test_the_best_samples_are_compared_in_the_better_direction() -> None:
    samples = {"bare": [10.0, 30.0], "discover": [12.0, 90.0]}
    assert best(samples, more_is_better=False) == {"discover": pytest.approx(1.2)}
    assert best(samples, more_is_better=True) == {"discover": pytest.approx(3.0)}


def test_an_observer_that_fails_is_named_and_the_others_go_on() -> None:
    result = taken(Scripted("bare", 1, 1, 1), Scripted("strace", 5), rounds=3)
    assert result.samples == {"bare": [1, 1, 1], "strace": [5]}
    assert result.problems == ["strace, round 2: worn out"]
    with pytest.raises(BenchError, match="worn out"):
        taken(Scripted("bare"))


def test_slow_observers_take_part_in_the_first_rounds_only() -> None:
    for quick, times in ((True, 1), (False, 2)):
        slow = Scripted("strace", *[9.0] * 5)
        result = taken(Scripted("bare", *[1.0] * 5), slow, rounds=5, slow=("strace",), quick=quick)
        assert len(result.samples["strace"]) == times


def test_without_a_sample_of_the_recorder_no_bar_is_met() -> None:
    result = taken(Scripted("bare", 1, 1))
    Bench.judge(result, at_most=9)
    assert result.holds is None
    assert result.problems == ["the recorder gave no sample"]
    assert "not measured" in markdown([result], ["here"])


def test_the_table_has_every_observer_with_its_ratio() -> None:
    result = taken(Scripted("bpftrace", 1600, 1600), Scripted("bare", 100, 100), Scripted("discover", 110, 120))
    result.holds = True
    table = markdown([result], ["here"])
    assert "| measure | bar | bare | discover | bpftrace | met |" in table
    assert "| 100 ns | 115 ns, 1.15x (1.1 to 1.2) | 1,600 ns, 16x (16 to 16) | yes |" in table
    assert result.as_json()["ratios"]["discover"]["middle"] == pytest.approx(1.15)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_can_be_taken_by_name(name: str) -> None:
    assert callable(load_measure(name))


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler")
@pytest.mark.parametrize("name", ["opens", "forks", "distinct"])
def test_the_programs_compile_and_count_right(name: str, tmp_path: Path) -> None:
    program = Bench(tmp_path, ()).program(name)
    told, file = tmp_path / "told", tmp_path / "f"
    file.touch()
    words = {"opens": ["50", str(file), "2"], "forks": ["7", "/bin/true"]}.get(name)
    if not words:
        populate(tmp_path / "tree", 400)
        words = [str(tmp_path / "tree"), "400", "3", "2", "0"]
    subprocess.run([program, str(told), *words], check=True, timeout=20)
    numbers = [float(word) for word in told.read_text().split()]
    assert all(number > 0 for number in numbers)
    if name == "distinct":
        assert numbers[0] == 400 * 3 * 2


def test_a_program_that_fails_is_no_sample(tmp_path: Path) -> None:
    with pytest.raises(ObserverError, match="exit code 1"):
        Bare().run(["false"], tmp_path / "out")
    with pytest.raises(ObserverError, match="not done after"):
        Bare().run(["sleep", "30"], tmp_path / "out", timeout=0.2)


def test_what_a_recording_holds_below_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "recording" / "behaviours" / "unit=u"
    path.mkdir(parents=True)
    rows = [("open", "/w/a", 0, 3), ("open", "/w/b", 0, 1), ("open", "/w/c", 2, 1), ("unlink", "/w/d", 0, 1)]
    rows.append(("open", "/elsewhere", 0, 1))
    table = [dict(zip(("op", "path", "errno", "count"), row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(table), path / "part-0.parquet")
    assert opened_below(tmp_path / "recording", Path("/w")) == ({"/w/a", "/w/b"}, 4)
