"""What can go wrong when a policy is applied.

``EnforceError``          exit status 3, it could not be done here
 └─ ``PolicyRefused``     exit status 2, the policy asks for what this back end cannot do; nothing of it is applied
"""

from __future__ import annotations

__all__ = ["EnforceError", "PolicyRefused"]


class EnforceError(Exception):
    """Something about enforcement could not be done. `hint` says what to do."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class PolicyRefused(EnforceError):
    """A rule, or the size of a policy, that the back end cannot hold exactly."""

    exit_code = 2
