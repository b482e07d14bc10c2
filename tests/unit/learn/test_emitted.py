"""Every policy that is learned from the recordings of real software is one that the official CRDs take."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from benchmarks.quality.material import ROOT
from models.dataset import open_dataset
from models.evidence import Evidence, gather
from models.learn import CannotFit, Options, learn
from models.policy import (
    LIMITS,
    KubeArmorHostPolicy,
    KubeArmorPolicy,
    Metadata,
    NodeSelector,
    Policy,
    Selector,
    Target,
    dump_policy,
)

CRDS = Path(os.environ.get("DISCOVER_SHARED", ROOT.parent / "shared")) / "crds"
DATASETS = sorted(p.name for p in (ROOT / "datasets").iterdir() if any(p.rglob("recording.json")))


@cache
def crd(kind: str) -> Any:
    """The strict schema of a CRD: what the API server would prune is an error."""
    if not CRDS.is_dir():
        pytest.skip(f"no reference data in {CRDS} (DISCOVER_SHARED)")
    (version,) = yaml.safe_load((CRDS / f"{kind}.yaml").read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    _close(schema)
    return jsonschema.Draft202012Validator(schema)


def _close(schema: Any) -> None:
    if "properties" in schema:
        schema["additionalProperties"] = False
        for name, below in schema["properties"].items():
            if name != "metadata":
                _close(below)
    if "items" in schema:
        _close(schema["items"])


@cache
def evidence_of(dataset: str) -> Evidence:
    return gather(open_dataset(ROOT / "datasets" / dataset))[0]


@pytest.mark.shared
@pytest.mark.parametrize("target", list(Target))
@pytest.mark.parametrize("kind", ["KubeArmorPolicy", "KubeArmorHostPolicy"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_the_crd_takes_it(dataset: str, kind: str, target: Target) -> None:
    validator = crd(kind)
    evidence = evidence_of(dataset)
    host = kind == "KubeArmorHostPolicy"
    if host:
        evidence = replace(evidence, workload=replace(evidence.workload, kind="Host"))
    try:
        learned = learn(evidence, Options(target=target))
    except CannotFit:
        # only where there are keys to run out of
        assert LIMITS[target].keys is not None
        return
    policy: Policy
    if host:
        spec = replace(learned.spec, node_selector=NodeSelector(match_labels={"kubernetes.io/os": "linux"}))
        policy = KubeArmorHostPolicy(metadata=Metadata(name="x"), spec=spec)
    else:
        spec = replace(learned.spec, selector=Selector(match_labels={"app": "x"}))
        policy = KubeArmorPolicy(metadata=Metadata(name="x", namespace="shop"), spec=spec)
    document = yaml.safe_load(dump_policy(policy))
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(document)] == []


@pytest.mark.shared
def test_the_strict_schema_notices_what_is_wrong() -> None:
    validator = crd("KubeArmorHostPolicy")
    good = {
        "apiVersion": "security.kubearmor.com/v1",
        "kind": "KubeArmorHostPolicy",
        "metadata": {"name": "x"},
        "spec": {
            "nodeSelector": {"matchLabels": {"a": "b"}},
            "network": {"matchProtocols": [{"protocol": "tcp", "fromSource": [{"path": "/a"}]}]},
        },
    }
    assert list(validator.iter_errors(good)) == []
    del good["spec"]["network"]["matchProtocols"][0]["fromSource"]  # type: ignore[index]
    assert list(validator.iter_errors(good))


def test_each_hazard_of_the_program_has_its_row_in_the_documentation() -> None:
    source = (ROOT / "tests/programs/hazards.c").read_text()
    cases = re.findall(r'^\t\{"(\w+)", \w+\},$', source, re.MULTILINE)
    page = (ROOT / "docs/learning.md").read_text().split("## Path hazards")[1]
    rows = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \|.*$", page, re.MULTILINE)}
    assert set(rows) == set(cases)
    impossible = {name for name, text in rows.items() if "**impossible**" in text}
    assert impossible == {"ca_bundle", "memfd_exec"}
