"""Several recordings made one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from collectors.writer import RecordingWriter
from discover.version import VERSION
from models.dataset import Dataset

__all__ = ["merge"]

_ROWS = 131_072


def merge(dataset: Dataset, output: Path) -> int:
    """Write all of `dataset` as a new recording at `output`; the number of behaviours.

    Raises `RecordingError` if it cannot be written; what had been written of it is gone then.
    """
    manifests = dataset.manifests
    manifest = {
        "discover_version": VERSION,
        "target": {"kind": "merged", "recordings": [r.id for r in dataset.recordings]},
        "command": None,
        "backend": "+".join(sorted({str(m.get("backend")) for m in manifests})),
        "kernel": "+".join(sorted({str(m.get("kernel")) for m in manifests})),
        "arch": "+".join(sorted({str(m.get("arch")) for m in manifests})),
        "watched": dataset.watched,
        "started": min(str(m.get("started")) for m in manifests),
        "options": {},
    }
    table = dataset.behaviours()
    writer = RecordingWriter.create(output, manifest)
    try:
        writer.units(dataset.units())
        writer.losses(dataset.losses())
        writer.inventory(dataset.inventory())
        writer.behaviours(_by_unit(table))
        writer.manifest["ended"] = max((str(m["ended"]) for m in manifests if m.get("ended")), default=None)
        whole = all(r.status == "complete" for r in dataset.recordings)
        writer.finish("complete" if whole else "interrupted")
    except BaseException:
        writer.close()
        shutil.rmtree(output, ignore_errors=True)
        raise
    return int(table.num_rows)


def _by_unit(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    units = table["unit"].cast(pa.string())
    for unit in sorted(units.unique().to_pylist()):
        rows = table.filter(pc.equal(units, unit))
        for start in range(0, rows.num_rows, _ROWS):
            yield unit, rows.slice(start, _ROWS)
