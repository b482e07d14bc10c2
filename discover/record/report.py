"""What `discover record` says at the end: what was recorded, what was lost, what to run next."""

from __future__ import annotations

import dataclasses
import shlex
import signal
from typing import Any

from discover.record.run import NOT_ASKED, Outcome

__all__ = ["as_json", "lines"]

_UNITS = 5
_ENDS = {"stop": signal.SIGTERM, "crash": signal.SIGSEGV}


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
        "files": outcome.files,
        "coverage": [dataclasses.asdict(standing) for standing in outcome.coverage],
    }


def lines(outcome: Outcome) -> list[str]:
    """The closing report, a line each."""
    c = outcome.counters
    where = shlex.quote(str(outcome.path))
    text = [f"recorded {c.behaviours:,} behaviours from {c.events:,} events into {where} ({outcome.ended_by})"]
    text += [_row("back end", outcome.backend)]
    if outcome.exit_status:
        text.append(_row("command", _how_it_ended(outcome)))
    lost: dict[str, int] = {}
    for row in outcome.losses:
        lost[row["cause"]] = lost.get(row["cause"], 0) + row["count"]
    text.append(_row("lost", ", ".join(f"{n:,} {cause}" for cause, n in sorted(lost.items())) or "nothing"))
    if lost.get("ring-full"):
        text.append(_row("hint:", "new behaviours came faster than they could be written; --ring-size 128M holds more"))
    unwatched = [f"{name} ({state['note']})" for name, state in outcome.watched.items() if state["state"] != "watched"]
    if unwatched:
        text.append(_row("unwatched", "; ".join(unwatched)))
    text += [_row("coverage", f"{standing.unit}: {standing.why}") for standing in outcome.coverage[:_UNITS]]
    if outcome.files:
        unread = f", {outcome.files['not_read']:,} directories by name alone" if outcome.files["not_read"] else ""
        text.append(_row("files", f"{outcome.files['listed']:,} that exist{unread}"))
    if outcome.drilled:
        text.append(_row("drilled", ", ".join(outcome.drilled)))
    unasked = [name for name, why in outcome.not_drilled.items() if why == NOT_ASKED]
    if unasked:
        text.append(_row("not drilled", f"{', '.join(unasked)}: what trouble makes it do is not in here (--drill)"))
    text += [_row("not drilled", f"{name}: {why}") for name, why in outcome.not_drilled.items() if why != NOT_ASKED]
    text.append(_row("next", f"discover show {where} --summary"))
    return text


def _row(name: str, value: str) -> str:
    return f"{name:<12}{value}"


def _how_it_ended(outcome: Outcome) -> str:
    status = outcome.exit_status or 0
    if status > 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if outcome.stopped and status in (-signal.SIGTERM, -signal.SIGKILL):
        return f"stopped by the recorder ({name})"
    drill = next((d for d, number in _ENDS.items() if number == -status and d in outcome.drilled), None)
    return f"ended with {name}" + (f", as the drill {drill} had it" if drill else "")
