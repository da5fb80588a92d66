"""Units as Ray Core tasks in a window; Ray's own retries are off, so that a crash has a name.

A unit whose worker died is halved until the guilty item stands alone; alone it is tried ``TRIES`` times and then
quarantined by the driver. A unit lost with its node is run again and not charged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cluster.attempt import UnitReport, attempt, report, settle_without_work
from cluster.events import EventLog, Silent
from cluster.flight import Flight
from cluster.job import Job, StageBroken
from cluster.ledger.receipts import Ledger
from cluster.session import Session
from cluster.units import Unit, halve
from cluster.window import Window, window_for
from curate.errors import CurateError, Misconfigured, Unavailable
from curate.reasons import Reason
from curate.storage import open_store

TRIES = 3  # of an item that stands alone
NODE_LOSSES = 20  # of one unit; more says that the cluster, not the unit, is broken


@dataclass(frozen=True, slots=True)
class _Trial:
    unit: Unit
    crashes: int = 0
    losses: int = 0


class RayTasks:
    """Runs each unit as one task on one CPU with the memory of its lane."""

    def __init__(
        self,
        store_url: str,
        session: Session,
        events: EventLog | Silent | None = None,
        flight: Flight | None = None,
    ) -> None:
        self.workers = session.workers
        self.memory = session.memory
        self._session = session
        self._store_url = open_store(store_url).url  # absolute: workers have folders of their own
        self._events = events or Silent()
        self._flight = flight or Flight()

    def prepare(self, call: Callable[[], None]) -> None:
        self._session.prepare(call)

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        import ray

        window = window_for(self.workers, self._session.total_memory)
        run = _Run(ray, job, self._store_url, self._events, self._flight, window)
        waiting: deque[_Trial] = deque()
        fresh = (_Trial(self._check(unit)) for unit in units)
        # Left early, nothing is cancelled: in Ray 2.60 a cancellation that meets the end of its task aborts the driver
        # (ray-project/ray#54785). The end of the session kills what still runs; if the session goes on, what was
        # submitted, a window at most, is settled unseen.
        while True:
            _fill(run, waiting, fresh)
            if not run.pending:
                return
            for trial, result in run.wait():
                if isinstance(result, UnitReport):
                    yield result
                else:
                    again, settled = run.after_loss(trial, result)
                    waiting.extend(again)
                    if settled is not None:
                        yield settled

    def _check(self, unit: Unit) -> Unit:
        if unit.memory > self.memory:  # Ray would wait for such a machine for ever
            raise Misconfigured(f"unit {unit.id} asks for {unit.memory} bytes, the largest node has {self.memory}")
        return unit


class _Run:
    """The tasks in flight of one job."""

    def __init__(
        self, ray: Any, job: Job, store_url: str, events: EventLog | Silent, flight: Flight, window: Window
    ) -> None:
        self.pending: dict[Any, _Trial] = {}
        self.window = window
        self._ray = ray
        self._job = job
        self._job_ref = ray.put(job)  # once, not with every task
        self._store_url = store_url
        self._events = events
        self._flight = flight
        self._ledger = Ledger(open_store(store_url), job.stage)
        self._task = ray.remote(num_cpus=1, max_retries=0)(_attempt)
        self._lanes: dict[int, Any] = {}

    def submit(self, trial: _Trial) -> None:
        lane = trial.unit.memory
        if lane not in self._lanes:
            self._lanes[lane] = self._task.options(memory=lane, name=f"curate {self._job.stage}")
        reference = self._lanes[lane].remote(self._job_ref, trial.unit, self._store_url)
        self.pending[reference] = trial
        self.window.enter(trial.unit)
        self._flight.started(trial.unit)

    def wait(self) -> Iterator[tuple[_Trial, UnitReport | Exception]]:
        """What is ready: the unit with its report, or with the error that lost it."""
        ready, _ = self._ray.wait(list(self.pending), num_returns=1, fetch_local=False)
        for reference in ready:
            trial = self.pending.pop(reference)
            self.window.leave(trial.unit)
            self._flight.ended(trial.unit.id)
            yield trial, self._fetch(reference)

    def _fetch(self, reference: Any) -> UnitReport | Exception:
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.ObjectLostError,
        ) as lost:
            return lost  # type: ignore[no-any-return]
        except errors.RayTaskError as error:  # its text may hold that of any error: only the kind goes on
            raise StageBroken(f"stage {self._job.stage}: {type(error.cause).__name__} outside any item") from None
        except errors.RayError as error:
            raise Unavailable(f"the Ray cluster stopped answering ({type(error).__name__})") from None
        if isinstance(result, CurateError):
            raise result
        return result  # type: ignore[no-any-return]

    def after_loss(self, trial: _Trial, error: Exception) -> tuple[list[_Trial], UnitReport | None]:
        """What to try again, and the report if the unit is settled after all."""
        errors = self._ray.exceptions
        unit = trial.unit
        kind = type(error).__name__
        self._events.write("unit_lost", stage=self._job.stage, unit=unit.id, items=len(unit.items), error=kind)
        receipt = self._ledger.find_settled(unit.id)
        if receipt is not None:  # it died after it had published
            return [], report(receipt, unit, seconds=0.0)
        if isinstance(error, (errors.NodeDiedError, errors.ObjectLostError)):
            if trial.losses >= NODE_LOSSES:
                raise Unavailable(f"unit {unit.id} lost its node {NODE_LOSSES + 1} times")
            return [replace(trial, losses=trial.losses + 1)], None
        if len(unit.items) > 1:
            return [_Trial(half) for half in halve(unit)], None
        if trial.crashes + 1 < TRIES:
            return [replace(trial, crashes=trial.crashes + 1)], None
        detail = "out of memory" if isinstance(error, errors.OutOfMemoryError) else "the process ended"
        self._events.write("item_quarantined", unit=unit.id, key=unit.items[0].key, error=kind)
        return [], settle_without_work(
            self._job, unit.items, Reason.WORKER_CRASHED, f"{detail}, {TRIES} times", self._store_url
        )


def _fill(run: _Run, waiting: deque[_Trial], fresh: Iterator[_Trial]) -> None:
    while True:
        if not waiting:
            following = next(fresh, None)
            if following is None:
                return
            waiting.append(following)
        if not run.window.has_room(waiting[0].unit):
            return
        run.submit(waiting.popleft())


def _attempt(job: Job, unit: Unit, store_url: str) -> UnitReport | CurateError:
    """In the worker. Errors that stop the run are returned: raised, they would bring the text of a traceback."""
    try:
        return attempt(job, unit, store_url)
    except CurateError as error:
        return error.with_traceback(None)
