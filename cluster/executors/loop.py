"""The loop of executors that work elsewhere: keep the workers fed, take what is settled, deal with what is lost.

And how every executor ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from cluster.attempt import UnitReport
from cluster.drain import Drain
from cluster.flight import Flight
from cluster.isolation import Isolation, Loss, Trial
from cluster.units import Unit
from curate.storage import open_store

RECYCLE_UNITS = 2000  # a worker is replaced after so many, whatever its libraries have kept by then


class Transport(Protocol):
    """How units get to workers and reports come back."""

    @property
    def in_flight(self) -> int:
        """Units submitted and not back."""

    def has_room(self, unit: Unit) -> bool:
        """Whether the unit may be submitted now; true when nothing is in flight."""

    def submit(self, trial: Trial) -> None:
        """Send a unit off."""

    def wait(self, seconds: float) -> Iterable[tuple[Trial, UnitReport | Loss]]:
        """What came back, after ``seconds`` at the latest: the unit with its report, or with how it was lost."""


def settle(
    transport: Transport, units: Iterable[Unit], isolation: Isolation, drain: Drain, flight: Flight
) -> Iterator[UnitReport]:
    """Settle every unit. Raises ``Drained`` once somebody asked and what was in flight is back, or the grace is over;
    and what ``isolation`` and the transport raise."""
    waiting: deque[Trial] = deque()
    fresh = (Trial(unit) for unit in units)
    while True:
        if not drain.is_asked:
            _fill(transport, waiting, fresh, flight)
        if not transport.in_flight or drain.seconds_left == 0:
            drain.check()
            return
        pause = 1.0 if drain.seconds_left is None else min(1.0, drain.seconds_left)
        for trial, result in transport.wait(pause):
            flight.ended(trial.unit.id)
            if isinstance(result, UnitReport):
                yield result
                continue
            again, settled = isolation.after(trial, result)
            waiting.extend(again)
            if settled is not None:
                yield settled


def durably(reports: Iterator[UnitReport], store_url: str) -> Generator[UnitReport, None, None]:
    """Reports as they come; the end, whatever brings it, waits until all that was settled outlives the machine."""
    try:
        yield from reports
    finally:
        open_store(store_url).sync()


def _fill(transport: Transport, waiting: deque[Trial], fresh: Iterator[Trial], flight: Flight) -> None:
    while True:
        if not waiting:
            following = next(fresh, None)
            if following is None:
                return
            waiting.append(following)
        if not transport.has_room(waiting[0].unit):
            return
        trial = waiting.popleft()
        transport.submit(trial)
        flight.started(trial.unit)
