"""What can go wrong between here and a request, each with what to do.

``ProposeError``         exit status 3
 ├─ ``NotAllowed``       the token is missing, expired, or may not do it
 ├─ ``Rejected``         the server took the push and refused it (a protected branch, a hook)
 ├─ ``Conflict``         people changed the same file on both sides
 └─ ``Unreachable``      no answer, or one that is none of git's
"""

from __future__ import annotations

from discover.errors import DiscoverError

__all__ = ["Conflict", "NotAllowed", "ProposeError", "Rejected", "Unreachable"]


class ProposeError(DiscoverError):
    """The policy could not be proposed; the repository is as it was."""


class NotAllowed(ProposeError):
    """The token is missing, has expired, or may not do this."""


class Rejected(ProposeError):
    """The server refused the push."""


class Conflict(ProposeError):
    """The same file was changed on the branch and on its base."""


class Unreachable(ProposeError):
    """The server did not answer as one."""
