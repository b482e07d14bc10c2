r"""Where the parts of a recording lie on disk, how a file says what it is, and what is wrong with one that does not.

    NAME/
      recording.json                      the manifest
      units.parquet  losses.parquet
      inventory/WORKLOAD.parquet
      behaviours/unit=UNIT/part-0.parquet after `finish`
      segments/000001.parquet …           until then: rows as they came, and counts*.parquet
      compacted/                          only between two steps of `finish`: replaces behaviours/ and segments/

``DatasetError``
 ├─ ``NoDataset``      nothing recorded here
 ├─ ``OtherSchema``    written with another version of the schema
 ├─ ``DamagedFile``    truncated, or no Parquet at all
 └─ ``ForeignFile``    Parquet, but not ours, or with other columns
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.behaviour import BEHAVIOURS, INVENTORY, LOSSES, SCHEMA_VERSION, SEGMENT, SEGMENT_COUNTS, UNITS

__all__ = [
    "KINDS",
    "MANIFEST",
    "DamagedFile",
    "DatasetError",
    "ForeignFile",
    "NoDataset",
    "OtherSchema",
    "behaviour_files",
    "check_file",
    "counts_files",
    "damaged",
    "encoded",
    "inventory_files",
    "is_live",
    "is_recording",
    "read_manifest",
    "read_part",
    "segment_files",
    "stamped",
]

MANIFEST = "recording.json"

KINDS: dict[str, pa.Schema] = {
    "behaviours": BEHAVIOURS,
    "segment": SEGMENT,
    "counts": SEGMENT_COUNTS,
    "units": UNITS,
    "losses": LOSSES,
    "inventory": INVENTORY,
}
"""What a file can hold, as its metadata ``discover.kind`` names it, with its schema."""

_KIND, _VERSION = b"discover.kind", b"discover.schema_version"
_SEGMENT_NAME = re.compile(r"(\d+)(?:-(\d+))?\.parquet")
_PLAIN = frozenset((string.ascii_letters + string.digits + "._-").encode())
_NAME_MAX = 200


class DatasetError(Exception):
    """A dataset that cannot be read; `path` is what was looked at, `hint` says what to do."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "", path: Path | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.path = path


class NoDataset(DatasetError):
    """There is no recording at this place."""

    exit_code = 2


class OtherSchema(DatasetError):
    """The recording was written with another version of the schema."""


class DamagedFile(DatasetError):
    """A file of the recording cannot be read: truncated, overwritten or no Parquet at all."""


class ForeignFile(DatasetError):
    """A Parquet file that no version of discover wrote, or that was changed since."""


def stamped(kind: str, more: dict[bytes, bytes] | None = None) -> pa.Schema:
    """The schema of `kind` with the metadata that says so in every file."""
    return KINDS[kind].with_metadata({**(more or {}), _KIND: kind.encode(), _VERSION: str(SCHEMA_VERSION).encode()})


def encoded(name: str) -> str:
    """A name as one path component: percent-encoded, at most 200 bytes (longer ones end in ``~`` and a hash).

    One-way for long names: the column in the file holds the name itself.
    """
    raw = name.encode(errors="surrogateescape")
    text = "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in raw)
    if len(text) <= _NAME_MAX:
        return text
    return text[: _NAME_MAX - 33].rstrip("%") + "~" + hashlib.sha256(raw).hexdigest()[:32]


def is_recording(directory: Path) -> bool:
    """Whether a recording (finished or not) lies in this directory."""
    return (directory / MANIFEST).is_file()


def is_live(directory: Path) -> bool:
    """Whether a recorder is writing to this recording now: it holds a lock on the directory for as long as it lives."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of the recording in `directory`, its schema version checked."""
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NoDataset(f"no recording in {directory}", "`discover datasets list DIR` shows what there is") from None
    except OSError as e:
        raise DatasetError(f"cannot read {path}: {e.strerror}", _access_hint(e), path) from None
    except ValueError:
        raise DamagedFile(f"{path} is not a manifest", "restore it from a backup, or record again", path) from None
    if not isinstance(manifest, dict):
        raise DamagedFile(f"{path} is not a manifest", "restore it from a backup, or record again", path)
    _check_version(path, manifest.get("schema_version"))
    return manifest


