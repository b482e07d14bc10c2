"""Discover what a workload does, and the smallest KubeArmor policy that will not break it.

For notebooks::

    import discover

    dataset = discover.open_dataset("recordings/web")
    dataset.behaviours().to_pandas()
    discover.query(dataset, "SELECT op, count(*) FROM behaviours GROUP BY op")

    review = discover.open_review(dataset, "web.yaml")
    review.table("first"), review.picture("files")
    discover.write_decision("discover.yaml", "refuse", pattern="/usr/bin/curl", reason="…", owner="sec@example.org")

Names are imported when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discover.deciding import write_decision
    from discover.decisions import Decisions, read_decisions
    from discover.errors import DiscoverError, UsageError
    from discover.query import query
    from discover.report import as_html, as_markdown, as_sarif
    from discover.review import Review, open_review
    from discover.review.make import request_with
    from discover.summary import summarise
    from discover.text import printable
    from models.dataset import Dataset, DatasetError, Recording, open_dataset

__all__ = [
    "Dataset",
    "DatasetError",
    "Decisions",
    "DiscoverError",
    "Recording",
    "Review",
    "UsageError",
    "as_html",
    "as_markdown",
    "as_sarif",
    "open_dataset",
    "open_review",
    "printable",
    "query",
    "read_decisions",
    "request_with",
    "summarise",
    "write_decision",
]

_HOMES = {
    "Dataset": "models.dataset",
    "DatasetError": "models.dataset",
    "Decisions": "discover.decisions",
    "DiscoverError": "discover.errors",
    "Recording": "models.dataset",
    "Review": "discover.review",
    "UsageError": "discover.errors",
    "as_html": "discover.report",
    "as_markdown": "discover.report",
    "as_sarif": "discover.report",
    "open_dataset": "models.dataset",
    "open_review": "discover.review",
    "printable": "discover.text",
    "query": "discover.query",
    "read_decisions": "discover.decisions",
    "request_with": "discover.review.make",
    "summarise": "discover.summary",
    "write_decision": "discover.deciding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
