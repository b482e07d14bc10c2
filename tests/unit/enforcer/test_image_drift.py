"""A container whose image is none that its policy was learned from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from collectors.identity import WorkloadIdentity
from collectors.target import Target
from discover.enforce import drift
from discover.enforce.logs import lines
from discover.errors import UsageError
from models.dataset import open_dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "dataset"))
from synthetic import record

LEARNED, OTHER = "sha256:" + "0" * 64, "sha256:" + "1" * 64


def running(digest: str | None) -> Target:
    return Target("cgroup", "unified", WorkloadIdentity("web", "Container", image="nginx:1.27", image_digest=digest))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(drift, "FOLDER", tmp_path / "run")
    monkeypatch.setattr("discover.enforce.logs.FOLDER", tmp_path / "run")
    record(tmp_path / "web", ["web-1", "web-2"])
    return tmp_path


@pytest.mark.parametrize("digest", [LEARNED, None])
def test_the_image_that_was_recorded_or_none_that_is_known_says_nothing(folder: Path, digest: str | None) -> None:
    told: list[dict[str, Any]] = []
    assert drift.meet(running(digest), open_dataset(folder / "web"), "refuse", "web", told.append)
    assert told == []


def test_another_image_keeps_block_and_is_told(folder: Path) -> None:
    told: list[dict[str, Any]] = []
    assert drift.meet(running(OTHER), open_dataset(folder / "web"), "keep", "web", told.append)
    (alert,) = told
    assert (alert["Operation"], alert["Resource"]) == ("Image", OTHER)
    assert f"{LEARNED} (2 units)" in alert["Message"]
    (line,) = lines("web", {}, as_json=True)
    assert json.loads(line) == alert
    (text,) = lines("web", {}, as_json=False)
    assert OTHER in text


def test_another_image_is_audit_or_refused_where_that_was_asked(folder: Path) -> None:
    dataset = open_dataset(folder / "web")
    assert not drift.meet(running(OTHER), dataset, "audit", "web", lambda _: None)
    with pytest.raises(UsageError, match=OTHER):
        drift.meet(running(OTHER), dataset, "refuse", "web", lambda _: None)
