import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(Path(__file__).parents[1] / "dataset"))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def discover() -> Run:
    """The real command in a process of its own; `name` is what it is called by."""

    def run(
        *arguments: object, name: str = "discover", text: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.argv[0] = {name!r}; from discover.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::UserWarning", **environment},
        )

    return run
