"""Rows aggregated on disk say the same as rows in memory, and so does learning side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from discover.generate.pool import learn_all, rows_in
from models.accesses import KEY
from models.dataset import Dataset, open_dataset
from models.evidence import Evidence, RowsNeeded, gather
from models.evidence_stream import stream
from models.learn import Learned, Options, learn

DATASETS = Path(__file__).parents[3] / "datasets"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset([DATASETS / name for name in ("redis", "nodeweb", "nginx-shell")])


def rows(table: pa.Table) -> set[tuple[object, ...]]:
    names = (*KEY, "phase", "count", "first", "last")
    columns = [table[n].to_pylist() for n in names]
    units = [tuple(sorted(set(u))) for u in table["units"].to_pylist()]
    return set(zip(*columns, units, strict=True))


def pairs(dataset: Dataset) -> Iterable[tuple[Evidence, Evidence]]:
    with stream(dataset) as streamed:
        yield from zip(gather(dataset), list(streamed), strict=True)


def test_the_same_distinct_rows(dataset: Dataset) -> None:
    for held, aggregated in pairs(dataset):
        assert held.workload == aggregated.workload
        assert held.units == aggregated.units
        assert rows(held.distinct()) == rows(aggregated.distinct())
        assert held.phases() >= aggregated.phases()


def test_the_same_rules(dataset: Dataset) -> None:
    for held, aggregated in pairs(dataset):
        one, other = learn(held), learn(aggregated)
        assert one.spec == other.spec
        assert one.rules == other.rules


def test_some_units_need_their_rows(dataset: Dataset) -> None:
    with stream(dataset) as streamed:
        aggregated = next(iter(streamed))
        with pytest.raises(RowsNeeded) as raised:
            aggregated.distinct(units=aggregated.units[:2])
        assert raised.value.units == aggregated.units[:2]
        again = streamed.rows_of(aggregated)
    held = next(e for e in gather(dataset) if e.workload == aggregated.workload)
    assert rows(again.distinct(units=held.units[:2])) == rows(held.distinct(units=held.units[:2]))


def test_side_by_side(dataset: Dataset) -> None:
    here = dict(_specs(learn_all(dataset, Options())))
    there = dict(_specs(learn_all(dataset, Options(), jobs=2, large=0)))
    assert here == there
    assert len(here) == len(gather(dataset))


def _specs(learned: Iterable[tuple[Evidence, object]]) -> Iterable[tuple[object, object]]:
    for evidence, answer in learned:
        assert isinstance(answer, Learned)
        yield evidence.workload, answer.spec


def test_only_what_is_wanted(dataset: Dataset) -> None:
    answers = list(learn_all(dataset, Options(), lambda e: e.workload.name == "redis"))
    assert [e.workload.name for e, _ in answers] == ["redis"]


def test_rows_are_counted_from_the_footers(dataset: Dataset) -> None:
    assert rows_in(dataset) == dataset.behaviours().num_rows
