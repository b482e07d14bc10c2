"""The table of docs/backend-differences.md: where a back end may see something else, and what exactly."""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "backend-differences.md"


@dataclass(frozen=True)
class Difference:
    """One row of the table. `seen`: names of problems, as `rows.Problem` has them."""

    case: str
    backends: frozenset[str]
    kernels: str
    seen: frozenset[str]
    why: str

    def applies(self, case: str, backend: str) -> bool:
        return case == self.case and backend in self.backends and kernel_is(self.kernels)


def kernel_is(condition: str, release: str | None = None) -> bool:
    """Whether the running kernel meets ``all``, ``< 6.14`` or ``>= 5.15``; several by comma."""
    version = tuple(int(part) for part in re.findall(r"\d+", release or os.uname().release)[:2])
    for part in condition.split(","):
        if part.strip() == "all":
            continue
        match = re.fullmatch(r"(<|>=) (\d+)\.(\d+)", part.strip())
        if not match:
            raise ValueError(f"{PAGE}: {condition!r} names no kernels")
        bound = int(match[2]), int(match[3])
        if not (version < bound if match[1] == "<" else version >= bound):
            return False
    return True


@cache
def differences() -> tuple[Difference, ...]:
    """The rows of the page's one table with the column *Seen instead*."""
    rows = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 5:
            case, backends, kernels, seen, why = cells
            names = frozenset(re.findall(r"`([^`]+)`", seen))
            if not (names and why):
                raise ValueError(f"{PAGE}: incomplete row: {line}")
            rows.append(Difference(case.strip("`"), frozenset(re.split(r",\s*", backends)), kernels, names, why))
    return tuple(rows)


def listed(case: str, backend: str) -> frozenset[str]:
    """What the table says a back end sees instead in a case; empty: nothing but what is expected."""
    return frozenset(name for row in differences() if row.applies(case, backend) for name in row.seen)
