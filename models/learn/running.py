"""Executables that were seen running, though not being executed: a recording that began after its target did.

Every row says which executable acted. Where no unit was recorded from its start, that is the evidence for the list of
executables: what runs there was executed. Without it the class would stay open, and the policy admit every program of
the image, though the files that a start reads are on no list either.
"""

from __future__ import annotations

import numpy as np

from models.accesses import Seen, moment
from models.behaviour import Phase
from models.distinct import Distinct, Sorted, sets_of
from models.policy.access import Access, Op

__all__ = ["RUNNING", "running"]

RUNNING = "it ran already when the recording began"
"""The note of a rule on such an executable."""
_OTHERS = (str(Phase.RUNTIME_INIT), str(Phase.PROBE), str(Phase.EXEC_SESSION))
"""Phases in which what acts came from outside, and was executed while it was watched or is the runtime."""


def running(rows: Distinct) -> list[Seen]:
    """An exec for each executable that acted, from nowhere in particular, in the order of their paths."""
    mine = rows.without(_OTHERS)
    exes, phases = mine.columns["exe"], mine.columns["phase"]
    groups = Sorted([exes], len(mine))
    found = zip(
        exes.taken(groups.first).column(),
        sets_of(groups.reduced(np.bitwise_or, mine.used), mine.units),
        sets_of(groups.reduced(np.bitwise_or, phases.bits()), phases.values),
        groups.reduced(np.minimum, mine.first).tolist(),
        groups.reduced(np.maximum, mine.last).tolist(),
        strict=True,
    )
    return [
        Seen(Access(op=Op.EXEC, path=exe), 1, units, during, moment(first), moment(last))
        for exe, units, during, first, last in sorted(found, key=lambda one: one[0] or "")
        if exe and exe.startswith("/") and len(exe) > 1
    ]
