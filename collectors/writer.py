"""Writing a recording so that a kill at any moment leaves only whole files, and every row that was acknowledged.

    writer = RecordingWriter.create(Path("recordings/web"), manifest)
    writer.append(rows)        # SEGMENT; returns once they are on disk
    writer.counts(counts)      # SEGMENT_COUNTS; replaces the counts before
    writer.finish("complete")  # segments become behaviours/

Each file is written beside its place, synced, and renamed into it. A writer holds a lock on the directory, which ends
with the process. It is for one thread.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collectors.whole_files import placed, sync_folder, write_part
from models import dataset_layout as layout
from models.behaviour import INVENTORY, LOSSES, SCHEMA_VERSION, SEGMENT, SEGMENT_COUNTS, UNITS

__all__ = ["RecordingError", "RecordingWriter"]

_FOLD_AT = 128
"""Single segments that become one: a day of small appends stays a few hundred files."""
_FOLD_BYTES = 64 << 20
_NO_PLACE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


class RecordingError(Exception):
    """A recording that cannot be written; what is on disk already stays whole. `hint` says what to do."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def _trouble(path: Path, error: OSError) -> RecordingError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = f"free space there, then `discover record --resume {path}` or `discover datasets finish {path}`"
        return RecordingError(f"no space left for the recording {path}; what it has so far is whole", hint)
    hint = "choose another folder with -o" if error.errno in _NO_PLACE else ""
    return RecordingError(f"cannot write the recording {path}: {error.strerror or error}", hint)


def _taken(path: Path) -> RecordingError:
    if not layout.is_recording(path):
        return RecordingError(f"{path} is not empty", "choose another folder with -o")
    hint = "choose another folder with -o"
    with contextlib.suppress(layout.DatasetError):
        if layout.read_manifest(path)["status"] == "recording":
            hint += f"; `discover record --resume {path}` goes on with it"
    return RecordingError(f"{path} is a recording already", hint)


