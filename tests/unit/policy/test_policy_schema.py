"""The model's own schema against the official CRDs, field by field, and what validation says to people."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from policy_recorded import SHARED, need

from models.policy import Kind, PolicyError, dump_policy, load_policies, read_policies, schema, validate

CRDS = SHARED / "crds"
MINIMAL = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
"""


def compare(ours: Any, theirs: Any, path: str) -> list[str]:
    """Return where two schemas differ; descriptions do not count, and only ours is closed."""
    different = []
    for key in sorted((ours.keys() | theirs.keys()) - {"description", "properties", "items", "required"}):
        closed = key == "additionalProperties" and ours.get(key) is False and "properties" in theirs
        if not closed and ours.get(key) != theirs.get(key):
            different.append(f"{path}: {key}: {ours.get(key)!r} here, {theirs.get(key)!r} there")
    if sorted(ours.get("required", ())) != sorted(theirs.get("required", ())):
        different.append(f"{path}: required: {ours.get('required')} here, {theirs.get('required')} there")
    mine, official = ours.get("properties", {}), theirs.get("properties", {})
    for name in sorted(mine.keys() | official.keys()):
        if name not in mine or name not in official:
            different.append(f"{path}.{name}: only {'here' if name in mine else 'there'}")
        else:
            different += compare(mine[name], official[name], f"{path}.{name}")
    if "items" in ours or "items" in theirs:
        different += compare(ours.get("items", {}), theirs.get("items", {}), f"{path}[]")
    return different


@pytest.mark.shared
@pytest.mark.parametrize("kind", list(Kind))
def test_the_schema_is_the_crd(kind: Kind) -> None:
    crd = yaml.safe_load(need(CRDS / f"{kind}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    official = version["schema"]["openAPIV3Schema"]["properties"]
    assert version["name"] == "v1"
    assert compare(schema(kind)["properties"]["spec"], official["spec"], "spec") == []
    assert compare(schema(kind)["properties"]["status"], official["status"], "status") == []
    assert schema(kind)["properties"].keys() == official.keys()


def test_the_comparison_finds_differences() -> None:
    ours = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"enum": [1]}},
        "additionalProperties": False,
    }
    theirs = {"type": "object", "properties": {"b": {"enum": [1, 2]}, "c": {}}, "required": ["b"]}
    assert len(compare(ours, theirs, "x")) == 4


@pytest.mark.shared
def test_every_reference_policy_is_valid() -> None:
    files = sorted(need(SHARED / "conformance/policies").rglob("*.yaml")) + sorted((SHARED / "textbook").glob("*.yaml"))
    policies = [p for f in files for p in read_policies(f)]
    print(f"{len(policies)} policies in {len(files)} files are valid")
    assert len(policies) >= 130


WRONG = [
    ("  fil: {}", "spec.fil", "unknown field 'fil'", "did you mean file?"),
    ("  file: {matchPath: []}", "spec.file.matchPath", "unknown field", "did you mean matchPaths?"),
    ("  file:\n    matchPaths:\n    - {path: /a, readonly: true}", "spec.file.matchPaths[0].readonly", "", "readOnly"),
    ("  file: {matchPaths: [{path: etc/passwd}]}", "spec.file.matchPaths[0].path", "not an absolute path", ""),
    ("  file: {matchPaths: [{path: /etc/}]}", "spec.file.matchPaths[0].path", "does not end in /", "/etc"),
    ("  file: {matchDirectories: [{dir: /etc}]}", "spec.file.matchDirectories[0].dir", "a directory", "write /etc/"),
    ("  file: {matchPaths: [{readOnly: true}]}", "spec.file.matchPaths[0].path", "path is missing", ""),
    ("  action: Deny", "spec.action", "not allowed", "Allow, Audit, Block"),
    ("  action: allow", "spec.action", "not allowed", "did you mean Allow?"),
    ("  severity: 11", "spec.severity", "out of range", "maximum is 10"),
    ("  severity: high", "spec.severity", "a number is expected", ""),
    ("  message: NO", "spec.message", "YAML reads NO as False", 'write "NO"'),
    ("  tags: [1.5]", "spec.tags[0]", "YAML reads 1.5", 'write "1.5"'),
    ("  network: {matchProtocols: [{protocol: tpc}]}", "spec.network.matchProtocols[0].protocol", "", "tcp"),
    ("  network: {matchProtocols: [{protocol: xtcp}]}", "spec.network.matchProtocols[0].protocol", "unknown", "tcp"),
    (
        "  capabilities: {matchCapabilities: [{capability: net_rawr}]}",
        "spec.capabilities.matchCapabilities[0].capability",
        "not allowed",
        "net_raw",
    ),
    ("  process: {matchPaths: [{action: Allow}]}", "spec.process.matchPaths[0]", "neither path nor execname", "path"),
    ("  process: {matchPaths: [{path: /a, execname: b}]}", "spec.process.matchPaths[0]", "both path and", "keep one"),
    ("  process: {matchPatterns: [{pattern: '/a[b'}]}", "spec.process.matchPatterns[0].pattern", "no ']'", "close"),
    ('  file: {matchPaths: [{path: "/a\\x1b[0m"}]}', "spec.file.matchPaths[0].path", "control characters", "directory"),
    (
        '  network: {matchProtocols: [{protocol: "tcp\\n"}]}',
        "spec.network.matchProtocols[0].protocol",
        "control",
        "out",
    ),
    ("  nodeSelector: {}", "spec.nodeSelector", "unknown field", "only a KubeArmorHostPolicy"),
    ("  file: {}\n  file: {}", "spec.file", "twice", "merge the two"),
    ("  syscalls: {matchSyscalls: [{syscall: [opn]}]}", "spec.syscalls.matchSyscalls[0].syscall[0]", "", "open"),
]


