"""Units: which replica-run a cgroup belongs to, and who that is.

A unit is one start of a container, one run of a command, or one life of a service's or plain cgroup. A container that
is restarted keeps its id and mostly its path but gets a new cgroup, so a unit's name ends in a token made of boot id,
tree and kernfs id: equal for the same start whenever it is asked, different for every other one. Names are tame
(letters, digits, ``. _ @ -``) and short, whatever the cgroups are called, since they become names of directories.

Whose word counts, first to last:

1. A runtime of this host reports a container in exactly this cgroup, or in one above it.
2. A runtime reports the id that the path names, but elsewhere: an imitation. Then the cgroup belongs to the container
   or service around it, with a note.
3. No runtime knows the id: the path is believed as far as `collectors.cgroup_names` goes, names are filled in later.
   A container that is already gone is looked up by its id only if no workload could have made that path: not below
   another container, service or session.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from collectors import procs
from collectors.cgroup_names import Container as Claim
from collectors.cgroup_names import name_of
from collectors.cgroups import CgroupError, Cgroups, Hierarchy, detect
from collectors.identity import WorkloadIdentity, of_container
from collectors.runtimes import Container, detailed, list_containers, remembered
from collectors.target import Target
from models.behaviour import UNITS, text_of

__all__ = ["UnitInfo", "UnitNamer"]

_PAUSE = 0.5
_NAME_LIMIT = 40
UNKNOWN = "no runtime of this host knows this container (any more): its name comes from the cgroup's path alone"


@dataclass
class UnitInfo:
    """One row of the table UNITS. `cgroup_id` is the kernfs id of the unit's cgroup, None if that was gone already."""

    unit: str
    identity: WorkloadIdentity
    cgroup: str
    cgroup_id: int | None = None
    started: datetime | None = None
    ready: datetime | None = None
    ended: datetime | None = None
    drills: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    confirmed: bool = True

    def note(self, text: str) -> None:
        """Adds a note, once."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class _Owner:
    """What a path belongs to: the cgroup `root`, in it the container that the path claims or that a runtime reports."""

    root: str
    claim: Claim | None = None
    known: Container | None = None
    note: str = ""


class UnitNamer:
    """Decides and remembers units for one recording.

    `run` is a text that tells this run of a command or process tree from others, such as the recording's id; a
    recording that is taken up again must pass the same. `boot` and `cgroups` are the host's own if not given.
    """

    def __init__(self, target: Target, run: str, *, boot: str | None = None, cgroups: Cgroups | None = None) -> None:
        self._target = target
        self._run = run
        self._boot = procs.boot_id() if boot is None else boot
        self._tree: Hierarchy = (detect() if cgroups is None else cgroups).hierarchies[target.hierarchy]
        self._by_cgroup: dict[int, UnitInfo] = {}
        self._units: dict[str, UnitInfo] = {}
        self._known: dict[str, tuple[Container, int | None]] = {}
        self._ids: dict[str, Container] = {}
        self._undetailed: dict[str, Container] = {}
        self._given_up: set[str] = set()
        self._next_listing = 0.0
        self._learn(target.containers)

    def unit_for(self, cgroup_id: int, cgroup_path: str, first_pid: int, started: datetime) -> UnitInfo:
        """The unit of a cgroup, which may be nested in the unit's own and may be gone already. Never fails.

        `first_pid` is a process seen in it and `started` when; both count only until something better is known.
        """
        if (unit := self._by_cgroup.get(cgroup_id)) is None:
            unit = self._by_cgroup[cgroup_id] = self._decide(cgroup_id, cgroup_path, first_pid, started)
        return unit

    def units(self) -> list[UnitInfo]:
        """All units so far, in the order in which they were met."""
        return list(self._units.values())

    def refresh(self) -> None:
        """Fills in what could not be known when a unit was met, or takes a while to ask for, and when units ended.

        To be called now and then, and once before the table is written.
        """
        pending = [u for u in self._units.values() if not u.confirmed and u.unit not in self._given_up]
        if pending:
            self._list(force=True)
        for unit in pending:
            self._fill(unit)
            if not unit.confirmed and unit.ended is not None:
                self._given_up.add(unit.unit)
        for unit in self._units.values():
            if (container := self._undetailed.pop(unit.unit, None)) is not None and not unit.identity.labels:
                unit.identity = replace(unit.identity, labels=of_container(detailed(container)).labels)
            alone = self._target.kind not in {"command", "pid"}
            if alone and unit.ended is None and (self._id_of(unit.cgroup) or -1) != unit.cgroup_id:
                unit.ended = datetime.now(UTC)

    def table(self) -> pa.Table:
        """The units as a table of the schema UNITS."""
        rows = []
        for unit in self._units.values():
            who = unit.identity
            columns = {name: getattr(who, name) for name in UNITS.names if hasattr(who, name)}
            own = {name: getattr(unit, name) for name in UNITS.names if hasattr(unit, name)}
            rows.append({name: _text(value) for name, value in {**columns, **own}.items()})
        return pa.Table.from_pylist(rows, schema=UNITS)

    # Deciding

    def _decide(self, cgroup_id: int, path: str, first_pid: int, started: datetime) -> UnitInfo:
        if self._target.kind in {"command", "pid"}:
            name = f"{_tame(self._target.identity.workload)}-{_digest(self._boot, self._run)}"
            return self._units.setdefault(name, UnitInfo(name, self._target.identity, path, cgroup_id, started))
        owner = self._owner(path, cgroup_id)
        if owner.known is None and owner.claim is not None and not owner.note:
            self._list()
            owner = self._owner(path, cgroup_id)
        root_id = cgroup_id if owner.root == path else self._id_of(owner.root)
        name = self._name(owner, root_id)
        if name in self._units:
            return self._units[name]
        unit = self._units[name] = UnitInfo(name, self._identity(owner), owner.root, root_id, started)
        if owner.note:
            unit.note(owner.note)
        if owner.known is not None:
            unit.started = owner.known.started or started
            self._undetailed[name] = owner.known
        elif owner.claim is not None:
            unit.confirmed = owner.claim.nested_in is not None
            if unit.confirmed:
                unit.note(f"runs inside container {owner.claim.nested_in}, whose word its id and pod are")
            else:
                unit.note(UNKNOWN)
        else:
            process = procs.read(first_pid)
            # The first process of a service is as old as the service; one that came into an old cgroup later is not.
            if process is not None and process.cgroups.get(self._tree.name) == path:
                unit.started = min(started, process.started)
        return unit

    def _owner(self, path: str, cgroup_id: int) -> _Owner:
        claim = name_of(path).container
        around = self._reported(path, cgroup_id)
        if claim is not None and (real := self._imitated(claim)) is not None:
            note = f"a cgroup below it imitates container {claim.id[:12]}, which runs in {real.cgroup}"
            if around is not None:
                return _Owner(around[0], None, around[1], note)
            outer = name_of(path).claims[0]
            if outer.id != claim.id:
                return _Owner(outer.root, outer, None, note)
            return self._plain(path, note)
        if around is not None:
            root, container = around
            if claim is not None and claim.nested_in == container.id:
                return _Owner(claim.root, claim)
            return _Owner(root, claim, container)
        return _Owner(claim.root, claim) if claim is not None else self._plain(path)

    def _plain(self, path: str, note: str = "") -> _Owner:
        told = name_of(path)
        if told.unit_root is not None:
            return _Owner(told.unit_root, note=note)
        roots = [ref.path for ref in self._target.cgroups if _within(path, ref.path)]
        if self._target.kind == "host" or not roots:
            return _Owner(path, note=note)
        return _Owner(max(roots, key=len), note=note)

    def _imitated(self, claim: Claim) -> Container | None:
        """The container whose id the claim bears although it runs elsewhere.

        What a user's own runtime reports says nothing against a cgroup that only root could have made.
        """
        real = self._ids.get(claim.id)
        if real is None or real.cgroup == claim.root or (real.owner != 0 and _made_by_root(claim.root)):
            return None
        return real

    def _reported(self, path: str, cgroup_id: int) -> tuple[str, Container] | None:
        """The innermost container that a runtime reports in this cgroup or above it, if it is still that start."""
        for root in [path, *map(str, PurePosixPath(path).parents)]:
            container, known_id = self._known.get(root, (None, None))
            if container is None:
                continue
            current = cgroup_id if root == path else self._id_of(root)
            if known_id is None or current in {None, known_id}:
                return root, container
        return None

    def _name(self, owner: _Owner, root_id: int | None) -> str:
        token = _digest(self._boot, self._tree.name, str(root_id) if root_id is not None else owner.root)
        if owner.known is not None:
            return f"{_tame(owner.known.id[:12])}-{token}"
        if owner.claim is not None:
            nested = f"{owner.claim.nested_in[:12]}." if owner.claim.nested_in else ""
            return f"{nested}{owner.claim.id[:12]}-{token}"
        return f"{_tame(PurePosixPath(owner.root).name or self._target.identity.node or 'host')}-{token}"

    def _identity(self, owner: _Owner) -> WorkloadIdentity:
        if owner.known is not None:
            return self._in_target(of_container(owner.known), owner.root)
        mine = self._target.identity
        roots = {ref.path for ref in self._target.cgroups}
        if owner.claim is None:
            if owner.root in roots:
                return mine
            kind = "Service" if name_of(owner.root).unit_root == owner.root else "Cgroup"
            return WorkloadIdentity(PurePosixPath(owner.root).name or owner.root, kind)
        claim = owner.claim
        if claim.nested_in is not None:
            around = next((c for c, _ in self._known.values() if c.id == claim.nested_in), None)
            outer = of_container(around) if around is not None else WorkloadIdentity(claim.nested_in[:12], "Container")
            # Never the names that the inner side gives itself: they could be another workload's.
            name = f"{outer.workload}/{claim.id[:12]}"
            return replace(outer, workload=name, container_id=claim.id, pod_uid=claim.pod_uid)
        if owner.root in roots:
            return replace(mine, container_id=claim.id, pod_uid=claim.pod_uid)
        sibling = self._sibling(claim)
        if sibling is not None:
            return replace(of_container(sibling), container=None, image=None, image_digest=None, container_id=claim.id)
        return WorkloadIdentity(claim.id[:12], "Container", container_id=claim.id, pod_uid=claim.pod_uid)

    def _in_target(self, identity: WorkloadIdentity, root: str) -> WorkloadIdentity:
        """With the target's own name for the workload, which a person may have chosen."""
        mine = self._target.identity
        if self._target.kind not in {"container", "pod"} or all(ref.path != root for ref in self._target.cgroups):
            return identity
        return replace(identity, workload=mine.workload, workload_kind=mine.workload_kind, namespace=mine.namespace)

    def _sibling(self, claim: Claim) -> Container | None:
        """Another container of the same pod, which tells namespace and workload; for paths that root alone makes."""
        if claim.pod_uid is None or not _made_by_root(claim.root):
            return None
        return next((c for c, _ in self._known.values() if c.pod_uid == claim.pod_uid), None)

    # Asking runtimes

    def _list(self, *, force: bool = False) -> None:
        if not force and time.monotonic() < self._next_listing:
            return
        began = time.monotonic()
        self._learn(c for listing in list_containers(self._tree.name) for c in listing.containers)
        # A host where listing is slow must not spend its time on it while containers come and go.
        self._next_listing = time.monotonic() + max(_PAUSE, 10 * (time.monotonic() - began))

    def _learn(self, containers: Iterable[Container]) -> None:
        for container in sorted(containers, key=lambda c: c.owner != 0, reverse=True):
            # Root's runtimes come last, so that nothing which a user's runtime says can replace their word.
            if container.cgroup not in {None, "/"}:
                root = str(container.cgroup)
                self._known[root] = (container, self._id_of(root))
                self._ids[container.id] = container

    def _fill(self, unit: UnitInfo) -> None:
        container, cgroup_id = self._known.get(unit.cgroup, (None, None))
        if container is None or (unit.cgroup_id is not None and cgroup_id not in {None, unit.cgroup_id}):
            container = self._another_start(unit)
        if container is None or container.id != unit.identity.container_id:
            return
        identity = self._in_target(of_container(container), unit.cgroup)
        unit.identity = replace(identity, pod_uid=identity.pod_uid or unit.identity.pod_uid)
        unit.started = container.started or unit.started
        self._undetailed[unit.unit] = container
        unit.confirmed = True
        if UNKNOWN in unit.notes:
            unit.notes.remove(UNKNOWN)

    def _another_start(self, unit: UnitInfo) -> Container | None:
        """The container of a unit that is over: as the runtime remembers it, or as it has started again since."""
        container_id = unit.identity.container_id
        if container_id is None or not _made_by_root(unit.cgroup):
            return None
        now = self._ids.get(container_id)
        if now is None:
            return remembered(container_id)
        return replace(now, started=None) if now.cgroup == unit.cgroup else None

    def _id_of(self, path: str) -> int | None:
        try:
            return self._tree.id_of(path)
        except (CgroupError, OSError):
            return None


def _text(value: Any) -> Any:
    """`value` for a column: text that Arrow can hold, whatever bytes or lone surrogates it was made of."""
    if isinstance(value, str):
        try:
            return text_of(os.fsencode(value))[0]
        except UnicodeEncodeError:
            return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return [(_text(k), _text(v)) for k, v in value.items()]
    return [_text(v) for v in value] if isinstance(value, list) else value


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _made_by_root(path: str) -> bool:
    """Whether root alone could have made this container's cgroup: no service, session or container above it."""
    told = name_of(path)
    return told.unit is None and bool(told.claims) and told.claims[0].root == path


def _digest(*parts: str) -> str:
    return hashlib.blake2s("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def _tame(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "_", name)[:_NAME_LIMIT].lstrip(".") or "_"
