"""Whether a container runs the image that its policy was learned from."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from typing import Any

from collectors.target import Target
from discover.errors import UsageError
from enforcer.store import FOLDER
from models.dataset import Dataset

__all__ = ["MODES", "drift", "meet"]

MODES = ("keep", "audit", "refuse")


def drift(target: Target, dataset: Dataset) -> tuple[str, dict[str, int]] | None:
    """The image's digest now, and those recorded with their units; None where it is one of them, or is not known."""
    now = target.identity.image_digest
    learned: dict[str, int] = {}
    for unit in dataset.units().to_pylist():
        if unit["image_digest"]:
            learned[unit["image_digest"]] = learned.get(unit["image_digest"], 0) + 1
    return (now, learned) if now and learned and now not in learned else None


def meet(target: Target, dataset: Dataset, mode: str, name: str, tell: Callable[[dict[str, Any]], None]) -> bool:
    """Alert where the image is another. Whether Block may be kept: not with `mode` ``audit``. Raises for ``refuse``."""
    found = drift(target, dataset)
    if found is None:
        return True
    now, learned = found
    known = ", ".join(f"{digest} ({count} units)" for digest, count in sorted(learned.items()))
    text = f"{target.describe()} runs the image {now}; the policy was learned from {known}"
    if mode == "refuse":
        raise UsageError(text, "record it with this image, or --on-new-image keep")
    who = target.identity
    now_text = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    alert = {
        "Timestamp": int(time.time()),
        "UpdatedTime": now_text,
        "HostName": who.node or "",
        "NamespaceName": who.namespace or "",
        "ContainerID": who.container_id or "",
        "ContainerName": who.container or "",
        "ContainerImage": who.image or "",
        "PolicyName": name,
        "Type": "ImageDrift",
        "Source": "",
        "Operation": "Image",
        "Resource": now,
        "Data": "op=image",
        "Message": text,
        "Enforcer": "discover",
        "Action": "Audit",
        "Result": "Passed",
        "Count": 1,
    }
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (FOLDER / f"{name}.alerts.jsonl").open("a") as file:
        file.write(json.dumps(alert) + "\n")
    tell(alert)
    return mode == "keep"
