"""The recording of the scale's measure has the size that it is said to have."""

from pathlib import Path

import pytest

from benchmarks.quality.scale.measure import Point, bars
from benchmarks.quality.scale.recording import DISTINCT, OWN, REPLICAS, ROWS, SHARED, WORKLOADS, written
from benchmarks.quality.scale.work import group
from models.dataset import open_dataset
from models.evidence import gather


def test_it_is_the_size_that_the_bar_is_about() -> None:
    assert WORKLOADS == 300
    assert pytest.approx(20e6, rel=0.01) == ROWS
    assert pytest.approx(2.1e6, rel=0.01) == DISTINCT


def test_a_part_of_it_is_a_recording_like_any_other(tmp_path: Path) -> None:
    path = written(tmp_path / "recording", 2)
    dataset = open_dataset(path)
    assert dataset.behaviours().num_rows == 2 * (SHARED * REPLICAS + OWN)
    assert group(path)["distinct"] == 2 * (SHARED + OWN)
    evidence = gather(dataset)
    assert [e.workload.name for e in evidence] == ["app-000", "app-001"]
    assert all(len(e.units) == REPLICAS for e in evidence)
    names = [set(e.behaviours["path"].unique().to_pylist()) for e in evidence]
    assert len(names[0] & names[1]) > SHARED * 0.9
    assert len(names[0] - names[1]) > OWN / 2  # the process ids are the same ones


def test_the_bars_of_scale() -> None:
    points = []
    for workloads, wall in ((75, 10.0), (150, 20.0), (300, 44.0)):
        points.append(Point("group", workloads, workloads * 10, wall / 4, wall, 1 << 30, {"distinct": workloads * 7.0}))
        points.append(Point("learn", workloads, workloads * 10, wall, wall, 3 << 30, {"policies": workloads}))
    found = {b.measure: b for b in bars(points)}
    assert found["all policies, against DuckDB's group-by"].holds is True
    assert found["the same"].holds is False
    assert found["linear in distinct rows"].holds is True
    assert found["linear in distinct rows"].figure.startswith("1.10x")
    assert found["memory"].holds is False
