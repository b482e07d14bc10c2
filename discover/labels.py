"""Labels as people write them on a command line."""

from __future__ import annotations

from collections.abc import Iterable

from discover.errors import UsageError

__all__ = ["read_labels"]


def read_labels(given: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping. Raises `UsageError` for one that is none."""
    labels: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{text!r} is no label", "write it as KEY=VALUE: --label app=web")
        labels[key] = value
    return labels
