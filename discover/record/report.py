"""What `discover record` says at the end: what was recorded, what was lost, what to run next."""

from __future__ import annotations

import shlex
from typing import Any

from discover.record.run import NOT_ASKED, Outcome

__all__ = ["as_json", "lines"]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome with the names of the dataset."""
    return {
        "recording": str(outcome.path),
        "backend": outcome.backend,
        "behaviours": outcome.counters.behaviours,
        "events": outcome.counters.events,
        "streamed": outcome.counters.raw,
        "lost": sum(row["count"] for row in outcome.losses),
        "losses": outcome.losses,
        "watched": outcome.watched,
        "ended_by": outcome.ended_by,
        "exit_status": outcome.exit_status,
        "drilled": outcome.drilled,
        "not_drilled": outcome.not_drilled,
    }


def lines(outcome: Outcome) -> list[str]:
    """The closing report, a line each."""
    c = outcome.counters
    where = shlex.quote(str(outcome.path))
    text = [f"recorded {c.behaviours:,} behaviours from {c.events:,} events into {where} ({outcome.ended_by})"]
    text += [f"back end {outcome.backend}"]
    if outcome.exit_status:
        how = f"status {outcome.exit_status}" if outcome.exit_status > 0 else f"signal {-outcome.exit_status}"
        text.append(f"the command ended with {how}")
    lost: dict[str, int] = {}
    for row in outcome.losses:
        lost[row["cause"]] = lost.get(row["cause"], 0) + row["count"]
    text.append("lost    " + (", ".join(f"{n:,} {cause}" for cause, n in sorted(lost.items())) or "nothing"))
    unwatched = [f"{name} ({state['note']})" for name, state in outcome.watched.items() if state["state"] != "watched"]
    if unwatched:
        text.append("unwatched  " + "; ".join(unwatched))
    if outcome.drilled:
        text.append("drilled  " + ", ".join(outcome.drilled))
    unasked = [name for name, why in outcome.not_drilled.items() if why == NOT_ASKED]
    if unasked:
        text.append(f"not drilled  {', '.join(unasked)}: what trouble makes it do is not in here (--drill)")
    text += [f"not drilled  {name}: {why}" for name, why in outcome.not_drilled.items() if why != NOT_ASKED]
    text.append(f"next    discover show {where} --summary")
    return text
