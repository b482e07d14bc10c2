"""A directory in which every unit writes every name, and nothing else is, becomes one rule."""

from __future__ import annotations

from typing import Any

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import app, opened
from models.learn import Why
from models.policy import Target

NAMES = ("body", "cache", "proxy", "spool", "state")
STOCK = ("/usr/bin/other",)


def rows(directory: str, units: str = "abcdef", access: str = "read+write+create") -> list[dict[str, Any]]:
    return [r for u in units for r in [*app(u), *(opened(u, f"{directory}/{n}", access) for n in NAMES)]]


def literal(directory: str, access: str = "rw") -> set[str]:
    return {f"path {directory}/{n} {access}" for n in NAMES}


@pytest.mark.parametrize("target", list(Target))
def test_one_rule(target: Target) -> None:
    learned = made(rows("/var/lib/app"), target, inventory=STOCK)
    assert texts(learned, "/var/lib/app") == {"dir /var/lib/app/ rw"}
    (rule,) = [r for r in learned.rules if getattr(r.rule, "dir", None) == "/var/lib/app/"]
    assert (rule.evidence.why, rule.evidence.behaviours, rule.evidence.admits.existing) == (Why.OWN, len(NAMES), 0)
    assert rule.evidence.units == tuple("abcdef")


def test_not_where_something_else_is() -> None:
    learned = made(rows("/var/lib/app"), inventory=(*STOCK, "/var/lib/app/other"))
    assert texts(learned, "/var/lib/app") == literal("/var/lib/app")


def test_not_where_nobody_knows_what_is() -> None:
    assert texts(made(rows("/var/lib/app")), "/var/lib/app") == literal("/var/lib/app")


@pytest.mark.parametrize("directory", ["/etc/own", "/tmp/app", "/run/app", "/usr/share/app"])
def test_not_where_files_come_and_go_or_decide_what_runs(directory: str) -> None:
    assert texts(made(rows(directory), inventory=STOCK), directory) == literal(directory)


def test_not_what_is_read() -> None:
    assert texts(made(rows("/var/lib/app", access="read"), inventory=STOCK), "/var/lib/app") == literal(
        "/var/lib/app", "r"
    )


def test_not_from_two_units_nor_where_one_unit_does_less() -> None:
    assert texts(made(rows("/var/lib/app", "ab"), inventory=STOCK), "/var/lib/app") == literal("/var/lib/app")
    less = [r for r in rows("/var/lib/app") if (r["unit"], r.get("path")) != ("c", "/var/lib/app/spool")]
    assert texts(made(less, inventory=STOCK), "/var/lib/app") == literal("/var/lib/app")


def test_what_lies_deeper_stays_as_it_is() -> None:
    more = [opened(u, "/var/lib/app/body/0/inner", "write") for u in "abcdef"]
    learned = made(rows("/var/lib/app") + more, inventory=STOCK)
    assert texts(learned, "/var/lib/app") == {"dir /var/lib/app/ rw", "path /var/lib/app/body/0/inner rw"}
