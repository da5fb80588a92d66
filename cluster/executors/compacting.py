"""An executor that keeps the ledger small while a long stage runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from cluster.attempt import UnitReport
from cluster.job import Job
from cluster.ledger import Ledger
from cluster.ledger.compaction import compact
from cluster.units import Unit
from curate.storage import Store

if TYPE_CHECKING:
    from cluster.executors import Executor

MOST_LOOSE = 1024  # units settled between two compactions


class Compacting:
    """Runs units by another executor and compacts the stage's receipts after every so many.

    The compaction goes on beside the units, in one thread. Raises what it raises (``compact``) with the next report.
    """

    def __init__(self, executor: Executor, store: Store, *, most_loose: int = MOST_LOOSE) -> None:
        self.workers = executor.workers
        self.memory = executor.memory
        self._executor = executor
        self._store = store
        self._most_loose = most_loose

    def prepare(self, call: Callable[[], None]) -> None:
        self._executor.prepare(call)

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        ledger = Ledger(self._store, job.stage)
        reports = _closable(self._executor.run(job, units))
        under_way: Future[int] | None = None
        settled = 0
        with ThreadPoolExecutor(1) as pool, contextlib.closing(reports):
            for report in reports:
                yield report
                settled += 1
                if under_way is not None and under_way.done():
                    under_way.result()
                    under_way = None
                if settled >= self._most_loose and under_way is None:
                    under_way = pool.submit(compact, ledger)
                    settled = 0
            if under_way is not None:
                under_way.result()


def _closable(reports: Iterator[UnitReport]) -> Generator[UnitReport, None, None]:
    """Closing this stops the executor now, not when the exception's frames are let go."""
    return (yield from reports)
