"""Learning many workloads: aggregated once, learned side by side, in the order of their names."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context

from models.dataset import Dataset
from models.evidence import Evidence, RowsNeeded, gather
from models.evidence_stream import Stream, stream
from models.learn import CannotFit, Learned, Options, learn

__all__ = ["LARGE", "learn_all", "rows_in"]

LARGE = 2_000_000
"""Rows from which a dataset is aggregated on disk instead of being held in memory."""
_AHEAD = 2
"""Workloads that wait for each process, so that none idles and memory stays bounded."""


def rows_in(dataset: Dataset) -> int:
    """Rows of the finished recordings, from the files' own footers."""
    from pyarrow import parquet  # noqa: PLC0415 - heavy

    files = [f for r in dataset.recordings for f in r.behaviour_files()]
    return sum(parquet.read_metadata(f).num_rows for f in files)


def learn_all(
    dataset: Dataset,
    options: Options,
    wanted: Callable[[Evidence], bool] = lambda _: True,
    *,
    jobs: int | None = None,
    large: int = LARGE,
) -> Iterator[tuple[Evidence, Learned | CannotFit]]:
    """Learn each wanted workload of a dataset.

    `jobs` processes, by default one a processor where the dataset is `large`, else none besides this one. Raises what
    `open_dataset` raises for damaged files.
    """
    with ExitStack() as stack:
        source: Stream | None = None
        if rows_in(dataset) >= large:
            source = stack.enter_context(stream(dataset))
        some = (e for e in (source if source is not None else gather(dataset)) if wanted(e))
        jobs = jobs or (os.cpu_count() or 1 if source is not None else 1)
        if jobs == 1:
            for evidence in some:
                yield evidence, _resolved(evidence, _learn(evidence, options), options, source)
            return
        # spawned, not forked: DuckDB's threads do not survive a fork
        pool = stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn"), initializer=gc.disable))
        waiting: deque[tuple[Evidence, Future[Learned | CannotFit | RowsNeeded]]] = deque()
        for evidence in some:
            waiting.append((evidence, pool.submit(_learn, evidence, options)))
            if len(waiting) >= jobs * (1 + _AHEAD):
                first, future = waiting.popleft()
                yield first, _resolved(first, future.result(), options, source)
        for first, future in waiting:
            yield first, _resolved(first, future.result(), options, source)


def _learn(evidence: Evidence, options: Options) -> Learned | CannotFit | RowsNeeded:
    try:
        return learn(evidence, options)
    except (CannotFit, RowsNeeded) as answer:
        return answer


def _resolved(
    evidence: Evidence, answer: Learned | CannotFit | RowsNeeded, options: Options, source: Stream | None
) -> Learned | CannotFit:
    """Where an outlier was found in aggregated rows, the workload is learned again from all of its rows."""
    if isinstance(answer, RowsNeeded):
        assert source is not None  # noqa: S101 - rows in memory are never asked for again
        answer = _learn(source.rows_of(evidence), options)
        assert not isinstance(answer, RowsNeeded)  # noqa: S101
    return answer
