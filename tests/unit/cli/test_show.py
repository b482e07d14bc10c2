import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Run

from models.behaviour import BEHAVIOURS


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import synthetic

    place = tmp_path_factory.mktemp("recordings") / "web"
    synthetic.record(place, ["web-1", "web-2", "odd\x1b[0m\nunit"])
    return place


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_of_all_classes(discover: Run, web: Path) -> None:
    told = discover("show", web)
    assert told.returncode == 0, told.stderr
    for title in ("exec: 2", "socket: 4", "capability: 1", "file: "):
        assert f"{title}" in told.stdout
    assert "/etc/nginx/nginx.conf" in told.stdout
    assert "ENOENT" in told.stdout
    assert "daemon off;" in told.stdout


def test_nothing_from_a_workload_reaches_the_terminal_raw(discover: Run, web: Path) -> None:
    for options in ([], ["--summary"], ["--json"], ["--summary", "--json"], ["--sql", "SELECT * FROM behaviours"]):
        told = discover("show", web, *options)
        assert told.returncode == 0, told.stderr
        assert not {c for c in told.stdout if ord(c) < 32 and c != "\n"}
        assert "\u202e" not in told.stdout
        assert "\x9b" not in told.stdout


def test_a_name_stays_on_its_line_on_a_terminal(web: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from discover.cli import main; main()", "show", str(web), "--op", "open"]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:
                break
            if not more:
                break
            shown += more
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "[bold]rich[/bold]" in text  # names are no markup
    assert "\x1b[31m" not in text
    assert r"\x1b[31mred" in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--op", "listen"], 3),
        (["--op", "listen", "--op", "bind"], 6),
        (["--class", "exec"], 6),
        (["--class", "capability"], 3),
        (["--path", "/etc/nginx/*"], 6),
        (["--path", "*.conf", "--failed"], 3),
        (["--path", "/srv/[bold]*"], 3),
        (["--path", "/srv/new?line"], 3),
        (["--path", "/srv/'; DROP TABLE behaviours; --"], 3),
        (["--errno", "ENOENT"], 3),
        (["--errno", "2"], 3),
        (["--errno", "eperm"], 0),
        (["--errno", "0", "--op", "bind"], 3),
        (["--exe", "*/dash"], 3),
        (["--unit", "web-*", "--op", "bind"], 2),
        (["--unit", "web-1", "--op", "bind"], 1),
        (["--phase", "exec-session"], 3),
        (["--limit", "4"], 4),
    ],
)
def test_filters(discover: Run, web: Path, options: list[str], expected: int) -> None:
    told = discover("show", web, "--json", *options)
    assert told.returncode == 0, told.stderr
    assert len(lines(told.stdout)) == expected


def test_json_has_the_columns_of_the_schema(discover: Run, web: Path) -> None:
    rows = lines(discover("show", web, "--json").stdout)
    assert list(rows[0]) == BEHAVIOURS.names
    raw = [r for r in rows if r["path_raw"]]
    assert {bytes.fromhex(str(r["path_raw"])) for r in raw} == {b"/srv/\xff\xfe-no-utf8"}


def test_units_of_one_behaviour_are_one_row(discover: Run, web: Path) -> None:
    told = discover("show", web, "--op", "listen").stdout.splitlines()
    assert len(told) == 3
    names, values = (told[1].split(), told[2].split())
    assert (names[-2:], values[-2:]) == (["units", "count"], ["3", "3"])


def test_order_and_limit(discover: Run, web: Path) -> None:
    counts = [int(str(r["count"])) for r in lines(discover("show", web, "--json", "--sort", "count").stdout)]
    assert counts == sorted(counts, reverse=True)
    told = discover("show", web, "--class", "file", "--limit", "2", "--sort", "count")
    assert "900" in told.stdout.splitlines()[2] or "2700" in told.stdout.splitlines()[2]
    assert len(told.stdout.splitlines()) == 4
    assert "--limit 0" in told.stderr


