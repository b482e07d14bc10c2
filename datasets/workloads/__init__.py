"""Real software under real load, described so that one run of it can be recorded as one unit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .workload import Workload

__all__ = ["NAMES", "load_workload"]

NAMES = ("nginx", "postgres", "pyweb", "redis", "nodeweb")
"""The workloads, each a module of this package with one `Workload` called ``workload``."""


def load_workload(name: str) -> Workload:
    """The workload called `name`; raises `KeyError` for a name that is none of `NAMES`."""
    if name not in NAMES:
        raise KeyError(name)
    workload: Workload = import_module(f"{__name__}.{name}").workload
    return workload
