"""`discover generate` on real recordings and on hostile ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from conftest import ROOT
from synthetic import record, segment, units_table

from benchmarks.quality.synthetic.rows import app, evidence_of, row
from collectors.writer import RecordingWriter
from discover.cli import group
from models.dataset import open_dataset
from models.evidence import Workload, gather
from models.learn import Options, learn
from models.learn.sidecar import BadSidecar, from_json, places, to_json
from models.policy import (
    Kind,
    KubeArmorHostPolicy,
    Metadata,
    NodeSelector,
    Target,
    dump_policy,
    load_policies,
    read_policies,
    validate,
)

REDIS, NGINX = ROOT / "datasets/redis", ROOT / "datasets/nginx-shell"


def generate(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["generate", *map(str, arguments)])


@pytest.mark.parametrize("target", list(Target))
def test_the_same_bytes_each_time_on_standard_output_and_in_the_file(tmp_path: Path, target: Target) -> None:
    first = generate(REDIS, "--target", target)
    assert first.exit_code == 0, first.output
    again = generate(REDIS, "--target", target, "-o", tmp_path / "p.yaml")
    assert again.exit_code == 0
    assert (tmp_path / "p.yaml").read_text() == first.stdout
    (policy,) = read_policies(tmp_path / "p.yaml")
    assert policy.metadata.annotations == {"discover.kubearmor.io/target": str(target)}
    assert first.stdout.startswith("# Learned by discover from ")


def test_the_evidence_beside_it_comes_back(tmp_path: Path) -> None:
    assert generate(REDIS, "-o", tmp_path / "p.yaml").exit_code == 0
    text = (tmp_path / "p.evidence.json").read_text()
    sidecar = from_json(text, "p.evidence.json")
    (evidence,) = gather(open_dataset(REDIS))
    learned = learn(evidence)
    assert to_json(learned, sidecar.policy, sidecar.recordings) == text
    assert sidecar.rules == {p: r.evidence for p, r in zip(places(learned.rules), learned.rules, strict=True)}
    # every rule of the policy has an entry, under its field path
    document = yaml.safe_load((tmp_path / "p.yaml").read_text())
    for where in sidecar.rules:
        section, field, number = re.fullmatch(r"spec\.(\w+)\.(\w+)\[(\d+)\]", where).groups()  # type: ignore[union-attr]
        assert document["spec"][section][field][int(number)]
    count = sum(len(v) for s in document["spec"].values() if isinstance(s, dict) for v in s.values() if type(v) is list)
    assert count == len(sidecar.rules)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 99}', '{"schema_version": 1, "rules": 3}'])
def test_a_damaged_sidecar_is_told(text: str) -> None:
    with pytest.raises(BadSidecar, match=r"x\.json") as error:
        from_json(text, "x.json")
    assert "discover generate" in error.value.hint


def test_the_posture_patch_is_for_the_classes_with_an_allow_list(tmp_path: Path) -> None:
    assert generate(REDIS, "-o", tmp_path / "p.yaml", "-n", "shop", "--posture", "block").exit_code == 0
    text = (tmp_path / "p.posture.yaml").read_text()
    document = yaml.safe_load(text)
    spec = yaml.safe_load((tmp_path / "p.yaml").read_text())["spec"]
    lists = {s for s in ("file", "network", "capabilities") if spec.get(s, {}).get("action") == "Allow"}
    assert document == {"metadata": {"annotations": {f"kubearmor-{s}-posture": "block" for s in sorted(lists)}}}
    assert "kubectl patch namespace shop --patch-file" in text


def test_labels_name_and_namespace(tmp_path: Path) -> None:
    done = generate(REDIS, "--label", "app=cache", "--label", "tier=back", "--name", "cache", "-n", "shop")
    document = yaml.safe_load(done.stdout)
    assert document["metadata"]["name"] == "cache"
    assert document["metadata"]["namespace"] == "shop"
    assert document["spec"]["selector"] == {"matchLabels": {"app": "cache", "tier": "back"}}
    assert "assumed" not in done.stdout
    assert "no label was recorded" in generate(REDIS).stdout


def test_several_workloads_need_a_folder(tmp_path: Path) -> None:
    done = generate(REDIS, NGINX, "-o", tmp_path / "p.yaml")
    assert done.exit_code != 0
    done = generate(REDIS, NGINX, "-o", f"{tmp_path}/all/", "--json")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    for one in rows:
        assert [Path(f).is_file() for f in one["files"]] == [True, True, True]
        assert one["units"] > 0
        assert one["sensitive_admitted"] == []
    one = generate(REDIS, NGINX, "--workload", rows[0]["workload"])
    assert one.stdout == Path(rows[0]["files"][0]).read_text()
    both = generate(REDIS, NGINX).stdout
    assert len(list(yaml.safe_load_all(both))) == 2


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    for arguments, message in (
        ((REDIS, "--workload", "nope"), "no workload"),
        ((REDIS, "--label", "nope"), "is no label"),
        ((REDIS, "-o", tmp_path / "discover.yaml"), "decisions"),
        ((REDIS, "--decisions", tmp_path / "nope.yaml"), "cannot read"),
        ((REDIS, NGINX, "--name", "x"), "--name names one policy"),
    ):
        done = generate(*arguments)
        assert done.exit_code != 0
        assert message in done.output + str(done.exception)


def test_decisions_beside_the_output_are_obeyed(tmp_path: Path) -> None:
    entry = "{path: /srv/by-decision, reason: the monthly job, owner: ops@example.org}"
    must = "{drill: crash, reason: it recovers, owner: ops@example.org}"
    (tmp_path / "discover.yaml").write_text(f"version: 1\nadditions:\n  - {entry}\nmustSee:\n  - {must}\n")
    assert generate(REDIS, "-o", tmp_path / "p.yaml").exit_code == 0
    text = (tmp_path / "p.yaml").read_text()
    assert "- path: /srv/by-decision" in text
    assert "decided: the monthly job (ops@example.org)" in text
    assert "must see drill crash (it recovers)" in text


# Hostile names


HOSTILE = [
    "../../etc/passwd",
    "a\nb: c",
    "\x1b[31mred",
    "ünï-\udcff".encode("utf-8", "replace").decode(),
    "A" * 300,
    "-",
    "discover",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_workload_chooses_no_file_name_and_no_yaml(tmp_path: Path, name: str) -> None:
    place = tmp_path / "recording"
    writer = RecordingWriter.create(place, {**_manifest(), "target": {"kind": "container", "workload": name}})
    writer.append(segment([_plain(r) for u in "abc" for r in app(f"web-{u}")]))
    writer.units(units_table([f"web-{u}" for u in "abc"], workload=name))
    writer.finish("complete")
    out = tmp_path / "out"
    done = generate(place, "-o", f"{out}/")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    files = sorted(p.name for p in out.iterdir())
    assert len(files) == 3
    assert [p for p in tmp_path.iterdir() if p.name not in ("recording", "out")] == []
    assert "discover.yaml" not in files
    text = (
        next(out.glob("*[!e].yaml")).read_text() if name != "discover" else (out / "discover-policy.yaml").read_text()
    )
    assert all(c.isprintable() or c == "\n" for c in text)
    (policy,) = load_policies(text)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", policy.metadata.name)
    assert len(policy.metadata.name) <= 63
    assert validate(yaml.safe_load(text)) == []


def _manifest() -> dict[str, object]:
    from synthetic import MANIFEST

    return dict(MANIFEST)


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in values.items() if k not in ("workload", "workload_kind")}


def test_hostile_paths_in_a_recording(tmp_path: Path) -> None:
    record(tmp_path / "r", ["web-1", "web-2", "web-3"])
    for target in Target:
        done = generate(tmp_path / "r", "--target", target)
        assert done.exit_code in (0, 1), done.output
        assert "\x1b" not in done.output
        if done.exit_code:
            assert "--target discover can hold it" in done.output
            continue
        (policy,) = load_policies(done.stdout)
        assert load_policies(dump_policy(policy)) == [policy]


# Hosts


@pytest.mark.parametrize("target", list(Target))
def test_a_host_policy_says_from_where(target: Target) -> None:
    rows = [r for u in "abc" for r in app(u)]
    for u in "abc":
        rows += [
            row(u, **{"class": "socket"}, op="connect", exe=exe, family="inet", type="dgram", protocol="udp")
            for exe in ("/usr/sbin/chronyd", "memfd:x", "")
        ]
        rows += [row(u, **{"class": "capability"}, op="capable", capability="CAP_SYS_TIME", exe="/usr/sbin/chronyd")]
        rows += [row(u, **{"class": "capability"}, op="capable", capability="CAP_CHOWN", exe="memfd:x")]
    evidence = replace(evidence_of(rows), workload=Workload("node", "Host"))
    learned = learn(evidence, Options(target=target))
    spec = replace(learned.spec, node_selector=NodeSelector(match_labels={"kubernetes.io/os": "linux"}))
    text = dump_policy(KubeArmorHostPolicy(metadata=Metadata(name="node"), spec=spec))
    document = yaml.safe_load(text)
    assert document["kind"] == Kind.HOST
    assert validate(document) == []
    protocols = {
        p["protocol"]: [s["path"] for s in p["fromSource"]] for p in document["spec"]["network"]["matchProtocols"]
    }
    assert protocols == {"tcp": ["/usr/bin/app"], "udp": ["/usr/sbin/chronyd"]}
    capabilities = document["spec"]["capabilities"]["matchCapabilities"]
    assert capabilities == [{"capability": "sys_time", "fromSource": [{"path": "/usr/sbin/chronyd"}]}]
    told = " ".join(learned.warnings)
    assert "memfd:x used udp" in told
    assert "an executable without a name used udp" in told
    assert "memfd:x used the capability chown" in told
