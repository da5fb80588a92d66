"""Units as Ray Core tasks in a window; Ray's own retries are off, so that a loss has a name (``cluster.isolation``).

Deadlines are kept by the worker's own timer (``cluster.recorder``), which knows when an item really began; when nothing
has settled for a while, every node is asked to kill what is overdue and could not hear its timer. ``ray.cancel`` is not
used: in Ray 2.60 a cancellation that meets the end of its task aborts the driver (ray-project/ray#54785).

Units and reports travel as bytes: Ray passes those as they are, and looks into anything else for longer than a small
unit takes.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from cluster.attempt import UnitReport, attempt
from cluster.drain import Drain
from cluster.events import EventLog, Silent
from cluster.executors.loop import RECYCLE_UNITS, durably, settle
from cluster.flight import Flight
from cluster.isolation import Isolation, Loss, Trial
from cluster.job import Job, StageBroken
from cluster.recorder import GRACE_SECONDS, Recorder, Tail, default_folder, read_tail, reap
from cluster.session import Session
from cluster.units import Unit
from cluster.window import Window, window_for
from curate.errors import CurateError, Misconfigured, Unavailable
from curate.storage import open_store

TOGETHER = 4  # an nth of what is in flight may be fetched together
MOMENT_SECONDS = 0.01
SILENCE_SECONDS = 60.0  # without any unit settled: then overdue workers are looked for
RESIZE_SECONDS = 10.0  # between two looks at how many nodes there are
ANSWER_SECONDS = 30.0  # for a question to every node

Answer = TypeVar("Answer")


class RayTasks:
    """Runs each unit as one task on one CPU with the memory of its lane."""

    def __init__(
        self,
        store_url: str,
        session: Session,
        events: EventLog | Silent | None = None,
        drain: Drain | None = None,
        flight: Flight | None = None,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.workers = session.workers
        self.memory = session.memory
        self._session = session
        self._store_url = open_store(store_url).url  # absolute: workers have folders of their own
        self._events = events or Silent()
        self._drain = drain or Drain()
        self._flight = flight or Flight()
        self._silence_seconds = silence_seconds
        self._grace_seconds = grace_seconds

    def prepare(self, call: Callable[[], None]) -> None:
        self._session.prepare(call)

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        import ray

        nodes = _Nodes(ray, self._session.logs, self._grace_seconds)
        tasks = _Tasks(ray, job, self._store_url, self._session, nodes, self._silence_seconds)
        isolation = Isolation(job, self._store_url, self.memory, self._events, nodes.recall)
        # Left early, nothing is cancelled: the end of the session kills what still runs; if the session goes on, what
        # was submitted, a window at most, is settled unseen.
        reports = settle(tasks, map(self._check, units), isolation, self._drain, self._flight)
        return durably(reports, self._store_url)

    def _check(self, unit: Unit) -> Unit:
        if unit.memory > self.memory:  # Ray would wait for such a machine for ever
            raise Misconfigured(f"unit {unit.id} asks for {unit.memory} bytes, the largest node has {self.memory}")
        return unit


class _Tasks:
    """The tasks in flight of one job."""

    def __init__(
        self, ray: Any, job: Job, store_url: str, session: Session, nodes: _Nodes, silence_seconds: float
    ) -> None:
        self._pending: dict[Any, Trial] = {}
        self._session = session
        self._window = _window_of(session)
        self._ray = ray
        self._job = job
        self._nodes = nodes
        self._silence_seconds = silence_seconds
        self._heard = self._resized = time.monotonic()
        self._task = ray.remote(num_cpus=1, max_retries=0, max_calls=RECYCLE_UNITS)(
            _attempt_of(job, store_url, nodes.logs)
        )
        self._lanes: dict[int, Any] = {}

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def has_room(self, unit: Unit) -> bool:
        return self._window.has_room(unit)

    def submit(self, trial: Trial) -> None:
        lane = trial.unit.memory
        if lane not in self._lanes:
            self._lanes[lane] = self._task.options(memory=lane, name=f"curate {self._job.stage}")
        reference = self._lanes[lane].remote(pickle.dumps(trial.unit))
        self._pending[reference] = trial
        self._window.enter(trial.unit)

    def wait(self, seconds: float) -> Iterator[tuple[Trial, UnitReport | Loss]]:
        ready = self._ready(seconds)
        now = time.monotonic()
        if now - self._resized >= RESIZE_SECONDS:
            self._window.resize(_window_of(self._session.now()))
            self._resized = time.monotonic()
        if ready:
            self._heard = now
        elif now - self._heard >= self._silence_seconds:
            self._nodes.reap()
            self._heard = time.monotonic()
        results = self._fetch_together(ready)
        for reference in ready:
            trial = self._pending.pop(reference)
            self._window.leave(trial.unit)
            yield trial, results[reference] if results is not None else self._fetch(reference)

    def _ready(self, seconds: float) -> list[Any]:
        """What is settled, or lost. Small units settle faster than the driver can ask for each: what comes in a moment
        is waited for together, which starves nobody while the window is far from empty."""
        pending = list(self._pending)
        if (together := len(pending) // TOGETHER) > 1:
            ready, _ = self._ray.wait(pending, num_returns=together, timeout=MOMENT_SECONDS, fetch_local=False)
            if ready:
                return ready  # type: ignore[no-any-return]
        return self._ray.wait(pending, num_returns=1, timeout=seconds, fetch_local=False)[0]  # type: ignore[no-any-return]

    def _fetch_together(self, ready: list[Any]) -> dict[Any, UnitReport] | None:
        """Reports of settled units, in one question; None if any of them is none."""
        try:
            results = self._ray.get(ready)
        except self._ray.exceptions.RayError:
            return None
        if all(isinstance(result, bytes) for result in results):
            return dict(zip(ready, map(pickle.loads, results), strict=True))
        return None

    def _fetch(self, reference: Any) -> UnitReport | Loss:
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except errors.OutOfMemoryError:
            return Loss.OUT_OF_MEMORY
        except errors.WorkerCrashedError:
            return Loss.CRASHED
        except (errors.NodeDiedError, errors.ObjectLostError):
            return Loss.NODE_LOST
        except errors.RayTaskError as error:  # its text may hold that of any error: only the kind goes on
            raise StageBroken(f"stage {self._job.stage}: {type(error.cause).__name__} outside any item") from None
        except errors.RayError as error:
            raise Unavailable(f"the Ray cluster stopped answering ({type(error).__name__})") from None
        if isinstance(result, CurateError):
            raise result
        return pickle.loads(result)  # type: ignore[no-any-return]  # noqa: S301 - of our own worker


def _window_of(session: Session) -> Window:
    return window_for(session.workers, session.total_memory)


class _Nodes:
    """Questions to every node of the cluster about the files of its workers, asked only after a loss or a silence."""

    def __init__(self, ray: Any, logs: str | None, grace_seconds: float) -> None:
        self.logs = logs
        self._grace_seconds = grace_seconds
        self._ray = ray

    def recall(self, unit_id: str) -> Tail:
        """The last words on a unit, from the node that has any."""
        found = [tail for tail in self._ask(_recall, unit_id) if tail.lines]
        return found[0] if found else Tail()

    def reap(self) -> None:
        """Kill what is overdue and did not hear its timer."""
        self._ask(_reap, self._grace_seconds)

    def _ask(self, question: Callable[..., Answer], *arguments: Any) -> list[Answer]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(num_cpus=0, max_retries=0)(question)
        asked = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                self.logs, *arguments
            )
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        ready, _ = self._ray.wait(asked, num_returns=len(asked), timeout=ANSWER_SECONDS)
        answers: list[Answer] = []
        for reference in ready:
            try:
                answers.append(self._ray.get(reference))
            except self._ray.exceptions.RayError:  # that node is gone, or its folder cannot be read: it knows nothing
                continue
        return answers


_recorders: dict[str | None, Recorder] = {}


def _attempt_of(job: Job, store_url: str, logs: str | None) -> Callable[[bytes], bytes | CurateError]:
    """What a task calls. It travels once a worker with all that is the same for every unit."""
    return lambda unit: _attempt(job, pickle.loads(unit), store_url, logs)  # noqa: S301 - of our own driver


def _attempt(job: Job, unit: Unit, store_url: str, logs: str | None) -> bytes | CurateError:
    """In the worker. Errors that stop the run are returned: raised, they would bring the text of a traceback."""
    if logs not in _recorders:
        _recorders[logs] = Recorder(_folder(logs))
    try:
        return pickle.dumps(attempt(job, unit, store_url, recorder=_recorders[logs]))
    except CurateError as error:
        return error.with_traceback(None)


def _recall(logs: str | None, unit_id: str) -> Tail:
    return read_tail(_folder(logs), unit_id)


def _reap(logs: str | None, grace_seconds: float) -> int:
    return reap(_folder(logs), grace=grace_seconds)


def _folder(logs: str | None) -> Path:
    return default_folder() if logs is None else Path(logs)
