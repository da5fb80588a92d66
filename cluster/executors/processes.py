"""Units in processes of this machine, without Ray: for single machines, and for each job of a Slurm array.

Losses are dealt with as on Ray (``cluster.isolation``): a process that crashes, hangs or is killed for its memory costs
no other item.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cluster.attempt import UnitReport, attempt
from cluster.drain import SIGNALS, Drain
from cluster.events import EventLog, Silent
from cluster.executors.loop import RECYCLE_UNITS, durably, settle
from cluster.flight import Flight
from cluster.isolation import Isolation, Loss, Trial
from cluster.job import Job, StageBroken
from cluster.memory import count_memory_kills, usable_memory
from cluster.recorder import GRACE_SECONDS, Recorder, read_tail, reap
from cluster.scratch import scratch_folder
from cluster.threads import one_thread_each
from cluster.units import Unit
from curate.errors import CurateError, Misconfigured
from curate.storage import open_store

LEAVING_SECONDS = 5.0
REAP_SECONDS = 10.0  # between looks for what is overdue and hears no timer


class Processes:
    """Runs each unit in one of ``workers`` processes, as many at a time as their lanes leave memory for."""

    def __init__(
        self,
        store_url: str,
        workers: int,
        logs: Path,
        events: EventLog | Silent | None = None,
        drain: Drain | None = None,
        flight: Flight | None = None,
    ) -> None:
        self.workers = workers
        self.memory = usable_memory()
        self._store_url = open_store(store_url).url
        self._logs = logs
        self._events = events or Silent()
        self._drain = drain or Drain()
        self._flight = flight or Flight()
        self._hands = [_Hand(self._store_url, logs) for _ in range(workers)]

    def prepare(self, call: Callable[[], None]) -> None:
        for hand in self._hands:
            hand.connection.send(call)

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        isolation = Isolation(job, self._store_url, self.memory, self._events, lambda unit: read_tail(self._logs, unit))
        pool = _Pool(job, self._hands, self.memory, self._logs)
        try:
            reports = settle(pool, map(self._check, units), isolation, self._drain, self._flight)
            yield from durably(reports, self._store_url)
        finally:
            pool.give_up()

    def close(self) -> None:
        """End the processes; those at work are killed."""
        for hand in self._hands:
            hand.leave()

    def _check(self, unit: Unit) -> Unit:
        if unit.memory > self.memory:
            raise Misconfigured(f"unit {unit.id} asks for {unit.memory} bytes, this machine has {self.memory}")
        return unit


@contextlib.contextmanager
def start_processes(
    store_url: str,
    workers: int | None,
    events: EventLog | Silent | None = None,
    drain: Drain | None = None,
    flight: Flight | None = None,
) -> Iterator[Processes]:
    """Start the processes, by default one a CPU, and end them at the end. Raises ``Misconfigured`` for fewer than 1."""
    if workers is not None and workers < 1:
        raise Misconfigured("workers: expected 1 or more")
    with scratch_folder("curate-processes-") as folder:
        started = Processes(
            store_url, workers or len(os.sched_getaffinity(0)), folder / "recorders", events, drain, flight
        )
        try:
            yield started
        finally:
            started.close()


class _Hand:
    """One process, replaced when it dies."""

    def __init__(self, store_url: str, logs: Path) -> None:
        self._arguments = (store_url, str(logs))
        self.trial: Trial | None = None
        self.units = 0
        self.process: BaseProcess
        self.connection: Connection[Any, Any]
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        before = {name: os.environ.get(name) for name in one_thread_each()}
        os.environ.update({name: value for name, value in one_thread_each().items() if before[name] is None})
        try:
            self.process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
        theirs.close()
        self.units = 0

    def leave(self) -> None:
        with contextlib.suppress(OSError):
            if self.trial is None:
                self.connection.send(None)
                self.process.join(LEAVING_SECONDS)
            if self.process.is_alive():
                self.process.kill()
            self.process.join()
        self.connection.close()


@dataclass(slots=True)
class _Pool:
    """The transport of one job over the hands."""

    job: Job
    hands: list[_Hand]
    memory: int
    logs: Path
    kills: int = 0
    looked: float = 0.0

    def __post_init__(self) -> None:
        self.kills, self.looked = count_memory_kills(), time.monotonic()

    @property
    def in_flight(self) -> int:
        return sum(hand.trial is not None for hand in self.hands)

    def has_room(self, unit: Unit) -> bool:
        used = sum(hand.trial.unit.memory for hand in self.hands if hand.trial is not None)
        return used == 0 or (self.in_flight < len(self.hands) and used + unit.memory <= self.memory)

    def submit(self, trial: Trial) -> None:
        hand = next(hand for hand in self.hands if hand.trial is None)
        if hand.units >= RECYCLE_UNITS:
            hand.leave()
            hand.start()
        hand.trial = trial
        with contextlib.suppress(OSError):  # it has died: seen when it is waited for
            hand.connection.send((self.job, trial.unit))

    def wait(self, seconds: float) -> Iterator[tuple[Trial, UnitReport | Loss]]:
        busy = {hand.connection: hand for hand in self.hands if hand.trial is not None}
        for connection in wait(list(busy), timeout=seconds):
            hand = busy[connection]  # type: ignore[index]
            trial, hand.trial = hand.trial, None
            assert trial is not None
            yield trial, self._take(hand)
        if time.monotonic() - self.looked > REAP_SECONDS:
            reap(self.logs, grace=GRACE_SECONDS)
            self.looked = time.monotonic()

    def give_up(self) -> None:
        """Left early: what is at work is ended, so that the hands are free."""
        for hand in self.hands:
            if hand.trial is not None:
                hand.leave()
                hand.trial = None
                hand.start()

    def _take(self, hand: _Hand) -> UnitReport | Loss:
        try:
            result = hand.connection.recv()
        except (EOFError, OSError):
            hand.process.join()
            hand.connection.close()
            kills, before = count_memory_kills(), self.kills
            self.kills = kills
            is_memory = hand.process.exitcode == -signal.SIGKILL and kills > before
            hand.start()
            return Loss.OUT_OF_MEMORY if is_memory else Loss.CRASHED
        hand.units += 1
        if isinstance(result, CurateError):
            raise result
        if isinstance(result, str):
            raise StageBroken(f"stage {self.job.stage}: {result} outside any item")
        return result  # type: ignore[no-any-return]


def _serve(connection: Connection[Any, Any], store_url: str, logs: str) -> None:
    """In the process: settle units until the other end is closed."""
    for number in (*SIGNALS, signal.SIGINT):  # the parent hears them, and says when to stop
        signal.signal(number, signal.SIG_IGN)
    recorder = Recorder(Path(logs))
    parent = multiprocessing.parent_process()
    while True:
        try:
            asked = connection.recv()
        except (EOFError, OSError):
            return
        if asked is None or (parent is not None and not parent.is_alive()):  # a unit that lies in a dead driver's pipe
            return
        if callable(asked):
            with contextlib.suppress(Exception):  # as on Ray: the units that need it will say so
                asked()
            continue
        job, unit = asked
        try:
            answer: object = attempt(job, unit, store_url, recorder=recorder)
        except CurateError as error:
            answer = error.with_traceback(None)
        except BaseException as error:  # noqa: BLE001 - outside any item; its text may hold that of any error
            answer = type(error).__name__
        with contextlib.suppress(OSError):  # nobody waits any more: the receipt is what counts
            connection.send(answer)
