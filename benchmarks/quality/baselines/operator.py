"""The security-profiles-operator's AppArmor recorder: fixed slots by regular expression, directories for writers.

Restated from ``internal/pkg/daemon/bpfrecorder/bpfrecorder_apparmor.go`` of kubernetes-sigs/security-profiles-operator
(commit a2e4c4b): a process's number in ``/proc/N`` and ``task/N`` becomes ``@{pid}`` and ``@{tid}``; a UUID, 32 or more
hexadecimal digits and six or more decimal ones become ``*``; all of ``/sys/devices`` is one rule; where two files in a
directory were both read and written, any name in it may be. Files only read, or only written, stay as they are; deleted
files are left out.

In its favour, the libraries and locale files that its profiles take from AppArmor's ``abstractions/base`` wholesale
are listed here one by one.
"""

from __future__ import annotations

import re
from collections import Counter

from benchmarks.quality.baselines.grants import Grant, Kind, assemble, escaped
from benchmarks.quality.material import Material, Use
from models.policy import Spec

__all__ = ["learn", "varied"]

_PID = (
    "{[1-9],[1-9][0-9],[1-9][0-9][0-9],[1-9][0-9][0-9][0-9],[1-9][0-9][0-9][0-9][0-9],[1-9][0-9][0-9][0-9][0-9][0-9]}"
)
"""AppArmor's ``@{pid}`` (``tunables/kernelvars``), which stops at six digits here: the kernel's at 4,194,304."""
_SLOTS = (
    (re.compile(r"^/proc/\d+(?=/)"), "/proc/\0pid"),
    (re.compile(r"^(/proc/\0pid/task)/\d+(?=/)"), "\\1/\0pid"),
    (re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"), "\0any"),
    (re.compile(r"[0-9a-fA-F]{32,}"), "\0any"),
    (re.compile(r"\d{6,}"), "\0any"),
)


def varied(path: str) -> str:
    """The path as a pattern, its fixed slots filled in; without one, as a pattern of itself alone."""
    if path.startswith("/sys/devices/"):
        return "/sys/devices/**"
    for slot, name in _SLOTS:
        path = slot.sub(name, path)
    return escaped(path).replace("\0pid", _PID).replace("\0any", "*")


def learn(material: Material, patterns: bool) -> Spec:
    """The policy of a workload."""
    uses: dict[str, Use] = {}
    literal: dict[str, str] = {}
    for path, use in material.files.items():
        pattern = varied(path)
        uses[pattern] = uses.get(pattern, Use()) | use
        if pattern == escaped(path):
            literal[pattern] = path
    shared = Counter(p[: p.rfind("/")] for p, use in uses.items() if use.reads and use.writes)
    grants = []
    for pattern, use in uses.items():
        directory = pattern[: pattern.rfind("/")]
        if use.reads and use.writes and shared[directory] > 1:
            grants.append(Grant(Kind.PATTERN, directory + "/*", writes=True))
        elif pattern in literal:
            grants.append(Grant(Kind.PATH, literal[pattern], use.writes))
        else:
            grants.append(Grant(Kind.PATTERN, pattern, use.writes))
    return assemble(material, grants, patterns=patterns)
