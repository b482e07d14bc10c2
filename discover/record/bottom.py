"""A picture at the bottom of a terminal whose rest goes on scrolling above it.

A command that is recorded writes to the same terminal. What it says must not be painted over, and its terminal must
stay one, so the picture gets lines of its own by way of the scroll region (DECSTBM), which terminals have had since the
VT100.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["Bottom"]

_LEAST_ABOVE = 6
_SAVE, _RESTORE, _WHOLE = "\x1b7", "\x1b8", "\x1b[r"


class Bottom:
    """The last `height` lines of the terminal at the descriptor `fd`; `fits` tells whether there is room for them."""

    def __init__(self, fd: int, height: int) -> None:
        self._fd, self._height = fd, height
        self._size: os.terminal_size | None = None

    @property
    def fits(self) -> bool:
        """Whether the terminal is high enough."""
        try:
            return os.get_terminal_size(self._fd).lines >= self._height + _LEAST_ABOVE
        except OSError:
            return False

    @property
    def columns(self) -> int:
        """The terminal's width."""
        return os.get_terminal_size(self._fd).columns

    def draw(self, lines: Sequence[str]) -> None:
        """Show the lines, at most `height`; the cursor stays where the command has it."""
        size = os.get_terminal_size(self._fd)
        text = ""
        if size != self._size:
            text += self._cleared() + self._room(size)
            self._size = size
        top = size.lines - self._height + 1
        text += _SAVE
        for n in range(self._height):
            text += f"\x1b[{top + n};1H\x1b[2K{lines[n] if n < len(lines) else ''}"
        self._write(text + _RESTORE)

    def _room(self, size: os.terminal_size) -> str:
        """Scrolls the end of what is there up, if it is in the way, and keeps it from coming back."""
        made = "\n" * self._height + f"\x1b[{self._height}A"
        return f"{made}{_SAVE}\x1b[1;{max(size.lines - self._height, 1)}r{_RESTORE}"

    def _cleared(self) -> str:
        if self._size is None:
            return ""
        return f"{_SAVE}{_WHOLE}\x1b[{self._size.lines - self._height + 1};1H\x1b[J{_RESTORE}"

    def close(self) -> None:
        """Take the picture away and give the whole terminal back."""
        self._write(self._cleared())
        self._size = None

    def _write(self, text: str) -> None:
        content = text.encode()
        while content:  # in one piece where the terminal takes it: nothing of the command's comes between
            content = content[os.write(self._fd, content) :]
