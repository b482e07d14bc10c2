"""Shells that a workload needs for its start alone."""

from __future__ import annotations

from models.behaviour import Phase
from models.learn.result import Learned
from models.learn.sensitive import SHELLS
from models.policy import ProcessPath

__all__ = ["for_the_start_alone"]

_START = frozenset({str(Phase.START_UP), str(Phase.RUNTIME_INIT)})


def for_the_start_alone(learned: Learned) -> list[str]:
    """Shells that were executed in start-up and never later, by path; none where nothing later was seen.

    No other executable: that the service's own may be executed again costs nothing, and a supervisor may need it.
    """
    if not any(str(Phase.STEADY) in rule.evidence.phases for rule in learned.rules):
        return []
    return sorted(
        one.rule.path
        for one in learned.rules
        if isinstance(one.rule, ProcessPath)
        and one.rule.path
        and one.rule.path.rpartition("/")[2] in SHELLS
        and one.evidence.phases
        and set(one.evidence.phases) <= _START
    )
