"""What has to hold before anything is denied: no error in the policy, enough seen, an Audit without violations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from discover.check import check
from discover.errors import UsageError
from enforcer.bpf_lsm.domains import Totals
from models.checks import Severity
from models.dataset import Dataset
from models.policy import Target

__all__ = ["Audited", "audited", "checked"]


class Audited(Protocol):
    """What a back end keeps about a policy set."""

    @property
    def name(self) -> str:
        """What the set is called."""
        ...  # pragma: no cover

    @property
    def audited_since(self) -> float:
        """Unix time since which it has been in Audit; 0 where it is in Block."""
        ...  # pragma: no cover


def checked(files: Sequence[Path], dataset: Dataset | None, *, accept_incomplete: bool) -> None:
    """Hold a policy against `discover check`, and against recordings if there are any. Raises `UsageError`."""
    if dataset is None and not accept_incomplete:
        raise UsageError(
            "Block needs to know how much of the workload was seen, and no recording is named",
            "name one with --dataset, or take the risk with --accept-incomplete",
        )
    found = check(list(files), dataset, target=Target.DISCOVER, coverage=dataset is not None and not accept_incomplete)
    errors = [f for f in found.findings if f.mistake.severity is Severity.ERROR]
    if errors:
        first = errors[0]
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise UsageError(
            f"{first.file}:{first.line}: {first.mistake.message}{more}",
            f"`discover check --target discover {first.file}` lists them with what to write instead",
        )


def audited(enforced: Audited | None, totals: Totals | None, classes: Sequence[str], *, accept: bool) -> None:
    """Hold what is to be denied against the Audit that went before. Raises `UsageError`."""
    if accept:
        return
    if enforced is None or totals is None or not enforced.audited_since:
        raise UsageError(
            "Block comes after an Audit, and there was none",
            "run it with --mode audit first and `discover enforce promote` then, or take the risk: --accept-violations",
        )
    violations = sum(totals.audited[name] for name in classes)
    if violations:
        minutes = (time.time() - enforced.audited_since) / 60
        raise UsageError(
            f"the Audit of {enforced.name} had {violations} violations in {minutes:.0f} min",
            f"`discover enforce logs {enforced.name}` shows them; learn from them, or --accept-violations",
        )
