"""Versions of what the back ends are made with and loaded by: libbpf, clang, the BPF Compiler Collection."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bpf.errors import LibbpfMissing
from bpf.libbpf import libbpf

__all__ = ["Tools", "bcc_version", "read_tools"]

BCC = Path("/usr/lib/python3/dist-packages/bcc")
"""Debian's and Ubuntu's ``python3-bpfcc``. The ``bcc`` of PyPI is a library for crystal lattices."""

_SECONDS = 5


@dataclass(frozen=True)
class Tools:
    """Versions; None where the tool is missing. `hint` says how to get a libbpf that is missing."""

    libbpf: str | None
    clang: str | None
    bcc: str | None
    hint: str = ""


def read_tools(*, clang: bool = True) -> Tools:
    """Read all of them; `clang` False leaves out clang, which takes longest; only building from source needs it."""
    hint = ""
    try:
        version: str | None = libbpf().libbpf_version_string().decode().removeprefix("v")
    except LibbpfMissing as error:
        version, hint = None, error.hint
    return Tools(version, _clang_version() if clang else None, bcc_version(), hint)


def bcc_version(place: Path = BCC) -> str | None:
    """The version of the BPF Compiler Collection's Python package at `place`, told by the ``libbcc.py`` of its own."""
    if not (place / "libbcc.py").is_file():
        return None
    try:
        match = re.search(r"__version__\s*=\s*['\"]([^'\"]+)", (place / "version.py").read_text())
    except OSError:
        match = None
    return match[1] if match else "unknown"


def _clang_version() -> str | None:
    if not (clang := shutil.which("clang")):
        return None
    try:
        done = subprocess.run([clang, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"version (\S+)", done.stdout)
    return match[1] if match else None
