"""Files written whole or not at all: beside their place, synced and renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from discover.errors import DiscoverError

__all__ = ["write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a file whole. Raises `DiscoverError`; what was there before is then still whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DiscoverError(
            f"cannot write {path}: {error.strerror}", "name a place with room to write: -o FILE"
        ) from error
