"""Discover what a workload does, and the smallest KubeArmor policy that will not break it.

For notebooks::

    import discover

    dataset = discover.open_dataset("recordings/web")
    dataset.behaviours().to_pandas()
    discover.query(dataset, "SELECT op, count(*) FROM behaviours GROUP BY op")

Names are imported when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discover.errors import DiscoverError, UsageError
    from discover.query import query
    from discover.summary import summarise
    from models.dataset import Dataset, DatasetError, Recording, open_dataset

__all__ = [
    "Dataset",
    "DatasetError",
    "DiscoverError",
    "Recording",
    "UsageError",
    "open_dataset",
    "query",
    "summarise",
]

_HOMES = {
    "Dataset": "models.dataset",
    "DatasetError": "models.dataset",
    "DiscoverError": "discover.errors",
    "Recording": "models.dataset",
    "UsageError": "discover.errors",
    "open_dataset": "models.dataset",
    "query": "discover.query",
    "summarise": "discover.summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
