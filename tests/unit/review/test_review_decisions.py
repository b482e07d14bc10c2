"""Decisions written into a file that people keep."""

from pathlib import Path

import pytest

from discover.deciding import write_decision
from discover.decisions import read_decisions
from discover.errors import UsageError

FILE = """\
# web's decisions
version: 1

additions:
  # nightly, asked for by Ada
  - {dir: /var/backups/web/, recursive: true, reason: nightly, owner: ada@example.org}   # until the new store

# what nobody may
refusals:
- pattern: /usr/bin/curl
  reason: 'the old health check'   # quoted by people
  owner: sec@example.org
"""
WHO = {"reason": "a reason, with [brackets]: and more", "owner": "ops@example.org"}


@pytest.mark.parametrize(
    ("verdict", "what", "attribute"),
    [
        ("keep", {"process": "/usr/bin/pg_dump"}, "additions"),
        ("keep", {"path": "/a,b", "readOnly": True, "fromSource": ["/usr/bin/x"]}, "additions"),
        ("refuse", {"pattern": "/usr/bin/{nc,ncat}"}, "refusals"),
        ("must-see", {"units": 3}, "must_see"),
        ("must-see", {"drill": "stop"}, "must_see"),
        ("sensitive", {"pattern": "/srv/keys/**"}, "sensitive"),
    ],
)
def test_is_there_afterwards_and_all_else_as_before(tmp_path: Path, verdict: str, what: dict, attribute: str) -> None:
    file = tmp_path / "discover.yaml"
    file.write_text(FILE)
    before = read_decisions(file)
    now = write_decision(file, verdict, expires="2027-06-30", **WHO, **what)
    new = getattr(now, attribute)[-1]
    ((kind, value), *_) = what.items()
    assert (new.kind, new.value, new.reason, new.owner) == (kind, str(value), WHO["reason"], WHO["owner"])
    assert str(new.expires) == "2027-06-30"
    assert len(getattr(now, attribute)) == len(getattr(before, attribute)) + 1
    lines = file.read_text().splitlines()
    assert [line for line in FILE.splitlines() if line not in lines] == []
    kept = [line for line in lines if line in FILE.splitlines()]
    assert kept == FILE.splitlines()


def test_a_new_file_says_what_it_is(tmp_path: Path) -> None:
    now = write_decision(tmp_path, "refuse", pattern="/usr/bin/curl", **WHO)
    assert now.refusals[0].value == "/usr/bin/curl"
    assert (tmp_path / "discover.yaml").read_text().startswith("# What people decided")


@pytest.mark.parametrize(
    ("verdict", "what", "message"),
    [
        ("maybe", {"pattern": "/a"}, "no verdict"),
        ("refuse", {"pattern": "/usr/bin/curl"}, "already"),
        ("keep", {"dir": "/no/slash"}, "begins and ends with a slash"),
        ("keep", {"path": "/a", "process": "/b"}, "exactly one of"),
        ("refuse", {"patern": "/a"}, "no such field"),
        ("must-see", {"drill": "dance"}, "no such drill"),
    ],
)
def test_what_cannot_be_leaves_the_file_alone(tmp_path: Path, verdict: str, what: dict, message: str) -> None:
    file = tmp_path / "discover.yaml"
    file.write_text(FILE)
    with pytest.raises(UsageError, match=message):
        write_decision(file, verdict, **WHO, **what)
    assert file.read_text() == FILE
