import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, Run

NGINX = ROOT / "datasets" / "nginx"
POLICY = """
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: %s}}
  %s
"""
OPEN = "file: {matchDirectories: [{dir: /, recursive: true, action: Allow}]}"
EXECS = "process: {matchPaths: [{path: /usr/sbin/nginx, action: Allow}]}"
SHELLS = "process: {matchPaths: [{path: /usr/sbin/nginx, action: Block}]}"


def write(place: Path, *policies: tuple[str, str, str]) -> Path:
    place.write_text("---".join(POLICY % p for p in policies))
    return place


def test_nothing_denied_is_0_and_something_is_1(discover: Run, tmp_path: Path) -> None:
    fine = discover("simulate", write(tmp_path / "a.yaml", ("a", "web", OPEN)), NGINX)
    assert fine.returncode == 0, fine.stderr
    assert re.search(r"denied  0 of [\d,]{5,} distinct accesses, 0 of [\d,]{7,} events, in 0 of 20 units", fine.stdout)
    denied = discover("simulate", NGINX, write(tmp_path / "b.yml", ("b", "web", SHELLS)))
    assert denied.returncode == 1, denied.stderr
    assert "denied by b spec.process.matchPaths[0] (Block /usr/sbin/nginx)" in denied.stdout


def test_a_folder_of_policies_several_documents_and_json(discover: Run, tmp_path: Path) -> None:
    folder = tmp_path / "policies" / "web"
    folder.mkdir(parents=True)
    write(folder / "x.yaml", ("a", "web", OPEN), ("b", "web", EXECS))
    (folder / "x.evidence.json").write_text("{}")
    (folder / "kustomization.yaml").write_text("resources: [x.yaml]\n")
    (folder / "x.posture.yaml").write_text("metadata: {annotations: {kubearmor-file-posture: audit}}\n")
    told = discover("simulate", folder.parent, NGINX, "--target", "kubearmor-bpflsm", "--json")
    assert told.returncode == 0, told.stderr
    (line,) = map(json.loads, told.stdout.splitlines())
    assert line["policies"] == ["a", "b"]
    assert (line["denied"], line["units"], line["target"]) == (0, 20, "kubearmor-bpflsm")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([NGINX], "no policy was named"),
        (["a.yaml"], "no recording was named"),
        (["a.yaml", "nowhere"], "nowhere does not exist"),
        (["a.yaml", "empty"], "neither YAML files nor a recording"),
        (["broken.yaml", NGINX], "broken.yaml:4: spec.fiel"),
        (["none.yaml", NGINX], "no KubeArmor policy in"),
        (["a.yaml", "b.yaml", NGINX], "select different things"),
        (["a.yaml", NGINX, "--select", "app=other"], "no policy selects command/nginx"),
        (["mixed", NGINX], "holds policies and recordings"),
    ],
)
def test_what_cannot_be_meant_is_2(discover: Run, tmp_path: Path, arguments: list[object], message: str) -> None:
    import synthetic

    write(tmp_path / "a.yaml", ("a", "web", OPEN))
    write(tmp_path / "b.yaml", ("b", "db", OPEN))
    (tmp_path / "none.yaml").write_text("a: 1\napiVersion: v1\nkind: Pod\n")
    (tmp_path / "broken.yaml").write_text(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: x}\nspec: {fiel: 1}\n"
    )
    (tmp_path / "empty").mkdir()
    synthetic.record(tmp_path / "mixed" / "r", ["u"])
    write(tmp_path / "mixed" / "p.yaml", ("a", "web", OPEN))
    places = [tmp_path / a if isinstance(a, str) and not a.startswith(("-", "app=")) else a for a in arguments]
    told = discover("simulate", *places)
    assert told.returncode == 2, told.stdout + told.stderr
    assert message in told.stderr
    assert told.stderr.splitlines()[-1].startswith("hint: ")


def test_labels_and_names_choose(discover: Run, tmp_path: Path) -> None:
    both = write(tmp_path / "two.yaml", ("a", "web", OPEN), ("b", "db", SHELLS))
    assert discover("simulate", both, NGINX, "--select", "app=web").returncode == 0
    assert discover("simulate", both, NGINX, "--select", "b").returncode == 1


def test_what_people_did_in_a_container_is_judged_on_request(discover: Run, tmp_path: Path) -> None:
    rules = write(tmp_path / "a.yaml", ("a", "web", EXECS))
    shell = ROOT / "datasets" / "nginx-shell"
    assert discover("simulate", rules, shell).returncode == 0
    told = discover("simulate", rules, shell, "--sessions", "--limit", "0")
    assert told.returncode == 1
    assert "exec /usr/bin/dash" in told.stdout
    assert "exec-session" in told.stdout
