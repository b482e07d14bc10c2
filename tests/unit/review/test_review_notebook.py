"""The notebook: run as a reviewer would, on every dataset, with a changed threshold and a decision written."""

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

import discover
from discover.cli.review import command
from discover.errors import DiscoverError
from discover.notebook import NOTEBOOK, execute, kernel_folder, prepared, require

ROOT = Path(__file__).parents[3]
SMALL = ["nginx-idle"]  # and redis, with a decision
THEIRS = "# ours\nversion: 1\nmustSee: # the drills\n  - {drill: stop, reason: saves, owner: a@b.org}  # weekly\n"
LIVE = "application/vnd.vegalite.v5+json"
LARGE = ["nginx", "nginx-shell", "nodeweb", "postgres", "pyweb"]


def parameters(name: str, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"dataset": str(ROOT / "datasets" / name), "decisions": str(tmp_path / "discover.yaml"), **more}


def ran(name: str, tmp_path: Path, **more: Any) -> Any:
    done = tmp_path / "done.ipynb"
    execute(parameters(name, tmp_path, **more), done)
    return nbformat.read(str(done), as_version=4)


def outputs(notebook: Any, source: str) -> list[Any]:
    (cell,) = [c for c in notebook.cells if c.cell_type == "code" and source in c.source]
    return list(cell.outputs)


def pictures(notebook: Any) -> list[str]:
    every = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return [o.data["image/svg+xml"] for o in every if o.output_type == "execute_result" and "image/svg+xml" in o.data]


def check(notebook: Any) -> None:
    assert len(pictures(notebook)) == 7
    assert all(p.startswith("<svg") for p in pictures(notebook))
    for cell in notebook.cells:
        assert not any(o.output_type == "error" for o in cell.get("outputs", ()))


def test_a_threshold_changes_the_policy_and_a_decision_is_written(tmp_path: Path) -> None:
    """`stranger` modules lie in the working directory and beside the notebook: none of them is imported."""
    for name in ("models", "discover", "collectors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger')")
    file = tmp_path / "discover.yaml"
    file.write_text(THEIRS)
    decision = {"verdict": "refuse", "pattern": "/etc/passwd", "reason": "nobody needs it", "owner": "sec@example.org"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        notebook = ran("redis", tmp_path, decision=decision, denial_weight=0.0, at_most=0.5)
    check(notebook)
    text = file.read_text()
    assert text.startswith(THEIRS)
    (refused,) = discover.read_decisions(file).refusals
    assert refused.value == "/etc/passwd"
    decided = outputs(notebook, "discover.write_decision")
    assert "/etc/passwd" in decided[-1].data["text/plain"]
    facts = outputs(notebook, 'review.table("facts")')[-1].data["text/html"]
    assert "Coverage" in facts
    shown = [o for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "execute_result"]
    live = [o.data[LIVE] for o in shown if LIVE in o.data]
    assert len(live) == 7
    assert "did" in json.dumps(live[1])  # what a process did, where it is pointed at
    assert "rules before" in outputs(notebook, "review.relearn(denial_weight")[0].text


def test_a_cell_that_fails_is_told_of_and_the_rest_is_kept(tmp_path: Path) -> None:
    done = tmp_path / "done.ipynb"
    with pytest.raises(DiscoverError, match="NoDataset") as caught:
        execute({"dataset": str(tmp_path / "nowhere")}, done)
    assert str(done) in caught.value.hint
    assert nbformat.read(str(done), as_version=4).cells


def test_cells_are_short_and_import_discover_alone() -> None:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    allowed = {"discover", "pathlib"}
    for cell in document["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        assert cell["outputs"] == []
        if "parameters" not in cell["metadata"].get("tags", ()):
            assert len(source.splitlines()) <= 10
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                assert {a.name for a in node.names} <= allowed
            if isinstance(node, ast.ImportFrom):
                assert node.module in allowed
    used = {
        n.attr
        for c in document["cells"]
        if c["cell_type"] == "code"
        for n in ast.walk(ast.parse("".join(c["source"])))
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "discover"
    }
    assert used <= set(discover.__all__)


def test_the_kernel_leaves_the_working_directory_off() -> None:
    with kernel_folder() as environment:
        place = environment["JUPYTER_PATH"].split(":")[0]
        spec = json.loads((Path(place) / "kernels" / "discover" / "kernel.json").read_text())
        assert spec["argv"][1] == "-P"
    assert not Path(place).exists()


def test_what_is_missing_names_the_command() -> None:
    with pytest.raises(DiscoverError) as caught:
        require("papermill", "no_such_module_of_ours")
    assert str(caught.value).startswith("no_such_module_of_ours is not installed")
    assert "pip install 'kubearmor-discover[review]'" in caught.value.hint


def test_the_command_prepares_and_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JupyterLab itself, asked for its version, stands for the one that would stay open."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        command, [str(ROOT / "datasets/redis"), "--at-most", "0.1", "--jupyter=--version"], catch_exceptions=False
    )
    assert done.exit_code == 0
    notebook = nbformat.read(str(tmp_path / "review.ipynb"), as_version=4)
    nbformat.validate(notebook)
    (cell,) = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", ())]
    assert f"dataset = {str(ROOT / 'datasets/redis')!r}" in cell.source
    assert "at_most = 0.1" in cell.source
    assert prepared({"dataset": "x"})["metadata"]["kernelspec"]["name"] == "discover"


@pytest.mark.parametrize("name", SMALL)
def test_runs_on_the_small_datasets(tmp_path: Path, name: str) -> None:
    check(ran(name, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_runs_on_every_dataset(tmp_path: Path, name: str) -> None:
    check(ran(name, tmp_path))
