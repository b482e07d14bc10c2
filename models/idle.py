"""Whether a workload was used at all while it was watched: a quiet curve says nothing if nobody asked for anything.

Three signs, none of which is the curve:

- *listeners*: a socket that listens and accepts nothing. A listener is known by its port, or by its unix path; one port
  on two addresses or families is one listener.
- *own files*: of the files that belong to the workload (of the packages of its executables, and what lies where people
  put an application), how many were used, and how many after start-up.
- *must-sees* that were not met; these come from whoever decides (`models.completeness`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import Object, Operation, Phase
from models.evidence import Evidence, Seen

__all__ = ["Idleness", "idleness"]

_BEFORE = frozenset({Phase.RUNTIME_INIT, Phase.START_UP})
_ENOUGH_FILES = 5
"""Below this many own files it means nothing that none was used."""
_APPLICATION = ("/app/", "/srv/", "/opt/", "/var/www/", "/usr/src/", "/home/")
_SETTINGS = ("/etc/", "/usr/share/doc/", "/usr/share/man/")
"""Of a package, what a working program need not touch again after it has started."""


@dataclass(frozen=True, slots=True)
class Idleness:
    """The signs."""

    listeners: tuple[str, ...] = ()
    """What was listened on: ``tcp 80``, ``unix /run/x.sock``."""
    silent: tuple[str, ...] = ()
    """The listeners that accepted nothing in any unit."""
    listening: tuple[str, ...] = ()
    """Units with a listener."""
    idle: tuple[str, ...] = ()
    """Those of them that accepted nothing."""
    own_files: int | None = None
    """Files of the workload's own; None where no inventory says."""
    used_files: int = 0
    used_later: int = 0
    """Of them, after start-up."""
    later: bool = False
    """Whether anything happened after start-up in any unit."""

    @property
    def all_silent(self) -> bool:
        """Whether it listened, and nobody came."""
        return bool(self.listening) and len(self.idle) == len(self.listening)

    @property
    def unexercised(self) -> bool:
        """Whether it has files of its own and used none of them after start-up."""
        return (self.own_files or 0) >= _ENOUGH_FILES and self.used_later == 0


def idleness(evidence: Evidence, seen: Iterable[Seen]) -> Idleness:
    """Look for the signs; `seen` are the accesses of this evidence."""
    listens, accepts = _sockets(evidence.behaviours)
    listening = sorted({unit for unit, _ in listens})
    reached = {unit for unit, _ in accepts}
    names = {name for _, name in listens}
    answered = {name for _, name in accepts}
    accesses = list(seen)
    own, used, later = _own_files(evidence.inventory, accesses)
    return Idleness(
        listeners=tuple(sorted(names)),
        silent=tuple(sorted(names - answered)),
        listening=tuple(listening),
        idle=tuple(u for u in listening if u not in reached),
        own_files=own,
        used_files=used,
        used_later=later,
        later=any(s.phases - _BEFORE for s in accesses),
    )


def _sockets(behaviours: pa.Table) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(unit, listener) of what listened and of what accepted."""
    found: dict[str, set[tuple[str, str]]] = {Operation.LISTEN: set(), Operation.ACCEPT: set()}
    columns = ["unit", "op", "family", "protocol", "port", "path", "phase"]
    wanted = pc.and_(
        pc.is_in(behaviours["op"].cast(pa.string()), pa.array([str(Operation.LISTEN), str(Operation.ACCEPT)])),
        pc.equal(behaviours["errno"], 0),
    )
    for row in behaviours.filter(wanted).select(columns).to_pylist():
        if row["phase"] == Phase.EXEC_SESSION:
            continue
        name = f"unix {row['path'] or '?'}" if row["family"] == "unix" else f"{row['protocol'] or 'tcp'} {row['port']}"
        found[row["op"]].add((row["unit"], name))
    return found[Operation.LISTEN], found[Operation.ACCEPT]


def _own_files(inventory: pa.Table, seen: list[Seen]) -> tuple[int | None, int, int]:
    if not inventory.num_rows:
        return None, 0, 0
    executables = {s.access.source for s in seen}
    rows = inventory.select(["path", "object", "package"]).to_pylist()
    packages = {r["package"] for r in rows if r["path"] in executables and r["package"]}
    own = {
        r["path"]
        for r in rows
        if r["object"] == Object.FILE
        and (r["package"] in packages or (r["package"] is None and r["path"].startswith(_APPLICATION)))
        and not r["path"].startswith(_SETTINGS)
    }
    used = {s.access.path for s in seen} & own
    later = {s.access.path for s in seen if s.phases - _BEFORE} & own
    return len(own), len(used), len(later)
