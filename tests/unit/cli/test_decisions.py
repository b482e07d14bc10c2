"""What people decided, in discover.yaml: errors that say what to write, and a policy that obeys."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality.synthetic.rows import app, evidence_of, executed, opened, row
from discover.decisions import Decisions, read_decisions
from discover.errors import UsageError
from models.evidence import Evidence
from models.learn import Learned, LearnedRule, Options, Why, learn
from models.policy import Target

UNITS = "abcd"
WHO = "reason: because, owner: ops@example.org"


def decided(tmp_path: Path, text: str) -> Decisions:
    file = tmp_path / "discover.yaml"
    file.write_text(text)
    return read_decisions(file)


def evidence(*more: dict[str, Any]) -> Evidence:
    return evidence_of([*(r for u in UNITS for r in app(u)), *more])


def obeying(decisions: Decisions, *more: dict[str, Any], target: Target = Target.DISCOVER) -> Learned:
    return learn(
        evidence(*more),
        Options(
            target=target,
            additions=decisions.rules(),
            refuse=tuple(d.value for d in decisions.refusals),
            sensitive=tuple(d.value for d in decisions.sensitive),
        ),
    )


WRONG = {
    "no version": ("additions: []\n", 1, "version: 1 is expected, and not None"),
    "unknown list": ("version: 1\nadditons: []\n", 2, "no such list: additons; there are additions, refusals"),
    "no list": ("version: 1\nadditions: /tmp/x\n", 2, "additions: a list is expected"),
    "no mapping": ("version: 1\nadditions:\n  - /tmp/x\n", 3, "additions[0]: a mapping is expected, as {path: …"),
    "no reason": (
        "version: 1\nadditions:\n  - {path: /x, owner: me}\n",
        3,
        "additions[0]: reason is missing: who decides here has to say why",
    ),
    "no owner": (
        "version: 1\nrefusals:\n\n  - {pattern: /x, reason: y}\n",
        4,
        "refusals[0]: owner is missing: who decides here has to say who",
    ),
    "unknown field": (
        f"version: 1\nadditions:\n  - {{path: /x, {WHO}}}\n  - {{path: /y, redOnly: true, {WHO}}}\n",
        4,
        "additions[1].redOnly: no such field; there are path, dir,",
    ),
    "two kinds": (
        f"version: 1\nadditions:\n  - {{path: /x, dir: /y/, {WHO}}}\n",
        3,
        "additions[0]: exactly one of path, dir, pattern, process, protocol, capability is expected",
    ),
    "no kind": (f"version: 1\nmustSee:\n  - {{{WHO}}}\n", 3, "mustSee[0]: exactly one of drill, path,"),
    "wrong type": (
        f"version: 1\nadditions:\n  - {{path: 7, {WHO}}}\n",
        3,
        "additions[0].path: text is expected, and not 7",
    ),
    "not a date": (
        f"version: 1\nadditions:\n  - {{path: /x, expires: soon, {WHO}}}\n",
        3,
        "additions[0].expires: a date (2027-06-30) is expected, and not 'soon'",
    ),
    "true is no number": (
        f"version: 1\nmustSee:\n  - {{units: true, {WHO}}}\n",
        3,
        "mustSee[0].units: a number is expected, and not True",
    ),
    "directory without slash": (
        f"version: 1\nadditions:\n  - {{dir: /var/lib/x, {WHO}}}\n",
        3,
        "additions[0].dir: a directory begins and ends with a slash: /var/lib/x",
    ),
    "path with slash": (
        f"version: 1\nadditions:\n  - {{path: /var/lib/x/, {WHO}}}\n",
        3,
        "additions[0].path: a path begins with a slash and does not end with one",
    ),
    "bad pattern": (f"version: 1\nsensitive:\n  - {{pattern: '/a[b', {WHO}}}\n", 3, "sensitive[0].pattern: pattern"),
    "no such drill": (
        f"version: 1\nmustSee:\n  - {{drill: dance, {WHO}}}\n",
        3,
        "mustSee[0].drill: no such drill: dance; there are reload, rotate, stop, crash",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_error_names_file_line_and_field(tmp_path: Path, wrong: str) -> None:
    text, line, message = WRONG[wrong]
    with pytest.raises(UsageError) as error:
        decided(tmp_path, text)
    first = str(error.value).splitlines()[0]
    assert first.startswith(f"{tmp_path / 'discover.yaml'}:{line}: ")
    assert message in first


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        decided(tmp_path, f"version: 2\nadditions:\n  - {{path: 7, {WHO}}}\n  - {{dir: x, {WHO}}}\nnope: 1\n")
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["a: [1\n", "\t- x", "version: 1\nversion: 1\n"])
def test_no_yaml(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="is no YAML"):
        decided(tmp_path, text)


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        decided(tmp_path, 'version: 1\n"\\e[31mred": 1\nadditions:\n  - {"\\e[2J": 1, path: "/\\e[2J/"}\n')
    assert "\x1b" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_decisions(tmp_path / "nope.yaml")
    assert decided(tmp_path, "") == Decisions(path=tmp_path / "discover.yaml")


ADDITIONS = f"""
version: 1
additions:
  - {{path: /srv/report.csv, {WHO}}}
  - {{path: /etc/ssl/openssl.cnf, readOnly: true, {WHO}}}
  - {{dir: /var/backups/web/, recursive: true, fromSource: [/usr/bin/pg_dump], {WHO}}}
  - {{pattern: "/srv/*.tmp", ownerOnly: true, {WHO}}}
  - {{process: /usr/bin/pg_dump, {WHO}}}
  - {{protocol: udp, {WHO}}}
  - {{capability: net_bind_service, {WHO}}}
