"""Many records at once: which of a batch are told by their numbers and a path alone, and those paths as one column.

A workload that opens a hundred thousand files leaves rows that differ in key, time and path, while all else takes a few
dozen combinations. Each combination is decoded once, as any record is; here is what that needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["combinations", "paths"]

_COMBINED = ("actor", "op", "access", "error", "flags", "mode", "fs")
"""The fields of a record's head that all columns but key, times and path follow from."""


def combinations(head: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Numbers the combinations of `_COMBINED`: a record of each, and for every record the number of its combination."""
    fields = [(name, head.dtype[name]) for name in _COMBINED]
    packed = np.zeros(len(head), np.dtype(fields))
    for name in _COMBINED:
        packed[name] = head[name]
    width = packed.dtype.itemsize
    binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(head), [None, pa.py_buffer(packed.tobytes())])
    number = binary.dictionary_encode().indices.to_numpy()
    return np.unique(number, return_index=True)[1], number


def paths(records: np.ndarray[Any, Any], at: np.ndarray[Any, Any]) -> pa.Array | None:
    """The paths of records, each from its `at` to the end of its field, as strings; None if one is no UTF-8."""
    content = np.ascontiguousarray(records["path"]).view(np.uint8).reshape(len(records), -1)
    width = content.shape[1]
    lengths = width - at.astype(np.int64)
    ends = np.cumsum(lengths)
    place = np.repeat(np.arange(len(records)) * width + at - (ends - lengths), lengths) + np.arange(ends[-1])
    data = content.reshape(-1)[place]
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    found = pa.StringArray.from_buffers(len(records), pa.py_buffer(offsets), pa.py_buffer(data))
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return found