@pytest.mark.parametrize(("lines", "field", "message", "hint"), WRONG, ids=lambda v: v.strip()[:40])
def test_an_error_names_file_line_field_and_fix(lines: str, field: str, message: str, hint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policies(MINIMAL + lines, "web.yaml")
    problem = caught.value.problems[0]
    assert problem.field == field
    assert message in problem.message
    assert hint in problem.hint
    assert problem.line > 5
    assert str(caught.value).startswith(f"web.yaml:{problem.line}: {field}: ")


def test_the_line_is_that_of_the_field() -> None:
    text = MINIMAL + "  file:\n    matchPaths:\n    - path: /ok\n    - path: /fine\n      ownreOnly: true\n"
    with pytest.raises(PolicyError) as caught:
        load_policies(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.hint) == (10, "did you mean ownerOnly?")


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(PolicyError) as caught:
        load_policies(MINIMAL + "  action: x\n  fil: {}\n---\nkind: KubeArmorPolicy\n")
    lines = [p.line for p in caught.value.problems]
    assert lines == sorted(lines)
    assert len(lines) >= 4


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: &x [*x]",
        "? [1]\n: 2",
        "a: !!python/object:os.system x",
        "<<: {a: b}\nb: c",
        "just text",
        "- a",
        "a: \x00",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]",
    ],
    ids=["flow", "recursive", "key", "tag", "merge", "scalar", "list", "nul", "bomb"],
)
def test_what_is_no_policy_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policies(text, "x.yaml")
    assert str(caught.value).startswith("x.yaml")


def test_other_objects_in_a_file_are_left_alone() -> None:
    other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n---\n"
    assert [p.name for p in load_policies(other + MINIMAL)] == ["web"]


def test_the_members_of_a_list_are_read_with_their_lines() -> None:
    member = MINIMAL.replace("\n", "\n  ").rstrip()
    text = f"apiVersion: v1\nkind: List\nitems:\n- {member}\n- {member}\n    action: Deny\n"
    with pytest.raises(PolicyError) as caught:
        load_policies(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (14, "spec.action")
    assert [p.name for p in load_policies(text.replace("Deny", "Allow"))] == ["web", "web"]


def test_a_misspelt_kind_is_not_left_alone() -> None:
    with pytest.raises(PolicyError, match="did you mean KubeArmorPolicy"):
        load_policies(MINIMAL.replace("KubeArmorPolicy", "KubeArmourPolicy"))


def test_a_file_that_is_no_utf_8_says_where(tmp_path: Any) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(MINIMAL.encode() + b"  message: caf\xe9\n")
    with pytest.raises(PolicyError) as caught:
        read_policies(file)
    assert caught.value.problems[0].line == 6


def test_hostile_text_in_an_error_is_harmless() -> None:
    with pytest.raises(PolicyError) as caught:
        load_policies(MINIMAL + '  "\\x1b[31mred": 1\n', "evil\x1b.yaml")
    assert "\x1b" not in str(caught.value)


def test_host_policies_need_what_the_crd_says() -> None:
    host = {"apiVersion": "security.kubearmor.com/v1", "kind": "KubeArmorHostPolicy", "metadata": {"name": "h"}}
    spec = {"network": {"matchProtocols": [{"protocol": "tcp"}]}}
    fields = {p.field for p in validate(host | {"spec": spec})}
    assert fields == {"spec.nodeSelector", "spec.network.matchProtocols[0].fromSource"}


def example(of: Any) -> Any:
    """Return a value with every field that a schema has."""
    if "properties" in of:
        return {name: example(inner) for name, inner in of["properties"].items()}
    match of.get("type"):
        case "object":
            return {"app": "web"}
        case "array":
            return [example(of["items"])]
        case "integer":
            return 3
        case "boolean":
            return False
    if "enum" in of:
        return of["enum"][-1]
    pattern = of.get("pattern", "")
    for word in ("/a/b", "/a/", "name", "tcp", "kill"):
        if re.search(pattern, word):
            return word
    raise AssertionError(pattern)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_policy_with_every_field_round_trips(kind: Kind) -> None:
    document = example(schema(kind))
    (rule,) = document["spec"]["process"]["matchPaths"]
    del rule["execname"]
    (policy,) = load_policies(json.dumps(document))
    assert policy.to_document() == document
    text = dump_policy(policy)
    assert load_policies(text) == [policy]
    assert dump_policy(load_policies(text)[0]) == text