"""


def test_additions_are_rules(tmp_path: Path) -> None:
    decisions = decided(tmp_path, ADDITIONS)
    learned = obeying(decisions)
    rules: list[LearnedRule] = [r for r in learned.rules if r.evidence.why is Why.DECIDED]
    assert {(r.section, r.field) for r in rules} == {
        ("file", "match_paths"),
        ("file", "match_directories"),
        ("file", "match_patterns"),
        ("process", "match_paths"),
        ("network", "match_protocols"),
        ("capabilities", "match_capabilities"),
    }
    assert {r.evidence.note for r in rules} == {"because (ops@example.org)"}
    by_value = {getattr(r.rule, "path", None) or getattr(r.rule, "dir", None): r.rule for r in rules}
    assert by_value["/etc/ssl/openssl.cnf"].read_only
    assert by_value["/var/backups/web/"].recursive
    assert [s.path for s in by_value["/var/backups/web/"].from_source] == ["/usr/bin/pg_dump"]


def test_a_closed_class_with_an_addition_is_closed_but_for_it(tmp_path: Path) -> None:
    learned = obeying(decided(tmp_path, f"version: 1\nadditions:\n  - {{capability: chown, {WHO}}}\n"))
    allowed = [r.rule for r in learned.rules if r.section == "capabilities" and r.evidence.why is Why.DECIDED]
    assert [r.capability for r in allowed] == ["chown"]
    assert allowed[0].action in (None, "Allow")
    assert learned.spec.capabilities is not None


def test_refusals_leave_out_what_was_seen(tmp_path: Path) -> None:
    decisions = decided(
        tmp_path,
        f"version: 1\nrefusals:\n  - {{pattern: '/usr/bin/c*', {WHO}}}\n  - {{pattern: /srv/old/**, {WHO}}}\n"
        f"  - {{pattern: chown, {WHO}}}\n",
    )
    more = [executed(u, "/usr/bin/curl") for u in UNITS]
    more += [opened(u, p) for u in UNITS for p in ("/srv/old/a/b", "/srv/new", "/usr/bin/curl")]
    more += [row(u, **{"class": "capability"}, op="capable", capability="CAP_CHOWN") for u in UNITS]
    learned = obeying(decisions, *more, target=Target.KUBEARMOR_BPFLSM)
    values = {str(getattr(r.rule, n, "")) for r in learned.rules for n in ("path", "dir", "capability")}
    assert "/srv/new" in values
    assert not values & {"/usr/bin/curl", "/srv/old/a/b", "chown"}
    free = learn(evidence(*more))
    assert "/usr/bin/curl" in {str(getattr(r.rule, "path", "")) for r in free.rules}


def test_must_sees_are_met_by_what_was_recorded(tmp_path: Path) -> None:
    decisions = decided(
        tmp_path,
        f"""
