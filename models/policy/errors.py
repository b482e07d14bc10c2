"""What is wrong with a policy file, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PolicyError", "Problem", "printable"]


def printable(text: str) -> str:
    """Return text as one line that is safe on a terminal: control characters, escapes and surrogates written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about one place of a policy file."""

    file: str
    line: int
    """Counted from 1; 0 if the policy did not come from a file."""
    field: str
    """``spec.file.matchPaths[3].path``; empty for the document itself."""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{printable(self.file)}:{self.line}" if self.line else printable(self.file)
        at = f" {printable(self.field)}:" if self.field else ""
        hint = f"\n  hint: {printable(self.hint)}" if self.hint else ""
        return f"{place}:{at} {printable(self.message)}{hint}"


class PolicyError(ValueError):
    """A policy that cannot be used; `problems` says why, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line)))
        super().__init__("\n".join(map(str, self.problems)))
