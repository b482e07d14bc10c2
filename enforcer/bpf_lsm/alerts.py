"""Alerts from the kernel: the first of its kind with its paths, then exact counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bpf.ring import Ring
from enforcer.bpf_lsm.pace import Pace
from enforcer.bpf_lsm.programs import Programs

__all__ = ["Alerts", "Told"]

_SLOT = 0xFFFFFFFF
"""The lower half of a domain's policy; 0: it has none."""


@dataclass(frozen=True, slots=True)
class Told:
    """One kind of alert, and how often it has happened since it was last taken."""

    domain: int
    generation: int
    kind: int
    """What the policy says: 2 Audit, 3 Block."""
    rule: int
    """Number of the rule; 0 is the posture."""
    op: str
    policy_class: str
    denied: bool
    reason: str
    path: str
    """The object; empty for sockets and capabilities. The end of it if it was longer than the kernel tells."""
    source: str
    parent_source: str
    comm: str
    pid: int
    parent_pid: int
    uid: int
    family: int
    type: int
    protocol: int
    capability: int
    cgroup: int
    when: int
    """CLOCK_BOOTTIME, nanoseconds, of the first."""
    count: int


class Alerts:
    """Takes alerts. Keep one for as long as counts are to be told apart from what was taken before."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        btf = programs.object.btf
        self._ops = {n: _word(name, "ENFORCE_") for name, n in btf.enum("enforce_op").items()}
        self._classes = {n: _word(name, "CLASS_") for name, n in btf.enum("policy_class").items()}
        self._reasons = {n: _word(name, "REASON_") for name, n in btf.enum("reason").items()}
        told = programs.maps["told"]
        self._ring = Ring(told.fd, told.max_entries, btf.struct("alert"))
        self._known: dict[bytes, Told] = {}
        self._taken: dict[bytes, int] = {}
        self._pace = Pace()

    def take_over(self) -> list[Told]:
        """`take` for the first time where another process may have taken before.

        Kinds that were told to it are told again when they happen next; until then they are in the totals alone.
        """
        keys, _ = self._programs.maps["alerts"].items()
        found = self.take()
        for key in keys:
            if key.tobytes() not in self._known:
                self._forget(key)
        return found

    def leave(self) -> list[Told]:
        """`take` for the last time: each kind is told anew when it happens next, to whoever takes then."""
        found = self.take()
        for name in list(self._known):
            self._forget(np.frombuffer(name, self._programs.maps["alerts"].key)[0])
        return found

    def take(self, *, paced: bool = False) -> list[Told]:
        """What has happened since the last call, each kind once with its count.

        `paced`: a kind that was told a moment ago is put off (`Pace`), unless its policy is in force no more.
        """
        records, slots = self._ring.view()
        for record in records:
            self._known[record["key"].tobytes()] = self._told(record)
        self._ring.advance(slots)
        keys, values = self._programs.maps["alerts"].items()
        found = []
        for key, value in zip(keys, values, strict=True):
            name = key.tobytes()
            fresh = int(value["count"]) - self._taken.get(name, 0)
            first = self._known.get(name)
            is_over = int(key["generation"]) not in self._in_force(int(key["domain"]))
            if fresh > 0 and first is not None:
                if paced and not is_over and not self._pace.is_due(name):
                    continue
                self._pace.told(name)
                self._taken[name] = int(value["count"])
                found.append(_counted(first, fresh))
            elif not fresh and is_over:
                self._forget(key)  # of a policy by which nothing is judged any more: no count can be lost
        return found

    def _in_force(self, domain: int) -> tuple[int, ...]:
        """The generations by which it judges; none once it was removed."""
        words = self._programs.domains[domain]
        return tuple(int(words[field]) >> 32 for field in ("policy", "starting") if int(words[field]) & _SLOT)

    def _forget(self, key: Any) -> None:
        name = key.tobytes()
        self._programs.maps["alerts"].drop(key)
        self._known.pop(name, None)
        self._taken.pop(name, None)
        self._pace.forget(name)

    def _told(self, record: Any) -> Told:
        key = record["key"]
        outcome = int(key["outcome"])
        return Told(
            domain=int(key["domain"]),
            generation=int(key["generation"]),
            kind=outcome & 7,
            rule=outcome >> 3,
            op=self._ops[int(key["op"])],
            policy_class=self._classes[int(key["policy_class"])],
            denied=bool(key["denied"]),
            reason=self._reasons[int(key["reason"])],
            path=_path(record["object"]),
            source=_path(record["actor"]),
            parent_source=_path(record["parent_actor"]),
            comm=bytes(record["comm"]).partition(b"\0")[0].decode("utf-8", "surrogateescape"),
            pid=int(record["tgid"]),
            parent_pid=int(record["parent"]),
            uid=int(record["uid"]),
            **{name: int(record[name]) for name in ("family", "type", "protocol", "capability")},
            cgroup=int(record["cgroup"]),
            when=int(record["when"]),
            count=0,
        )


def _counted(told: Told, count: int) -> Told:
    return replace(told, count=count)


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", "-")


def _path(room: Any) -> str:
    data = bytes(room["path"])
    return data[int(room["head"]["path_at"]) :].decode("utf-8", "surrogateescape")
