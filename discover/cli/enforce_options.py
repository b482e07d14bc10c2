"""Options of `discover enforce` that become objects."""

from __future__ import annotations

from typing import Any

from discover.errors import UsageError

__all__ = ["probe", "readiness"]


def probe(command: str | None, confirm_within: float | None, detach: bool = False) -> Any:
    """The probe that was asked for, if one was. Raises `UsageError` where nobody would ask it."""
    if command is None:
        return None
    from discover.enforce.probe import Probe  # noqa: PLC0415 - heavy

    if confirm_within is None or detach:
        raise UsageError(
            "a probe is for a Block that has to be confirmed, and somebody has to ask it",
            "add --confirm-within 60s, and leave --detach out",
        )
    return Probe(command)


def readiness(words: tuple[str, ...]) -> Any:
    """When an instance counts as ready, from the words of ``--ready``."""
    from enforcer.bpf_lsm.domains import Readiness  # noqa: PLC0415 - heavy

    times = [_time(word) for word in words if word not in ("listen", "told")]
    return Readiness(on_listen="listen" in words, after=min(times, default=None))


def _time(word: str) -> float:
    from discover.record.options import duration  # noqa: PLC0415 - heavy

    try:
        return duration(word)
    except ValueError as error:
        raise UsageError(f"--ready {word}: {error}", "listen, told, or a time: --ready 30s") from None
