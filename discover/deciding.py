"""Writing what a reviewer decides into ``discover.yaml``: comments and order of what is there stay."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from typing import Any

from discover.decisions import FILE_NAME, Decisions, read_decisions
from discover.errors import UsageError
from discover.writing import write_text
from discover.yamllists import with_item

__all__ = ["VERDICTS", "write_decision"]

VERDICTS = {"keep": "additions", "refuse": "refusals", "must-see": "mustSee", "sensitive": "sensitive"}
"""What a reviewer says, and the list of ``discover.yaml`` that holds it."""
_NEW = "# What people decided about this workload; `discover generate` obeys it.\nversion: 1\n"


def write_decision(
    place: str | Path,
    verdict: str,
    *,
    reason: str,
    owner: str,
    expires: str | datetime.date | None = None,
    **what: Any,
) -> Decisions:
    """Write one decision into a file (or a folder's ``discover.yaml``), and return all that it holds then.

    `verdict` is one of `VERDICTS`; `what` says what it is about, as the file does: ``pattern="/usr/bin/curl"``,
    ``path=…``, ``dir=…``, ``process=…``, ``protocol=…``, ``capability=…``, ``drill=…``, ``units=3``. A decision about
    the same thing is not made twice. Raises `UsageError` for one that cannot be; the file is then as it was.
    """
    if verdict not in VERDICTS:
        raise UsageError(f"no verdict {verdict!r}", f"there are {', '.join(VERDICTS)}")
    file = Path(place) / FILE_NAME if Path(place).is_dir() else Path(place)
    text = file.read_text(encoding="utf-8") if file.exists() else _NEW
    entry: dict[str, Any] = {**what, "reason": reason, "owner": owner}
    if expires is not None:
        entry["expires"] = datetime.date.fromisoformat(expires) if isinstance(expires, str) else expires
    before = _read(text, file)
    section = {"additions": before.additions, "refusals": before.refusals, "mustSee": before.must_see}.get(
        VERDICTS[verdict], before.sensitive
    )
    for decision in section:
        if what.get(decision.kind) == decision.value or str(what.get(decision.kind)) == decision.value:
            raise UsageError(
                f"{decision.where} decides about {decision.kind} {decision.value} already", "change it there by hand"
            )
    made = with_item(text, VERDICTS[verdict], entry)
    _read(made, file)
    write_text(file, made)
    return read_decisions(file)


def _read(text: str, file: Path) -> Decisions:
    """What a text would say as that file; problems are told with the file's own name."""
    with tempfile.TemporaryDirectory(prefix="discover-") as folder:
        trial = Path(folder) / file.name
        trial.write_text(text, encoding="utf-8")
        try:
            return read_decisions(trial)
        except UsageError as error:
            raise UsageError(str(error).replace(str(trial), str(file)), error.hint) from None