class RecordingWriter:
    """Writes one recording; made by `create` or `resume`. Every method may raise `RecordingError`.

    `redact`, where given, is applied to SEGMENT tables before anything is written.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], redact: Callable[[pa.Table], pa.Table] | None) -> None:
        self.path = path
        self.manifest = manifest
        self._redact = redact
        self._lock = -1
        self._next = 1
        self._single: list[Path] = []
        self._earlier_losses: pa.Table | None = None
        self._notes = self._streamed = 0

    @classmethod
    def create(
        cls, path: Path, manifest: dict[str, Any], *, redact: Callable[[pa.Table], pa.Table] | None = None
    ) -> Self:
        """Begin a recording in a folder that is new or empty.

        `manifest` has at least target, command, backend, kernel, arch and watched; the schema version, an id, the time
        and the status ``recording`` are filled in.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise _taken(path)
            path.chmod(0o700)
            whole = {
                "schema_version": SCHEMA_VERSION,
                "id": uuid.uuid4().hex[:12],
                "started": _now(),
                **manifest,
                "ended": None,
                "status": "recording",
            }
            writer = cls(path, whole, redact)
            writer._begin()
        except OSError as e:
            raise _trouble(path, e) from e
        return writer

    @classmethod
    def resume(
        cls, path: Path, *, same_counters: bool = False, redact: Callable[[pa.Table], pa.Table] | None = None
    ) -> Self:
        """Go on with a recording that was interrupted, or that ended.

        `same_counters`: the kernel's counters went on meanwhile (pinned maps), so what `losses` is given includes what
        was lost before; otherwise it is added. Raises `models.dataset.DatasetError` if nothing readable is there.
        """
        manifest = layout.read_manifest(path)
        writer = cls(path, {**manifest, "status": "recording", "ended": None}, redact)
        try:
            writer._begin()
            if not same_counters and (path / "losses.parquet").exists():
                writer._earlier_losses = layout.read_part(path / "losses.parquet", "losses")
        except OSError as e:
            raise _trouble(path, e) from e
        return writer

    def _begin(self) -> None:
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._take_lock()
        self._settle()
        segments = self.path / "segments"
        segments.mkdir(mode=0o700, exist_ok=True)
        for left in segments.glob(".*.tmp"):
            left.unlink()
        kept = layout.segment_files(self.path)
        for replaced in set(segments.glob("[0-9]*.parquet")) - set(kept):
            replaced.unlink()
        self._single = [f for f in kept if "-" not in f.name]
        self._next = 1 + max((int(f.stem.rpartition("-")[2]) for f in kept), default=0)
        newest = segments / "counts.parquet"
        if newest.exists():  # keys are unique over runs: each run's last counts stay
            newest.rename(segments / f"counts-{self._next:06d}-{uuid.uuid4().hex[:6]}.parquet")
        self._save_manifest()
        sync_folder(self.path.parent)

    def _take_lock(self) -> None:
        for _ in range(20):  # a reader that looks whether we live holds it for a moment
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return
        self.close()
        raise RecordingError(f"{self.path} is being recorded by another process", "stop it first")

    def _settle(self) -> None:
        """Bring to its end a `finish` that was cut short; drop what had not become whole."""
        shutil.rmtree(self.path / ".compacting", ignore_errors=True)
        compacted = self.path / "compacted"
        if compacted.is_dir():
            for replaced in ("segments", "behaviours"):
                if (self.path / replaced).is_dir():
                    shutil.rmtree(self.path / replaced)
            compacted.rename(self.path / "behaviours")
            sync_folder(self.path)

    def _save_manifest(self) -> None:
        with placed(self.path / layout.MANIFEST) as file:
            file.write((json.dumps(self.manifest, indent=2, ensure_ascii=True) + "\n").encode())

    def update(self, **changes: Any) -> None:
        """Change keys of the manifest on disk."""
        self.manifest.update(changes)
        with self._told():
            self._save_manifest()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise _trouble(self.path, e) from e

    def append(self, rows: pa.Table) -> None:
        """Put SEGMENT rows on disk; when it returns they are there, whatever happens next."""
        if not rows.num_rows:
            return
        rows = rows.cast(SEGMENT)
        if self._redact:
            rows = self._redact(rows)
        with self._told():
            path = self.path / "segments" / f"{self._next:06d}.parquet"
            write_part(path, "segment", rows, codec="lz4")
            self._next += 1
            self._single.append(path)
            if len(self._single) >= _FOLD_AT:
                self._fold()

    def _fold(self) -> None:
        """Make one file of the single segments; where they are large already, leave them."""
        files, self._single = self._single, []
        if sum(f.stat().st_size for f in files) > _FOLD_BYTES:
            return
        table = pa.concat_tables([layout.read_part(f, "segment") for f in files]).unify_dictionaries()
        write_part(self.path / "segments" / f"{files[0].stem}-{files[-1].stem}.parquet", "segment", table, codec="lz4")
        for file in files:
            file.unlink()

    def counts(self, table: pa.Table) -> None:
        """Replace this run's SEGMENT_COUNTS."""
        with self._told():
            write_part(self.path / "segments" / "counts.parquet", "counts", table.cast(SEGMENT_COUNTS), codec="lz4")

    def note(self, facts: dict[str, Any]) -> None:
        """Keep what the rows' makers must know again if the recording is resumed; it goes when the recording ends."""
        self._notes += 1
        with self._told(), placed(self.path / "segments" / f"note-{self._next:06d}-{self._notes:06d}.json") as file:
            file.write(json.dumps(facts).encode())

    def notes(self) -> list[dict[str, Any]]:
        """What `note` has kept, in order, also by an earlier run."""
        return [json.loads(f.read_bytes()) for f in sorted((self.path / "segments").glob("note-*.json"))]

    def stream(self, table: pa.Table) -> None:
        """Append to the raw stream: one row an event, its behaviour's `key` and `when`.

        `finish` then keeps the segments in ``raw/``, where they say what each key was.
        """
        with self._told():
            folder = self.path / "raw"
            folder.mkdir(mode=0o700, exist_ok=True)
            self._streamed += 1
            with placed(folder / f"{self._next:06d}-{self._streamed:06d}.parquet") as file:
                pq.write_table(table, file, compression="lz4", use_dictionary=False)

    def units(self, table: pa.Table) -> None:
        """Write UNITS rows; one replaces the row of the same unit, all others stay."""
        table = table.cast(UNITS)
        path = self.path / "units.parquet"
        with self._told():
            if path.exists():
                before = layout.read_part(path, "units").cast(UNITS)
                table = pa.concat_tables([before.filter(pc.invert(pc.is_in(before["unit"], table["unit"]))), table])
            write_part(path, "units", table.unify_dictionaries().sort_by("unit"))

    def losses(self, table: pa.Table) -> None:
        """Write LOSSES rows, the totals of this run; they replace what this run wrote before."""
        table = table.cast(LOSSES)
        if self._earlier_losses is not None:
            table = pa.concat_tables([self._earlier_losses.cast(LOSSES), table])
        total = table.group_by(["unit", "cause"], use_threads=False).aggregate([("count", "sum")])
        total = total.rename_columns(["unit", "cause", "count"]).cast(LOSSES)
        with self._told():
            write_part(
                self.path / "losses.parquet", "losses", total.sort_by([("unit", "ascending"), ("cause", "ascending")])
            )

    def inventory(self, table: pa.Table) -> None:
        """Write INVENTORY rows: a file a workload and image digest, replacing an earlier one; keeps its metadata."""
        metadata = table.schema.metadata
        table = table.cast(INVENTORY)
        with self._told():
            folder = self.path / "inventory"
            folder.mkdir(mode=0o700, exist_ok=True)
            names, digests = table["workload"].cast(pa.string()), table["image_digest"].cast(pa.string())
            for name, digest in sorted(set(zip(names.to_pylist(), digests.to_pylist(), strict=True)), key=str):
                same = pc.is_null(digests) if digest is None else pc.fill_null(pc.equal(digests, digest), False)
                part = table.filter(pc.and_(pc.equal(names, name), same)).replace_schema_metadata(metadata)
                stem = layout.encoded(name if digest is None else f"{name}@{digest}")
                write_part(folder / f"{stem}.parquet", "inventory", part)

    def behaviours(self, tables: Iterable[tuple[str, pa.Table]]) -> None:
        """Write BEHAVIOURS rows that are final already, unit by unit, instead of all that was there; then `finish`."""
        from collectors.compaction import placed_folder, write_partitions  # noqa: PLC0415 - only a merge needs it

        with self._told(), placed_folder(self.path) as folder:
            write_partitions(folder, tables)

    def finish(self, status: str = "complete") -> None:
        """Turn segments into ``behaviours/`` and end the recording as `status`; the writer is closed.

        Memory stays near 1 GB, whatever the size. If it fails, segments stay as they are and every reader accepts
        them. Same content, same bytes.
        """
        try:
            with self._told():
                if layout.segment_files(self.path):
                    self._compact()
                    if (self.path / "raw").is_dir():
                        keys = self.path / "raw" / f"keys-{self._next:06d}-{uuid.uuid4().hex[:6]}"
                        (self.path / "segments").rename(keys)
                self._settle()
                shutil.rmtree(self.path / "segments", ignore_errors=True)
                self.manifest.update(status=status, ended=self.manifest.get("ended") or _now())
                self._save_manifest()
        finally:
            self.close()

    def _compact(self) -> None:
        import duckdb  # noqa: PLC0415 - 40 MB that an idle recorder does without

        from collectors.compaction import compact  # noqa: PLC0415

        try:
            compact(self.path, self.manifest)
        except duckdb.Error as e:
            hint = f"its segments stay readable; try again with `discover datasets finish {self.path}`"
            raise RecordingError(f"cannot compact {self.path}: {str(e).splitlines()[0]}", hint) from e

    def close(self) -> None:
        """Let go of the recording without finishing it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
