"""Rows that stay on disk say the same as rows in memory, and so does learning side by side."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.quality.material import ROOT
from benchmarks.quality.scale.recording import written
from collectors.whole_files import write_part
from discover.errors import UsageError
from discover.generate import Generated, Refused, Request, generate, generate_each
from models import distinct as rows_made_one
from models.dataset import Dataset, open_dataset
from models.dataset_layout import read_part
from models.distinct import KEY, Distinct
from models.evidence import Evidence, gather
from models.evidence_parts import stored
from models.learn import Options, learn
from models.policy import Target

DATASETS = ROOT / "datasets"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset([DATASETS / name for name in ("redis", "nodeweb", "nginx-shell")])


def rows(found: Distinct) -> set[tuple[object, ...]]:
    columns = [found.columns[n].column() for n in (*KEY, "phase")]
    return set(
        zip(*columns, found.count.tolist(), found.first.tolist(), found.last.tolist(), found.names(), strict=True)
    )


def pairs(dataset: Dataset) -> Iterable[tuple[Evidence, Evidence]]:
    return zip(gather(dataset), (e for e, _ in stored(dataset)), strict=True)


def test_the_same_distinct_rows(dataset: Dataset) -> None:
    for held, on_disk in pairs(dataset):
        assert held.workload == on_disk.workload
        assert held.units == on_disk.units
        assert on_disk.behaviours.num_rows == 0
        assert rows(held.distinct()) == rows(on_disk.distinct())
        assert held.phases() == on_disk.phases()


def test_the_same_distinct_rows_a_part_at_a_time(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording larger than memory is made distinct in between."""
    whole = [rows(e.distinct()) for e, _ in stored(dataset)]
    monkeypatch.setattr(rows_made_one, "_FOLD", 100)
    assert [rows(e.distinct()) for e, _ in stored(dataset)] == whole


def test_the_same_distinct_rows_of_some_units(dataset: Dataset) -> None:
    for held, on_disk in pairs(dataset):
        some = held.units[::2]
        assert rows(held.distinct(units=some)) == rows(on_disk.distinct(units=some))
        assert {u for names in on_disk.distinct(units=some).names() for u in names} == set(some)


def test_the_rows_of_each_workload_are_counted(dataset: Dataset) -> None:
    assert [rows for _, rows in stored(dataset)] == [e.behaviours.num_rows for e in gather(dataset)]


def test_the_same_rules(dataset: Dataset) -> None:
    for held, on_disk in pairs(dataset):
        one, other = learn(held), learn(pickle.loads(pickle.dumps(on_disk)))
        assert one.spec == other.spec
        assert one.rules == other.rules


def test_several_workloads_in_one_file(tmp_path: Path) -> None:
    """Whoever puts a recording together: each workload gets its own rows."""
    place = written(tmp_path / "r", 2)
    first, second = sorted((place / "behaviours").glob("*/*.parquet"))
    both = pa.concat_tables([read_part(f, "behaviours") for f in (first, second)]).unify_dictionaries()
    second.unlink()
    write_part(first, "behaviours", both)
    for held, on_disk in pairs(open_dataset(place)):
        assert held.units == on_disk.units
        assert rows(held.distinct()) == rows(on_disk.distinct())


def test_units_of_one_name_in_two_recordings(tmp_path: Path) -> None:
    places = [written(tmp_path / name, 1) for name in ("a", "b")]
    ((held, on_disk),) = pairs(open_dataset(places))
    assert held.units == on_disk.units
    assert all("@" in unit for unit in on_disk.units)
    assert rows(held.distinct()) == rows(on_disk.distinct())


def _text(made: Generated | Refused) -> str:
    assert isinstance(made, Generated)
    return made.text


@pytest.mark.parametrize("target", [Target.DISCOVER, Target.KUBEARMOR_BPFLSM])
def test_side_by_side(dataset: Dataset, target: Target) -> None:
    request = Request(Options(target=target))
    here = [_text(made) for made in generate(dataset, request)]
    there = list(generate_each(dataset, request, _text, jobs=2))
    assert here == there
    assert len(here) == len(gather(dataset))


def _failing(_: Generated | Refused) -> str:
    raise UsageError("no", "as it is")


def test_an_error_comes_back_whole(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="no") as raised:
        list(generate_each(dataset, Request(), _failing, jobs=2))
    assert raised.value.hint == "as it is"


def test_only_what_is_wanted(dataset: Dataset) -> None:
    made: Iterator[Generated | Refused] = generate(dataset, Request(workload="redis"))
    assert [one.evidence.workload.name for one in made] == ["redis"]
