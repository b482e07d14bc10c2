"""What a decision says, and `compile`, which turns policies and a posture into something that decides."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models.policy.access import Access, PolicyClass
from models.policy.policy import Policy, Rule
from models.policy.posture import Posture

__all__ = [
    "ALLOWED",
    "DEFAULT_POSTURE",
    "DEFAULT_VISIBILITY",
    "Alert",
    "Decision",
    "Dialect",
    "Ruleset",
    "Verdict",
    "compile",
    "decide",
]

DEFAULT_POSTURE = "DefaultPosture"
DEFAULT_VISIBILITY = (PolicyClass.PROCESS, PolicyClass.FILE, PolicyClass.NETWORK)
"""The classes that KubeArmor's system monitor watches unless it is told otherwise (``config/config.go``)."""


class Dialect(StrEnum):
    """Whose semantics decide."""

    DISCOVER = "discover"
    """The written semantics, as the project's own enforcer applies them."""
    KUBEARMOR_BPFLSM = "kubearmor-bpflsm"
    """What KubeArmor v1.7.4 does with its BPF-LSM enforcer, quirks included."""


class Verdict(StrEnum):
    """What happens to an access."""

    ALLOW = "allow"
    AUDIT = "audit"
    """It happens, and an alert says so."""
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, with the fields of KubeArmor's that do not depend on the process."""

    policy: str
    """Name of the policy, or ``DefaultPosture``."""
    operation: str
    resource: str
    source: str
    action: str
    result: str
    """``Passed`` or ``Permission denied``."""
    data: str = ""
    where: str = ""
    """The rule's field path, where it is known."""
    severity: int | None = None
    tags: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to an access."""

    verdict: Verdict
    policy: str = ""
    """The policy that decided, ``DefaultPosture``, or empty when nothing had anything to say."""
    rule: Rule | None = None
    """The rule that decided; None for the posture and for accesses that nothing judges."""
    errno: int = 0
    """What the system call fails with: 0, or EACCES."""
    alerts: tuple[Alert, ...] = ()
    path: str = ""
    """The name that was denied or audited, where an access has two."""

    @property
    def allowed(self) -> bool:
        """Whether the access happens."""
        return self.verdict is not Verdict.BLOCK


ALLOWED = Decision(Verdict.ALLOW)
EACCES = errno.EACCES


class Ruleset(Protocol):
    """A compiled set of policies."""

    def decide(self, access: Access) -> Decision:
        """Judge one access. Pure: the same access always gets the same decision."""
        ...  # pragma: no cover


def compile(  # noqa: A001 - the verb that people look for, as in re.compile
    policies: Iterable[Policy],
    posture: Posture,
    dialect: Dialect = Dialect.DISCOVER,
    *,
    visibility: Iterable[PolicyClass] = DEFAULT_VISIBILITY,
) -> Ruleset:
    """Compile policies that all select the same workload, in the order in which they are applied.

    The order matters to KubeArmor (the last rule on a key wins) and not to ``discover``. `visibility` names the
    classes that KubeArmor's system monitor watches for the workload (namespace annotation ``kubearmor-visibility``):
    without it, KubeArmor's Audit rules raise no alert except where an allow-list's posture raises one.
    """
    if dialect is Dialect.DISCOVER:
        from models.policy.written import WrittenRuleset  # noqa: PLC0415 - each dialect builds on this module

        return WrittenRuleset.compile(policies, posture)
    from models.policy.kubearmor import KubeArmorRuleset  # noqa: PLC0415

    return KubeArmorRuleset.compile(policies, posture, visibility)


def decide(
    policies: Iterable[Policy], posture: Posture, access: Access, dialect: Dialect = Dialect.DISCOVER
) -> Decision:
    """Judge one access. For many, `compile` once."""
    return compile(policies, posture, dialect).decide(access)
