"""Hatchling hook: the BPF objects are compiled before a wheel, an sdist or an editable install is put together.

Both wheel and sdist carry the objects, so installing from either needs no clang.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BpfBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Calls ``bpf/build.py``, the one place that knows the clang command line."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling calls it so
        """Compile what is out of date; in an unpacked sdist, take the objects that came with it."""
        root = Path(self.root)
        compiler = _load(root / "bpf" / "build.py")
        if (root / "PKG-INFO").exists() and all(t.object.exists() for t in compiler.targets(root / "bpf")):
            return
        try:
            compiler.build(root / "bpf")
        except compiler.BuildError as error:
            raise SystemExit(f"error: {error}") from None


def _load(path: Path) -> ModuleType:
    """Import one file of the project by path: its package and dependencies are not there while it is being built."""
    spec = importlib.util.spec_from_file_location("bpf_build", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"error: {path} is missing from the source tree")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
