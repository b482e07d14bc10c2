"""Whether a workload still serves: a command that a person gave, asked again and again."""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass, field

from discover.errors import UsageError

__all__ = ["Probe"]

_SECONDS = 5.0
"""A probe that takes longer has failed."""
_TRIES = 3
"""Failures in a row that count."""
_EVERY = 1.0


@dataclass
class Probe:
    """A command whose exit status 0 says that the workload serves."""

    command: str
    _failures: int = field(default=0, init=False)
    _next: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not shlex.split(self.command):
            raise UsageError("the probe is empty", "--probe 'curl -fsS http://localhost/'")

    def lost(self) -> str:
        """Ask, at most once a second; what the workload failed at once three askings in a row failed, else nothing."""
        if time.monotonic() < self._next:
            return ""
        said = self._ask()
        self._next = time.monotonic() + _EVERY
        self._failures = self._failures + 1 if said else 0
        return said if self._failures >= _TRIES else ""

    def _ask(self) -> str:
        try:
            done = subprocess.run(
                shlex.split(self.command), capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"`{self.command}` took longer than {_SECONDS:.0f} s"
        except OSError as error:
            return f"`{self.command}`: {error.strerror}"
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        return f"`{self.command}` ended with {done.returncode}: {last}".rstrip(": ") if done.returncode else ""
