"""docs/dataset.md says what models/behaviour.py says, and its examples run."""

import re
from enum import StrEnum
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml
from synthetic import record, unit_rows

from collectors.redact import Redactor
from models import behaviour
from models.behaviour import BEHAVIOURS, INVENTORY, LOSSES, SCHEMA_VERSION, UNITS

TEXT = (Path(__file__).parents[3] / "docs" / "dataset.md").read_text()


def section(name: str) -> str:
    return TEXT.split(f"\n## {name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("name", "schema"),
    [("behaviours", BEHAVIOURS), ("units", UNITS), ("losses", LOSSES), ("inventory", INVENTORY)],
    ids=["behaviours", "units", "losses", "inventory"],
)
def test_columns(name: str, schema: pa.Schema) -> None:
    told = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (yes|no) \| (.*) \|$", section(name), re.M)
    kinds = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema]
    real = [(f.name, str(k), "yes" if f.nullable else "no") for f, k in zip(schema, kinds, strict=True)]
    assert [row[:3] for row in told] == real
    assert all(row[3].strip() for row in told)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("class", behaviour.Class),
        ("op", behaviour.Operation),
        ("access", behaviour.Access),
        ("phase", behaviour.Phase),
        ("resolved", behaviour.Resolution),
        ("object", behaviour.Object),
    ],
)
def test_values(column: str, kind: type[StrEnum]) -> None:
    (line,) = re.findall(rf"^\| `{column}` \| (`.*) \|$", section("behaviours"), re.M)
    assert re.findall(r"`([^`]+)`", line) == [str(v) for v in kind]


def test_version_and_causes() -> None:
    assert f"schema version {SCHEMA_VERSION};" in TEXT
    causes = section("losses").split("Causes: ")[1].split(". No row")[0]
    assert re.findall(r"`([^`]+)`", causes) == [str(v) for v in behaviour.Loss]


def test_the_line_of_sql_runs(tmp_path: Path) -> None:
    record(tmp_path / "web", ["1", "2"])
    (sql,) = re.findall(r"```sql\n(.*)\n```", TEXT)
    rows = duckdb.sql(sql.replace("recordings/web", f"{tmp_path}/web")).fetchall()
    assert len(rows) <= len(unit_rows("1"))
    assert ("/usr/sbin/nginx", "open", "/var/log/nginx/access.log", 1800) in rows


def test_the_rules_can_be_used(tmp_path: Path) -> None:
    (rules,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    (tmp_path / "rules.yaml").write_text(rules)
    assert set(yaml.safe_load(rules)) == {"names", "words", "paths", "keep"}
    told = Redactor.load(tmp_path / "rules.yaml").argv(["app", "--pin=1", "corp-" + "0a" * 16, "--password=none"])
    assert told == ["app", "--pin=<redacted>", "<redacted>", "--password=none"]
