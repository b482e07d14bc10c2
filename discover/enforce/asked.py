"""What is asked of `discover enforce` whichever back end enforces on this node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from collectors.target import TargetSpec
from models.policy import Posture

if TYPE_CHECKING:
    from models.dataset import Dataset

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """Policies, a target and the terms of Audit and Block. For AppArmor a `spec` without a target: profiles alone."""

    files: tuple[Path, ...]
    spec: TargetSpec
    name: str
    posture: Posture
    block: tuple[str, ...] = ()
    dataset: Dataset | None = None
    confirm_within: float | None = None
    accept_incomplete: bool = False
    accept_violations: bool = False
    detach: bool = False
