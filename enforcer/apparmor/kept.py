"""What is loaded on this node as profiles, on disk: enough for another process to promote, stop and name rules."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from enforcer.apparmor.loading import PREFIX
from enforcer.apparmor.profile import Profiles, profiles
from enforcer.store import FOLDER
from models.policy import Policy, Posture, load_policies

__all__ = ["CLASSES", "Kept", "forget", "read", "read_all", "write"]

CLASSES = ("process", "file", "network", "capabilities")
_FOLDER = FOLDER / "apparmor"
_PATIENCE = 5.0
"""Seconds between two looks at the log that leave no gap."""


@dataclass(frozen=True)
class Kept:
    """One policy set as profiles."""

    name: str
    target: str
    policies: str
    """YAML."""
    posture: tuple[str, str, str]
    entry: str = ""
    """The executable that it was started with."""
    extra_files: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    audited_since: float = 0.0
    """Unix time; 0 while a class is in Block."""
    seen: float = 0.0
    """Unix time of the last look at the log."""
    unseen: float = 0.0
    """Seconds in which nobody looked, and whatever happened was not counted."""
    deadline: float = 0.0
    """Unix time at which Block falls back to Audit; 0: it does not."""
    audited: Mapping[str, int] = field(default_factory=dict)
    denied: Mapping[str, int] = field(default_factory=dict)
    workload: Mapping[str, str] = field(default_factory=dict)

    @property
    def profile(self) -> str:
        """The first name of its profiles."""
        return PREFIX + self.name

    @property
    def parsed(self) -> list[Policy]:
        """The policies."""
        return load_policies(self.policies)

    @property
    def as_posture(self) -> Posture:
        """The posture."""
        file, network, capabilities = self.posture
        return Posture(file, network, capabilities)  # type: ignore[arg-type]

    def translated(self) -> Profiles:
        """The profiles, made again."""
        return profiles(
            self.parsed,
            self.as_posture,
            self.profile,
            block=self.block,
            extra_files=self.extra_files,
            entry=self.entry,
        )

    def looked(self) -> Kept:
        """A copy that says that somebody has looked at the log up to now."""
        now = time.time()
        gap = now - self.seen if self.seen else 0.0
        return replace(self, seen=now, unseen=self.unseen + (gap if gap > _PATIENCE else 0.0))


def write(kept: Kept) -> None:
    """Keep it, whole or not at all."""
    _FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = _FOLDER / f"{kept.name}.{os.getpid()}.new"
    fresh.write_text(json.dumps(asdict(kept)))
    fresh.replace(_FOLDER / f"{kept.name}.json")


def read(name: str) -> Kept | None:
    """What was kept under a name; None if nothing was."""
    file = _FOLDER / f"{name}.json"
    if not file.exists():
        return None
    data = json.loads(file.read_text())
    return Kept(**data | {n: tuple(data[n]) for n in ("posture", "block", "extra_files")})


def read_all() -> list[Kept]:
    """Everything that was kept, by name."""
    names = sorted(f.stem for f in _FOLDER.glob("*.json")) if _FOLDER.is_dir() else []
    return [one for one in map(read, names) if one is not None]


def forget(name: str) -> None:
    """Remove what was kept; its alerts stay."""
    (_FOLDER / f"{name}.json").unlink(missing_ok=True)
