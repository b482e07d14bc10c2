"""AppArmor's records as alerts; an Audit that nobody watched is none."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discover.enforce import apparmor
from discover.errors import UsageError
from enforcer.apparmor import profiles
from enforcer.apparmor.alerts import told
from enforcer.apparmor.kept import Kept
from enforcer.apparmor.log import Entry, parse
from enforcer.telling import as_alert
from models.policy import Dialect, Policy, Posture, compile  # noqa: A004

SPEC: dict[str, Any] = {
    "file": {
        "matchPaths": [
            {"path": "/srv/a", "readOnly": True, "action": "Allow", "fromSource": [{"path": "/usr/sbin/nginx"}]},
            {"path": "/etc/shadow", "action": "Block", "message": "no"},
        ]
    },
    "process": {"matchPaths": [{"path": "/usr/sbin/nginx"}], "action": "Allow"},
}
POLICY = Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "web"}, "spec": SPEC})
MADE = profiles([POLICY], Posture.all("block"), "discover-web")
RULES = compile([POLICY], Posture.all("block"), Dialect.DISCOVER)


def entry(text: str) -> Entry:
    found = parse(f"audit(1700000000.5:7): {text}")
    assert found is not None
    return found


def alerts(*texts: str) -> list[dict[str, Any]]:
    return [as_alert(t, [rule] if rule else [], {}, "node") for t, rule in told(map(entry, texts), MADE, RULES)]


COMMON = 'pid=999999999 comm="nginx" requested_mask="r" denied_mask="r" fsuid=0 ouid=0'


def test_a_record_names_the_rule_the_source_and_how_often() -> None:
    text = f'apparmor="DENIED" operation="open" profile="discover-web//1" name="/etc/shadow" {COMMON}'
    (alert,) = alerts(text, text, text)
    assert (alert["PolicyName"], alert["Message"], alert["Count"]) == ("web", "no", 3)
    assert (alert["Source"], alert["Resource"]) == ("/usr/sbin/nginx", "/etc/shadow")
    assert (alert["Action"], alert["Result"]) == ("Block", "Permission denied")


def test_complain_says_what_block_would_do() -> None:
    (alert,) = alerts(f'apparmor="ALLOWED" operation="open" profile="discover-web" name="/etc/shadow" {COMMON}')
    assert (alert["Action"], alert["Result"]) == ("Audit (Block)", "Passed")


def test_a_name_cannot_add_fields_to_a_record() -> None:
    name = b'/x" profile="other'.hex().upper()
    (alert,) = alerts(f'apparmor="DENIED" operation="mkdir" profile="discover-web" name={name} {COMMON}')
    assert alert["Resource"] == '/x" profile="other'
    assert alert["Data"] == "op=mkdir"


@pytest.mark.parametrize(
    ("text", "operation", "resource"),
    [
        ('operation="capable" pid=9 comm="x" capability=12  capname="net_admin"', "Capabilities", "CAP_NET_ADMIN"),
        (
            'operation="create" pid=9 comm="x" family="inet" sock_type="dgram" protocol=17 requested_mask="create"',
            "Network",
            "domain=AF_INET type=SOCK_DGRAM protocol=UDP",
        ),
        (f'operation="exec" name="/bin/sh" {COMMON}', "Process", "/bin/sh"),
        (f'operation="open" name="/srv/" {COMMON}', "File", "/srv"),
    ],
)
def test_each_class_is_told_as_kubearmor_tells_it(text: str, operation: str, resource: str) -> None:
    (alert,) = alerts(f'apparmor="DENIED" profile="discover-web//1" {text}')
    assert (alert["Operation"], alert["Resource"], alert["Source"]) == (operation, resource, "/usr/sbin/nginx")


def test_others_records_are_not_ours() -> None:
    assert alerts(f'apparmor="DENIED" operation="open" profile="docker-default" name="/x" {COMMON}') == []
    assert parse('audit(1.0:1): apparmor="STATUS" operation="profile_load" name="x"') is None
    assert parse("audit(1.0:1): avc: denied { read }") is None


@pytest.fixture
def audited() -> Kept:
    now = time.time()
    return Kept("web", "t", "", ("block",) * 3, audited_since=now - 600, seen=now - 1)


def test_an_audit_that_was_watched_and_had_nothing_may_be_promoted(audited: Kept) -> None:
    apparmor._audited(audited, "web", ["file"], accept=False)


@pytest.mark.parametrize("change", [{"unseen": 60.0}, {"seen": time.time() - 3600}])
def test_an_audit_that_nobody_watched_is_none(audited: Kept, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="nobody watched web"):
        apparmor._audited(replace(audited, **change), "web", ["file"], accept=False)
    apparmor._audited(replace(audited, **change), "web", ["file"], accept=True)


def test_violations_of_a_class_keep_it_in_audit(audited: Kept) -> None:
    violated = replace(audited, audited={"file": 3})
    with pytest.raises(UsageError, match="3 violations"):
        apparmor._audited(violated, "web", ["file"], accept=False)
    apparmor._audited(violated, "web", ["network"], accept=False)


def test_kept_comes_back_as_it_was(audited: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from enforcer.apparmor import kept

    monkeypatch.setattr(kept, "_FOLDER", tmp_path)
    whole = replace(
        audited, block=("file",), extra_files=("/dev/pts/1",), denied={"file": 1}, workload={"PodName": "p"}
    )
    kept.write(whole)
    assert kept.read_all() == [whole]
    kept.forget("web")
    assert kept.read("web") is None