def test_sql(discover: Run, web: Path) -> None:
    sql = "SELECT u.workload, count(*) AS n FROM behaviours b JOIN units u USING (unit) GROUP BY ALL"
    assert lines(discover("show", web, "--json", "--sql", sql).stdout) == [{"workload": "web", "n": 66}]
    assert discover("show", web, "--sql", sql).stdout.split() == ["workload", "n", "web", "66"]
    assert lines(discover("show", web, "--json", "--sql", "SELECT labels FROM units LIMIT 1").stdout) == [
        {"labels": {"app": "web\x1b[0m"}}
    ]
    assert lines(discover("show", web, "--json", "--sql", "SELECT sum(count) AS n FROM losses").stdout) == [{"n": "3"}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM 'http://localhost:1/x.parquet'",
        "COPY (SELECT 1) TO '{place}/out.csv'",
        "COPY units TO '{place}/units.parquet'",
        "CREATE TABLE x AS SELECT 1",
        "DROP VIEW behaviours",
        "ATTACH '{place}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW behaviours",
        "EXPORT DATABASE '{place}/out'",
        "",
        "SELECT",
        "SELECT nothing FROM behaviours",
    ],
)
def test_sql_reads_the_dataset_and_nothing_else(discover: Run, web: Path, sql: str) -> None:
    before = {p: p.stat().st_mtime_ns for p in web.rglob("*")}
    told = discover("show", web, "--sql", sql.format(place=web))
    assert told.returncode == (2 if sql else 0), told.stdout
    if sql:
        assert told.stdout == ""
        assert told.stderr.startswith("error: the SQL ")
        assert "hint: " in told.stderr
    assert {p: p.stat().st_mtime_ns for p in web.rglob("*")} == before


def test_summary_reads_like_a_report(discover: Run, web: Path) -> None:
    told = discover("show", web, "--summary")
    assert told.returncode == 0, told.stderr
    for part in (
        "web: 66 behaviours",
        "Units: 3",
        "for 5 min 0 s",
        "drilled reload",
        "/usr/sbin/nginx: 3 units",
        "(a shell)",
        "listened on tcp 0.0.0.0:80",
        "accepted 1,500 connections",
        "changed 1 file in /var/log/nginx",
        "Lost: 3 ring-full",
        "capability: UNWATCHED (no capability tracepoint before Linux 6.14)",
        "file: ",
        "the chance that one more unit shows a new one is 0% (0% to 63%)",
    ):
        assert part in told.stdout, part
    summary = json.loads(discover("show", web, "--summary", "--json").stdout)
    assert summary["coverage"]["web"]["file"]["new"] == 0
    assert summary["losses"] == [{"cause": "ring-full", "count": 3}]


def damaged(place: Path, how: str) -> None:
    part = next((place / "behaviours").rglob("*.parquet"))
    if how == "version":
        manifest = place / "recording.json"
        manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    elif how == "truncated":
        part.write_bytes(part.read_bytes()[:-100])
    elif how == "foreign":
        pq.write_table(pa.table({"a": [1]}), part)
    elif how == "no manifest":
        (place / "recording.json").unlink()
    elif how == "empty":
        for file in sorted(place.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("version", (3, "schema version 2, this discover reads 1", "upgrade")),
        ("truncated", (3, "truncated or no Parquet", "backup")),
        ("foreign", (3, "not written by discover", "folder")),
        ("no manifest", (3, "no recording.json", "recording")),
        ("empty", (2, "no recording in", "discover record")),
    ],
)
@pytest.mark.parametrize("options", [[], ["--summary"], ["--json"], ["--sql", "SELECT count(*) FROM behaviours"]])
def test_what_is_wrong_with_a_dataset_is_said(
    discover: Run, tmp_path: Path, how: str, expected: tuple[int, str, str], options: list[str]
) -> None:
    import synthetic

    synthetic.record(tmp_path / "web", ["web-1"])
    damaged(tmp_path / "web", how)
    told = discover("show", tmp_path / "web", *options)
    code, message, hint = expected
    assert told.returncode == code
    assert told.stdout == ""
    error, advice = told.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice


@pytest.mark.parametrize(
    "arguments",
    [
        ["absent"],
        [],
        ["--op", "opne", "."],
        ["--errno", "EWHAT", "."],
        ["--class", "x", "."],
        ["--sql", "SELECT 1", "--failed", "."],
    ],
)
def test_usage(discover: Run, arguments: list[str]) -> None:
    told = discover("show", *arguments)
    assert told.returncode == 2
    assert told.stderr.startswith("error: ")
    assert "hint: " in told.stderr


def test_plain_columns_are_parted_by_two_spaces(discover: Run, web: Path) -> None:
    told = discover("show", web, "--class", "capability").stdout.splitlines()
    assert told[1].split() == ["exe", "capability", "errno", "phase", "units", "count"]
    assert told[2].split() == ["/usr/sbin/nginx", "CAP_SETUID", "start-up", "3", "3"]
