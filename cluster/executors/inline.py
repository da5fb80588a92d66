"""Units one after another in this process: for small runs and debugging. What crashes it crashes the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cluster.attempt import UnitReport, attempt
from cluster.drain import Drain
from cluster.executors.loop import durably
from cluster.flight import Flight
from cluster.job import Job, forget_opened
from cluster.memory import usable_memory
from cluster.units import Unit


class Inline:
    """The simplest executor; the others must give the same receipts."""

    def __init__(self, store_url: str, drain: Drain | None = None, flight: Flight | None = None) -> None:
        self.workers = 1
        self.memory = usable_memory()
        self._store_url = store_url
        self._drain = drain or Drain()
        self._flight = flight or Flight()

    def prepare(self, call: Callable[[], None]) -> None:
        call()

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        return durably(self._run(job, units), self._store_url)

    def _run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        try:
            for unit in units:
                self._drain.check()
                self._flight.started(unit)
                try:
                    report = attempt(job, unit, self._store_url)
                finally:
                    self._flight.ended(unit.id)
                yield report
        finally:
            forget_opened()
