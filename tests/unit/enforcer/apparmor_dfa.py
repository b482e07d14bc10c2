"""What a compiled AppArmor profile says about a path: its automaton, read as the kernel reads it (``match.c``)."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass

import numpy as np

FEATURES = "/etc/apparmor.d/abi/3.0"
MAGIC = struct.pack(">I", 0x1B5E783D)
EXEC, WRITE, READ, LINK, LOCK, MMAP = 1, 2, 4, 0x10, 0x20, 0x40
ACCEPT, BASE, CHECK, DEFAULT, CLASSES, NEXT = 1, 2, 3, 4, 5, 8
TYPES = {1: ">u1", 2: ">u2", 4: ">u4"}


def compiled(text: str) -> bytes:
    """A profile through the parser, which loads nothing."""
    command = ["apparmor_parser", "-Q", "-K", "-q", "-S", "-O", "no-compress-fast", "--kernel-features", FEATURES]
    done = subprocess.run([*command[:5], *command[7:]], input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + text
    return done.stdout


@dataclass
class Automaton:
    """The file rules of one profile."""

    tables: dict[int, np.ndarray]

    @classmethod
    def of(cls, text: str) -> Automaton:
        blob = compiled(text)
        at = blob.rindex(MAGIC)
        header, size = struct.unpack(">II", blob[at + 4 : at + 12])
        tables: dict[int, np.ndarray] = {}
        end, here = at + size, at + header
        while here < end:
            name, kind, _, length = struct.unpack(">HHII", blob[here : here + 12])
            dtype = np.dtype(TYPES[kind])
            tables[name] = np.frombuffer(blob, dtype, length, here + 12)
            here += (12 + length * dtype.itemsize + 7) & ~7
        return cls(tables)

    def permissions(self, name: bytes, *, owner: bool) -> int:
        base, check, default, after = (self.tables[t] for t in (BASE, CHECK, DEFAULT, NEXT))
        classes = self.tables.get(CLASSES)
        state = 1
        for byte in name:
            column = int(classes[byte]) if classes is not None else byte
            while True:
                word = int(base[state])
                place = (word & 0xFFFFFF) + column
                if int(check[place]) == state:
                    state = int(after[place])
                    break
                state, again = int(default[state]), word & 0x80000000
                if not again:
                    break
        accept = int(self.tables[ACCEPT][state])
        return accept & 0x7F if owner else accept >> 14 & 0x7F
