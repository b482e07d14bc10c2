"""Errors for people: what failed, on what, and what to do about it.

``DiscoverError``     exit status 3, could not run
 └─ ``UsageError``    exit status 2, asked for wrongly

Errors of the other rooms have a `hint` and may have an `exit_code` as well; the command line prints them alike.
"""

from __future__ import annotations

__all__ = ["DiscoverError", "UsageError"]


class DiscoverError(Exception):
    """Something could not be done here. `hint` says what to do."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DiscoverError):
    """The command was asked for in a way that cannot be meant."""

    exit_code = 2
