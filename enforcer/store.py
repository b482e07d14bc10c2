"""What is enforced on this node, on disk: enough for another process to name rules, promote and stop without the first.

One JSON file a policy set in ``/run/discover/enforce``, gone with the next boot like what it describes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from enforcer.compile import Tables, compile_tables
from enforcer.errors import EnforceError
from models.policy import Policy, Posture, Rule, after_start_up, dump_policies, load_policies

__all__ = ["FOLDER", "STARTING", "Enforced", "alone", "forget", "read", "read_all", "write"]

STARTING = 1 << 31
"""In a generation: of the policy that holds until an instance of the workload is ready."""
FOLDER = Path("/run/discover/enforce")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Enforced:
    """One policy set under enforcement."""

    name: str
    domain: int
    generation: int
    target: str
    """For a person; holds names as the workload gave them."""
    policies: str
    """YAML."""
    posture: tuple[str, str, str]
    block: tuple[str, ...] = ()
    """Classes in which it denies."""
    audited_since: float = 0.0
    """Unix time since which nothing but Audit was in force; 0 while a class is in Block."""
    workload: dict[str, str] = field(default_factory=dict)
    """Fields of an alert that say whose it is: NamespaceName, PodName, ContainerName and their like."""
    blocked_since: float = 0.0
    """Unix time of the last promotion; 0 if there was none."""
    first: int = 0
    """The generation with which it began: what is older is of another policy set that had the domain."""

    def tables(self, *, starting: bool = False) -> Tables:
        """The policy compiled again: the same rules get the same numbers. `starting`: as it is until it is ready."""
        file, network, capabilities = self.posture
        posture = Posture(file, network, capabilities)  # type: ignore[arg-type]
        policies = load_policies(self.policies)
        later = None if starting else after_start_up(policies)
        return compile_tables(later or policies, posture)

    def rules(self, generation: int) -> tuple[Rule, ...]:
        """The rules by which a policy of a generation decided; none if it was replaced since."""
        if generation & ~STARTING != self.generation:
            return ()
        return self.tables(starting=bool(generation & STARTING)).rules

    @property
    def alerts(self) -> Path:
        """Where its alerts are appended, a JSON line each."""
        return FOLDER / f"{self.name}.alerts.jsonl"

    def changed(self, **fields: object) -> Enforced:
        """A copy with other values."""
        return replace(self, **fields)  # type: ignore[arg-type]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """While this process begins or stops: two at once would take the same domain, or unpin what the other uses."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def as_yaml(policies: list[Policy]) -> str:
    """Policies as they are kept."""
    return dump_policies(policies)


def _file(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise EnforceError(f"{name!r} is no name for a policy set", "letters, digits, dots and dashes: --name web")
    return FOLDER / f"{name}.json"


def write(enforced: Enforced) -> None:
    """Keep it, whole or not at all."""
    file = _file(enforced.name)
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(json.dumps(asdict(enforced)))
    fresh.replace(file)


def read(name: str) -> Enforced | None:
    """What was kept under a name; None if nothing was."""
    file = _file(name)
    if not file.exists():
        return None
    data = json.loads(file.read_text())
    return Enforced(**data | {"posture": tuple(data["posture"]), "block": tuple(data["block"])})


def read_all() -> list[Enforced]:
    """Everything that was kept, by name."""
    found = [read(file.stem) for file in sorted(FOLDER.glob("*.json"))] if FOLDER.is_dir() else []
    return [one for one in found if one is not None]


def forget(name: str) -> None:
    """Remove what was kept; its alerts stay."""
    _file(name).unlink(missing_ok=True)
