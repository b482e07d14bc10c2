"""Compiled policies in the kernel: each an array map of its own, in a slot of the map of policies."""

from __future__ import annotations

import os

import numpy as np

from bpf.libbpf import check, libbpf
from bpf.maps import Map
from bpf.raw import create_map
from enforcer.compile import Tables
from enforcer.compile.layout import BLOCK
from enforcer.errors import EnforceError

__all__ = ["SLOTS", "put", "withdraw"]

SLOTS = 512
_ARRAY, _INNER_MAP = 2, 1 << 12  # BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP
_BYTES = BLOCK * 8


def put(policies: Map, slot: int, tables: Tables) -> None:
    """Load a policy into a free slot. Nothing is judged by it before a domain names the slot."""
    inner = create_map("policy", _ARRAY, 4, _BYTES, tables.blocks, _INNER_MAP)
    try:
        words = np.frombuffer(tables.words, np.uint64)
        for block in range(tables.blocks):
            key = np.array([block], np.uint32)
            part = words[block * BLOCK : (block + 1) * BLOCK]
            _update(inner, key, part.ctypes.data, "write a policy")
        _update(policies.fd, np.array([slot], np.uint32), np.array([inner], np.uint32).ctypes.data, "place a policy")
    finally:
        os.close(inner)


def withdraw(policies: Map, slot: int) -> None:
    """Empty a slot that no domain names any more. A judgement under way keeps the policy until it is over."""
    key = np.array([slot], np.uint32)
    check(libbpf().bpf_map_delete_elem(policies.fd, key.ctypes.data))


def _update(fd: int, key: np.ndarray[tuple[int], np.dtype[np.uint32]], value: int, what: str) -> None:
    if error := check(libbpf().bpf_map_update_elem(fd, key.ctypes.data, value, 0)):
        raise EnforceError(f"{what}: {os.strerror(error)}", "`discover enforce status` lists what is loaded")
