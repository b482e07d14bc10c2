"""The matcher alone, in a socket filter under BPF_PROG_TEST_RUN: runs on any kernel, attaches nothing, denies nothing.

with Matcher(tables) as matcher:
    matcher.ask("/etc/shadow", facts=1)          # an outcome
    matcher.nanoseconds("/etc/shadow", facts=1)  # of one decision
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np

from bpf.object import BpfObject, object_path
from bpf.raw import test_run, unlimited_memory
from enforcer.bpf_lsm.slots import put
from enforcer.compile import Tables
from enforcer.compile.paths import as_bytes

__all__ = ["Matcher"]

_ROUNDS = 500


class Matcher:
    """One policy in the kernel, asked from here. Raises `bpf.errors.BpfError` where the kernel does not let us."""

    def __init__(self, tables: Tables) -> None:
        unlimited_memory()
        self._object = BpfObject(object_path("enforce_matcher")).load()
        self.policies = self._object.map("policies")
        put(self.policies, 0, tables)
        self._scratch, self._question = self._object.map("scratches"), self._object.map("questions")

    def _pose(self, path: str, facts: int, source: int, kind: int, rounds: int) -> None:
        scratch = np.zeros(1, self._scratch.value)
        text = as_bytes(path)
        room = scratch["path"].dtype.itemsize
        scratch["facts"], scratch["source"] = facts, source
        scratch["head"]["path_at"] = room - len(text)
        scratch["path"] = np.void(text.rjust(room, b"\0"))
        self._scratch.set(0, scratch[0])
        self._question.set(0, (kind, rounds, 0))

    def _run(self) -> int:
        return test_run(self._object.program_fd("match"), 1)[0]

    def ask(self, path: str, facts: int, source: int = 0, *, process: bool = False) -> int:
        """The outcome of the rules for a path; `source` is a number that `source` gave."""
        self._pose(path, facts, source, int(process), 1)
        return self._run()

    def source(self, path: str) -> int:
        """The number of an executable among the policy's sources; 0 if it is none."""
        self._pose(path, 0, 0, 2, 1)
        return self._run()

    def nanoseconds(self, path: str, facts: int = 1, source: int = 0) -> float:
        """What one decision takes, the mean of many asked in one run."""
        self._pose(path, facts, source, 0, _ROUNDS)
        fd = self._object.program_fd("match")
        return test_run(fd, 20)[1] / _ROUNDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._object.close()