version: 1
mustSee:
  - {{drill: stop, {WHO}}}
  - {{drill: crash, {WHO}}}
  - {{path: "/srv/report-*", {WHO}}}
  - {{path: /srv/never, {WHO}}}
  - {{process: /usr/bin/pg_dump, {WHO}}}
  - {{process: /srv/report-1, {WHO}}}
  - {{phase: shutdown, {WHO}}}
  - {{phase: drill, {WHO}}}
  - {{units: 4, {WHO}}}
  - {{units: 5, {WHO}}}
""",
    )
    seen = evidence(
        opened("a", "/srv/report-1"),
        executed("a", "/usr/bin/pg_dump"),
        opened("a", "/srv/x", phase="shutdown"),
        # a person looking is no proof, and neither is a file that was not there
        opened("a", "/srv/never", phase="exec-session"),
        opened("a", "/srv/never", errno=2),
    )
    expected = [True, False, True, False, True, False, True, False, True, False]
    assert [m.met for m in decisions.must_sees(seen, {"stop"})] == expected
    assert decisions.must_sees(seen)[0].text == "drill stop (because)"


def test_sensitive_paths_are_swallowed_by_nothing_wider(tmp_path: Path) -> None:
    words = [
        f"{a}{b}" for a in ("alder", "birch", "cedar", "daisy") for b in ("fox", "hen", "owl", "elk", "ram", "cod")
    ]
    more = [opened(u, f"/srv/www/{w}") for n, u in enumerate(UNITS) for w in words[6 * n :][:6]]
    assert any(getattr(r.rule, "dir", "") == "/srv/www/" for r in learn(_stocked(more)).rules)
    decisions = decided(tmp_path, f"version: 1\nsensitive:\n  - {{pattern: '/srv/www/s*', {WHO}}}\n")
    sensitive = tuple(d.value for d in decisions.sensitive)
    learned = learn(_stocked(more), Options(sensitive=sensitive))
    assert not any(getattr(r.rule, "dir", "") == "/srv/www/" for r in learned.rules)


def _stocked(more: list[dict[str, Any]]) -> Evidence:
    from dataclasses import replace

    import pyarrow as pa

    from models.behaviour import INVENTORY

    rows = [{"workload": "app", "path": "/srv/www/secret-plans", "object": "file", "mode": 0o644}]
    return replace(evidence(*more), inventory=pa.Table.from_pylist(rows, INVENTORY))


def test_what_expired_is_still_obeyed_and_told(tmp_path: Path) -> None:
    decisions = decided(
        tmp_path,
        f"version: 1\nadditions:\n  - {{path: /a, expires: 2026-06-30, {WHO}}}\n  - {{path: /b, {WHO}}}\n"
        f"sensitive:\n  - {{pattern: /c, expires: 2026-01-01, {WHO}}}\n",
    )
    assert decisions.expired(datetime.date(2026, 6, 30)) == [decisions.sensitive[0]]
    assert decisions.expired(datetime.date(2026, 7, 1)) == [decisions.additions[0], decisions.sensitive[0]]
    assert decisions.additions[0].where == "discover.yaml:3"
    assert len(decisions.rules()) == 2


def test_the_documented_example_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/generate.md").read_text()
    text = page.split("```yaml\n# discover.yaml\n")[1].split("```")[0]
    decisions = decided(tmp_path, text)
    kinds = {d.kind for d in decisions.every()}
    assert kinds == {
        *("path", "dir", "pattern", "process", "protocol", "capability"),
        *("drill", "units", "phase"),
    }
    for field in ("recursive", "readOnly", "ownerOnly", "fromSource", "expires"):
        assert field in text
    assert all(d.reason and d.owner for d in decisions.every())
