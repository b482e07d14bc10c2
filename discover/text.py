"""Text from workloads, made fit for a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""The text without anything that a terminal would obey or hide: such characters appear as ``\x1b`` or ``\u202e``.

    A workload names its files as it likes; escape sequences, line breaks and bidirectional marks are data here.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _escaped(character: str) -> str:
    return (
        character.encode("unicode_escape", "surrogatepass").decode()
        if ord(character) > 0x7F or ord(character) < 0x20
        else f"\\x{ord(character):02x}"
    )
