"""Where pins live."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["BPFFS", "PINS", "mount_bpffs"]

BPFFS = Path("/sys/fs/bpf")
PINS = BPFFS / "discover-enforce"


def mount_bpffs() -> bool:
    """Whether there is a bpffs; mounts it where there is none yet."""
    if os.path.ismount(BPFFS):
        return True
    if not BPFFS.is_dir():
        return False
    failed: int = ctypes.CDLL(None, use_errno=True).mount(b"bpf", bytes(BPFFS), b"bpf", 0, b"mode=0700")
    return not failed
