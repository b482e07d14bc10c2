"""The inventory at the end of a recording: which file systems, seen from where, and how much of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collectors.identity import WorkloadIdentity, of_container
from collectors.inventory import inventory_of
from collectors.mount_namespaces import HeldNamespaces
from collectors.target import Target
from models import dataset_layout as layout

__all__ = ["MACHINE_ENTRIES", "directories_not_read", "inventories", "observed_paths"]

MACHINE_ENTRIES = 400_000
"""Entries at most of a file system that is the machine's own; a container's may have a million."""
_SECONDS = 30.0


def inventories(
    target: Target, units: list[WorkloadIdentity], held: HeldNamespaces, recording: Path, tell: Callable[[int], None]
) -> Iterator[pa.Table]:
    """The INVENTORY tables of what was recorded: of each container, else of the namespace where its processes were.

    `units` are the identities that rows have. A file system that cannot be reached any more is left out.
    """
    first = units[0] if units else target.identity
    taken: set[str | None] = set()
    if target.containers:
        for container in target.containers:
            who = of_container(container)
            number = held.hold(container.pid) if container.pid else None
            if number is None and len(target.containers) == 1:
                number = held.usual()
            who = replace(who, workload=first.workload)
            # Without an image (podman's --rootfs) its root may be the machine's.
            observed = None if container.image else observed_paths(recording)
            table = _table(held, number, who=who, tell=tell, observed=observed)
            if table is not None and who.image_digest not in taken:
                taken.add(who.image_digest)
                yield table
        return
    number = held.hold(1) if target.kind == "host" else held.usual()
    table = _table(held, number, who=first, tell=tell, observed=observed_paths(recording))
    yield from [table] if table is not None else []


def _table(
    held: HeldNamespaces,
    number: int | None,
    *,
    who: WorkloadIdentity,
    tell: Callable[[int], None],
    observed: set[bytes] | None = None,
) -> pa.Table | None:
    if number is None:
        return None
    try:
        root = held.root(number)
    except OSError:
        return None
    try:
        return inventory_of(
            root,
            workload=who.workload,
            image_digest=who.image_digest,
            observed=observed,
            max_entries=1_000_000 if observed is None else MACHINE_ENTRIES,
            max_seconds=_SECONDS,
            progress=tell,
        )
    finally:
        os.close(root)


def directories_not_read(table: pa.Table) -> int:
    """How many directories of an inventory are there by name alone."""
    closed = pc.and_(pc.equal(table["object"].cast(pa.string()), "directory"), pc.is_null(table["size"]))
    return int(pc.sum(closed).as_py() or 0)


def observed_paths(recording: Path) -> set[bytes]:
    """The paths of what succeeded on files, executables included, in a recording that is not finished."""
    found: set[bytes] = set()
    for path in (*layout.segment_files(recording), *layout.behaviour_files(recording)):
        rows = pq.read_table(path, columns=["class", "path", "path_raw", "exe", "errno"], partitioning=None)
        names = rows["exe"].unique().to_pylist()
        done = rows.filter(pc.and_(pc.equal(rows["errno"], 0), pc.is_valid(rows["path"])))
        done = done.filter(pc.is_in(done["class"].cast(pa.string()), pa.array(["file", "exec"])))
        raw = done["path_raw"].to_pylist()
        texts = [name.encode(errors="surrogateescape") for name in (*names, *done["path"].to_pylist())]
        found |= {name for name in (*texts, *(r for r in raw if r)) if name.startswith(b"/")}
    return found
