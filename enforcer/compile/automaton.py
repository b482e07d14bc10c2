"""Automata over the bytes of a path, before they are laid out for the kernel.

A state is a row of columns: 0 to 255 where a byte leads, `DEFAULT` where every other byte does, `CONTEXT` the state of
everything that is not named below the directory just entered, `ACCEPT` what it means that the path ends here. A byte
that has no column, in a state without a default, leads where the context leads; without a context nothing matches.
"""

from __future__ import annotations

__all__ = ["ACCEPT", "CONTEXT", "DEFAULT", "LOOP", "SLASH", "STOP", "Automata"]

DEFAULT, CONTEXT, ACCEPT = 256, 257, 258
WIDTH = 259
SLASH = 0x2F
LOOP, STOP = 1 << 30, 1 << 31
"""Bits of a reference to a state: every byte without a column stays in it; no byte leads out of it."""


class Automata:
    """States of any number of automata. State 0 stands for none."""

    def __init__(self) -> None:
        self.rows: list[dict[int, int]] = [{}]
        self.flags: list[int] = [0]

    def add(self, flags: int = 0) -> int:
        """A new state without columns."""
        self.rows.append({})
        self.flags.append(flags)
        return len(self.rows) - 1

    def __len__(self) -> int:
        return len(self.rows)
