"""What an enforcer decided is a recording that the learner takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from discover.enforce.learned import write
from discover.errors import UsageError
from enforcer.bpf_lsm.alerts import Told
from enforcer.telling import as_alert
from models.dataset import open_dataset
from models.evidence import gather
from models.learn import learn
from models.policy import Dialect, Policy, Posture, compile  # noqa: A004

sys.path.insert(0, str(Path(__file__).parents[1] / "dataset"))
from synthetic import record

NGINX = "/usr/sbin/nginx"
POLICY = Policy.from_document(
    {
        "kind": "KubeArmorPolicy",
        "metadata": {"name": "web"},
        "spec": {
            "file": {"matchPaths": [{"path": "/srv/listed", "readOnly": True}], "action": "Allow"},
            "process": {"matchPaths": [{"path": NGINX}], "action": "Allow"},
        },
    }
)


def alert(policy_class: str, op: str, path: str = "", **values: Any) -> dict[str, Any]:
    told = {
        **dict.fromkeys(("domain", "generation", "rule", "pid", "parent_pid", "uid", "cgroup", "when"), 0),
        **dict.fromkeys(("family", "type", "protocol", "capability"), 0),
        "kind": 3,
        "op": op,
        "policy_class": policy_class,
        "denied": True,
        "reason": "",
        "path": path,
        "source": NGINX,
        "parent_source": NGINX,
        "comm": "nginx",
        "count": 2,
        **values,
    }
    return as_alert(Told(**told), [], {}, "node")


def test_decisions_are_learned_from_beside_the_recording(tmp_path: Path) -> None:
    record(tmp_path / "web", ["web-1", "web-2"])
    alerts = tmp_path / "web.alerts.jsonl"
    lines = [
        alert("file", "open", "/srv/fresh"),
        alert("file", "open", "/srv/listed"),
        alert("file", "open", "/srv/\udcff\n"),
        alert("file", "mkdir", "/srv/made"),
        alert("process", "exec", "/usr/bin/gzip"),
        alert("network", "connect", family=2, type=2, protocol=17),
        alert("capabilities", "capable", capability=12),
        alert("file", "mount", "/mnt"),
    ]
    alerts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ruleset = compile([POLICY], Posture.all("block"), Dialect.DISCOVER)
    assert write("web", alerts, tmp_path / "decided", open_dataset(tmp_path / "web"), ruleset) == 14
    both = open_dataset([tmp_path / "web", tmp_path / "decided"])
    assert not any(r.unfinished for r in both.recordings)
    rows = {
        (r["op"], r["path"] or r["capability"] or r["type"]): r
        for r in both.behaviours().to_pylist()
        if r["unit"] == "decisions-web"
    }
    assert rows["open", "/srv/fresh"]["access"] == "read"
    assert rows["open", "/srv/listed"]["access"] == "read+write"  # reading it was allowed, so it was to be written
    assert rows["open", "/srv/\\xff\n"]["path_raw"] == b"/srv/\xff\n"
    assert rows["connect", "dgram"]["protocol"] == "udp"
    assert rows["capable", "CAP_NET_ADMIN"]["count"] == 2
    (evidence,) = gather(both)
    learned = learn(evidence)
    text = json.dumps([[r.section, r.rule.path if hasattr(r.rule, "path") else str(r.rule)] for r in learned.rules])
    for name in ("/srv/fresh", "/srv/made", "/usr/bin/gzip", "net_admin", "udp"):
        assert name in text, text


def test_decisions_of_nobody_known_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "web", ["web-1"])
    ruleset = compile([POLICY], Posture.all("block"), Dialect.DISCOVER)
    with pytest.raises(UsageError, match="nothing was told"):
        write("web", tmp_path / "none", tmp_path / "decided", open_dataset(tmp_path / "web"), ruleset)
    assert not (tmp_path / "decided").exists()
