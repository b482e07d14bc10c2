"""The enforcer's programs on the live kernel, where they cannot deny: at tracepoints (enforce_watch.bpf.c)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bpf import build
from bpf.errors import BpfError
from bpf.object import BpfObject
from enforcer.bpf_lsm.programs import MAPS, SCRATCHES, Programs, processors

__all__ = ["watching"]

ROOT = Path(__file__).parents[2]
_KEPT = ("watch_", "cover_", "forget_")


def watching(folder: Path) -> Programs:
    """Build in `folder`, load and attach what watches and what says who is covered. Skips where there is no BPF."""
    for source in (*(ROOT / "bpf").glob("*.h"), Path(__file__).parent / "enforce_watch.bpf.c"):
        shutil.copy(source, folder)
    build.build(folder)
    opened = BpfObject(folder / "enforce_watch.bpf.o")
    try:
        opened.resize("scratches", SCRATCHES * processors())
        opened.only(*(name for name in opened.programs if name.startswith(_KEPT)))
        opened.load()
        opened.attach()
    except BpfError as error:
        opened.close()
        pytest.skip(f"no BPF here: {error}")
    return Programs(opened, {name: opened.map(name) for name in MAPS}, opened.variable("state"), None)