def _access_hint(error: OSError) -> str:
    return "recordings belong to who made them, usually root: use sudo" if isinstance(error, PermissionError) else ""


def _check_version(path: Path, version: object) -> None:
    if version == SCHEMA_VERSION:
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        hint = "it was recorded by a newer discover: upgrade this one"
    else:
        hint = "record again with this version, or read it with the discover that wrote it"
    raise OtherSchema(f"{path} has schema version {version}, this discover reads {SCHEMA_VERSION}", hint, path)


def check_file(path: Path, kind: str) -> pq.ParquetFile:
    """Open a Parquet file and make sure that it is whole, ours, of this schema version and of `kind`."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise DamagedFile(f"{path} is missing", "restore it from a backup, or record again", path) from None
    except pa.ArrowInvalid as e:
        what = "is truncated or no Parquet file" if path.stat().st_size else "is empty"
        raise DamagedFile(f"{path} {what}: {_first_line(e)}", "restore it from a backup, or record again", path) from e
    except OSError as e:
        raise DamagedFile(f"cannot read {path}: {_first_line(e)}", _access_hint(e), path) from e
    schema = file.schema_arrow
    metadata = schema.metadata or {}
    if _KIND not in metadata:
        file.close()
        raise ForeignFile(f"{path} was not written by discover", "keep other files out of a recording's folder", path)
    version = metadata.get(_VERSION, b"").decode(errors="replace")
    expected = KINDS[kind]
    try:
        _check_version(path, int(version) if version.isdigit() else version)
        if metadata[_KIND] != kind.encode() or not schema.equals(expected):
            differing = [f.name for f in expected if f.name not in schema.names or not schema.field(f.name).equals(f)]
            differing += [name for name in schema.names if name not in expected.names]
            what = f"other columns: {', '.join(differing)}" if differing else f"not a {kind} file"
            raise ForeignFile(f"{path} does not hold what its place says ({what})", "restore the file", path)
    except DatasetError:
        file.close()
        raise
    return file


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_part(path: Path, kind: str) -> pa.Table:
    """The table of one file of `kind`, with its metadata."""
    with check_file(path, kind) as file:
        try:
            return file.read()
        except (pa.ArrowException, OSError) as e:
            raise damaged(path, e) from e


def damaged(path: Path, error: BaseException) -> DamagedFile:
    """What to raise for a file that turned out to be unreadable in the middle."""
    return DamagedFile(f"{path} is damaged: {_first_line(error)}", "restore it from a backup, or record again", path)


def segment_files(directory: Path) -> list[Path]:
    """The segments that count, in the order in which they were written.

    ``A-B.parquet`` replaces all segments from A to B, which may still lie beside it.
    """
    found: list[tuple[int, int, Path]] = []
    for path in (directory / "segments").glob("*.parquet"):
        if match := _SEGMENT_NAME.fullmatch(path.name):
            first = int(match[1])
            found.append((first, -int(match[2] or first), path))
    kept, covered = [], -1
    for first, last, path in sorted(found):
        if first > covered:
            kept.append(path)
            covered = -last
    return kept


def counts_files(directory: Path) -> list[Path]:
    """The counts of each run of the recorder; the newest is ``counts.parquet``."""
    return sorted((directory / "segments").glob("counts*.parquet"))


def behaviour_files(directory: Path) -> list[Path]:
    """The Parquet files of compacted behaviours."""
    return sorted((directory / "behaviours").glob("unit=*/part-*.parquet"))


def inventory_files(directory: Path) -> list[Path]:
    """The Parquet files of the inventory."""
    return sorted((directory / "inventory").glob("*.parquet"))
