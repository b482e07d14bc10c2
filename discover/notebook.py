"""The review as a notebook: parameters set, a kernel that no folder can shadow, run with or without Jupyter.

The kernel is a Python of this very environment with ``-P``: the working directory is not on its path, so that a folder
``models/`` or a file ``discover.py`` of whoever opened it there is never imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from discover.errors import DiscoverError
from discover.writing import write_text

__all__ = ["KERNEL", "NOTEBOOK", "execute", "kernel_folder", "open_in_jupyter", "prepared", "require"]

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "review.ipynb"
KERNEL = "discover"
_HINT = "uv tool install 'kubearmor-discover[review]', or pip install 'kubearmor-discover[review]'"


def require(*modules: str) -> None:
    """Raise `DiscoverError` with the exact command where a module of the extra ``review`` is missing."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise DiscoverError(f"{', '.join(missing)} is not installed: the notebook is an extra", _HINT)


def prepared(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook with a cell of parameters after the defaults, as papermill puts it (tag ``injected-parameters``)."""
    document: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = "".join(f"{name} = {value!r}\n" for name, value in parameters.items()).rstrip()
    cell = {
        "cell_type": "code",
        "id": "parameters-set",
        "execution_count": None,
        "metadata": {"tags": ["injected-parameters"]},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
    after = next(n for n, c in enumerate(document["cells"]) if "parameters" in c["metadata"].get("tags", ()))
    document["cells"].insert(after + 1, cell)
    return document


@contextmanager
def kernel_folder() -> Iterator[dict[str, str]]:
    """The environment in which Jupyter finds the kernel; its specification is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="discover-kernel-") as place:
        spec = {
            "argv": [sys.executable, "-P", "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"],
            "display_name": "discover",
            "language": "python",
            "env": {"PYTHONSAFEPATH": "1"},
        }
        write_text(Path(place) / "kernels" / KERNEL / "kernel.json", json.dumps(spec))
        path = os.pathsep.join(p for p in (place, os.environ.get("JUPYTER_PATH", "")) if p)
        yield {**os.environ, "JUPYTER_PATH": path, "PYTHONSAFEPATH": "1"}


def execute(parameters: Mapping[str, Any], output: Path) -> None:
    """Run the notebook without Jupyter and write it with its answers: as a notebook, or as a page (``.html``).

    Raises `DiscoverError` with the cell that failed; what ran until then is written.
    """
    require("papermill", "ipykernel", "nbconvert")
    import nbformat as nbformat_  # noqa: PLC0415 - an extra
    import papermill  # noqa: PLC0415
    from papermill.exceptions import PapermillExecutionError  # noqa: PLC0415

    with kernel_folder() as environment, tempfile.TemporaryDirectory(prefix="discover-review-") as place:
        whole = {**dict(os.environ), **environment}
        before = dict(os.environ)
        source, done = Path(place) / "review.ipynb", Path(place) / "done.ipynb"
        source.write_text(json.dumps(prepared(parameters)), encoding="utf-8")
        os.environ.update(whole)  # jupyter_client looks for kernels in the environment of this process
        failed = None
        try:
            papermill.execute_notebook(
                str(source), str(done), kernel_name=KERNEL, progress_bar=False, log_output=False, cwd=str(Path.cwd())
            )
        except PapermillExecutionError as error:
            failed = error
        finally:
            os.environ.clear()
            os.environ.update(before)
        nbformat: Any = nbformat_
        notebook = nbformat.read(str(done), as_version=4)
        if output.suffix == ".html":
            from nbconvert import HTMLExporter  # noqa: PLC0415

            exporter: Any = HTMLExporter
            # neither of the two libraries that its pages would ask the network for
            text, _ = exporter(embed_images=True, mathjax_url="", require_js_url="").from_notebook_node(notebook)
        else:
            text = nbformat.writes(notebook)
        write_text(output, text)
    if failed is not None:
        raise DiscoverError(
            f"cell {failed.exec_count} of the notebook failed: {failed.ename}: {failed.evalue}",
            f"what ran until then is in {output}",
        )


def open_in_jupyter(parameters: Mapping[str, Any], output: Path, arguments: tuple[str, ...]) -> int:
    """Write the notebook with its parameters and open it in JupyterLab; the exit status is Jupyter's."""
    require("jupyterlab", "ipykernel")
    write_text(output, json.dumps(prepared(parameters), indent=1) + "\n")
    with kernel_folder() as environment:
        # the address that Jupyter prints is then the notebook's, for whoever has the browser elsewhere
        address = f"--LabApp.default_url=/lab/tree/{quote(output.name)}"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "jupyterlab", str(output), address, *arguments], env=environment, check=False
        )
    return done.returncode
