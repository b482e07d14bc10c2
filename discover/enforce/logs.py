"""Alerts as they were kept, filtered."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from discover.enforce.bpffs import PINS
from discover.enforce.teller import Teller
from discover.text import printable
from enforcer.bpf_lsm.programs import Programs
from enforcer.errors import EnforceError
from enforcer.store import FOLDER
from models.policy import DEFAULT_POSTURE

__all__ = ["attended", "lines"]


@contextlib.contextmanager
def attended() -> Iterator[Callable[[], None]]:
    """What takes alerts out of the kernel where no daemon does, so that the files are of now."""
    try:
        programs = Programs.found(PINS)
    except EnforceError:
        yield lambda: None
        return
    with programs, Teller(programs, "", lambda _: None) as teller:
        yield teller.step


def lines(
    name: str | None,
    seen: dict[Path, int],
    *,
    as_json: bool,
    policy: str | None = None,
    namespace: str | None = None,
    operation: str | None = None,
    log_filter: str | None = "all",
) -> Iterator[str]:
    """Lines that have come since the last call with the same `seen` (bytes read, by file)."""
    for file in sorted(FOLDER.glob(f"{name or '*'}.alerts.jsonl")):
        with file.open("rb") as kept:
            kept.seek(seen.get(file, 0))
            for line in kept:
                if not line.endswith(b"\n"):
                    break
                seen[file] = seen.get(file, 0) + len(line)
                alert = json.loads(line)
                if _wanted(alert, policy, namespace, operation, log_filter):
                    yield line.decode().rstrip() if as_json else _text(alert)


def _wanted(
    alert: dict[str, Any], policy: str | None, namespace: str | None, operation: str | None, log_filter: str | None
) -> bool:
    by_posture = alert["PolicyName"] == DEFAULT_POSTURE
    return (
        (policy is None or alert["PolicyName"] == policy)
        and (namespace is None or alert.get("NamespaceName") == namespace)
        and (operation is None or alert["Operation"].lower() == operation.lower())
        and (log_filter in (None, "all") or by_posture == (log_filter == "system"))
    )


def _text(alert: dict[str, Any]) -> str:
    many = f" ({alert['Count']} times)" if alert["Count"] > 1 else ""
    what = f"{alert['Operation'].lower()} {alert['Data'].removeprefix('op=')} {printable(alert['Resource'])}"
    who, rule = printable(alert["Source"]), printable(alert["PolicyName"])
    return f"{alert['UpdatedTime']} {alert['Result']}: {who}: {what}, by {rule}{many}"
