"""Names with the day of the recording in them: one example is enough, since the clock is the proof."""

from __future__ import annotations

import datetime

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import START, app, opened, row
from models.learn.dates import of_day
from models.policy import Target, compile_pattern

DAY = START.date()
Y, D = "[0-9]" * 4, "[0-9]" * 2


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("app-2026-03-01.log", f"app-{Y}-{D}-{D}.log"),
        ("app.20260301.log", f"app.{Y}{D}{D}.log"),
        ("localhost_access_log.2026_03_01.txt", f"localhost_access_log.{Y}_{D}_{D}.txt"),
        ("dump-20260301-1015.gz", f"dump-{Y}{D}{D}-{D}{D}.gz"),
        ("2026-03-01T10:11:12.json", f"{Y}-{D}-{D}T{D}:{D}:{D}.json"),
        ("2026-03", f"{Y}-{D}"),
        ("*2026-03-01", f"\\*{Y}-{D}-{D}"),
        ("app-2026-03-02.log", None),
        ("app-2025-03-01.log", None),
        ("202603", None),
        ("app-120260301.log", None),
        ("app-202603011.log", None),
        ("app-2026-03-01-rc.log", f"app-{Y}-{D}-{D}-rc.log"),
        ("app-2026-0301.log", None),
        ("app.log", None),
        ("libfoo.so.2026.3", None),
    ],
)
def test_a_name_of_that_day(name: str, pattern: str | None) -> None:
    found = of_day(name, {DAY})
    assert (found and found[0]) == pattern
    if pattern:
        assert compile_pattern(pattern).fullmatch(name)


def test_one_written_name_of_today_is_a_slot_and_one_of_another_day_is_not() -> None:
    rows = [r for u in "abc" for r in (*app(u), opened(u, "/srv/logs/app-2026-03-01.log", "write+create"))]
    assert texts(made(rows), "/srv") == {f"pattern /srv/logs/app-{Y}-{D}-{D}.log rw"}
    rows = [r for u in "abc" for r in (*app(u), opened(u, "/srv/logs/app-2024-03-01.log", "write+create"))]
    assert texts(made(rows), "/srv") == {"path /srv/logs/app-2024-03-01.log rw"}


def test_the_day_may_be_one_of_another_time_zone() -> None:
    for day in (DAY - datetime.timedelta(days=1), DAY + datetime.timedelta(days=1)):
        rows = [r for u in "abc" for r in (*app(u), opened(u, f"/srv/logs/app-{day}.log", "write+create"))]
        assert texts(made(rows), "/srv") == {f"pattern /srv/logs/app-{Y}-{D}-{D}.log rw"}


def test_what_is_only_read_keeps_its_date() -> None:
    rows = [r for u in "abc" for r in (*app(u), opened(u, "/srv/tables-2026-03-01.bin"))]
    assert texts(made(rows), "/srv") == {"path /srv/tables-2026-03-01.bin r"}


def test_folders_by_year_month_and_day() -> None:
    rows = [
        r
        for u in "abc"
        for r in (
            *app(u),
            row(u, **{"class": "file"}, op="mkdir", path="/srv/archive/2026/03"),
            row(u, **{"class": "file"}, op="mkdir", path="/srv/archive/2026/03/01"),
            opened(u, "/srv/archive/2026/03/01/index", "write+create"),
        )
    ]
    learned = made(rows)
    assert texts(learned, "/srv") == {
        f"pattern /srv/archive/{Y}/{D} rw",
        f"pattern /srv/archive/{Y}/{D}/{D} rw",
        f"pattern /srv/archive/{Y}/{D}/{D}/index rw",
    }
    # a target without patterns has the directory instead where it is known to be cheap, else a warning
    assert texts(made(rows, Target.KUBEARMOR_BPFLSM, inventory=["/usr/bin/app"]), "/srv") == {"tree /srv/archive/ rw"}
    unknown = made(rows, Target.KUBEARMOR_BPFLSM)
    assert "path /srv/archive/2026/03/01/index rw" in texts(unknown, "/srv")
    assert any(w.startswith("/srv/archive/2026") and "vary from run to run" in w for w in unknown.warnings)


def test_a_folder_called_like_a_year_is_a_year_only_with_months_in_it() -> None:
    rows = [r for u in "abc" for r in (*app(u), opened(u, "/srv/models/2026/weights", "write+create"))]
    assert texts(made(rows), "/srv") == {"path /srv/models/2026/weights rw"}


def test_nothing_with_a_date_is_opened_in_a_protected_directory() -> None:
    rows = [r for u in "abc" for r in (*app(u), opened(u, "/etc/app-2026-03-01.conf", "write+create"))]
    assert "path /etc/app-2026-03-01.conf rw" in texts(made(rows), "/etc")
