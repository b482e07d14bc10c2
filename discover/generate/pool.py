"""Work on many workloads side by side, its answers in the order of the workloads."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

__all__ = ["side_by_side"]

_AHEAD = 2
"""Workloads that wait for each process, so that none idles and memory stays bounded."""
Work = TypeVar("Work")
Answer = TypeVar("Answer")


def side_by_side(
    work: Callable[[Work], Answer], some: Iterable[Work], jobs: int, needs: Sequence[str] = ()
) -> Iterator[Answer]:
    """Apply `work` in `jobs` processes, or here if that is one; `needs` names modules that they share.

    What goes in, `work` and each of `some`, and what comes out has to be picklable.
    """
    if jobs == 1:
        yield from map(work, some)
        return
    # a server that imports once and forks from then on: forking this process would copy the locks of its threads
    context = get_context("forkserver")
    context.set_forkserver_preload(list(needs))
    with ProcessPoolExecutor(jobs, context, _begin, (work,)) as pool:
        waiting: deque[Future[Any]] = deque()
        for one in some:
            waiting.append(pool.submit(_applied, one))
            if len(waiting) >= jobs * (1 + _AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_work: list[Callable[[Any], Any]] = []
"""What this process does, if it is one of the pool's."""


def _begin(work: Callable[[Any], Any]) -> None:
    # a policy makes many objects and no cycle of them: looking for cycles all the while would take as long again
    gc.disable()
    _work.append(work)


def _applied(one: Any) -> Any:
    return _work[-1](one)
