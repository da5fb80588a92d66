"""One process that is given a few items at a time and says what comes of each, until it dies or takes too long.

Workers leave Ctrl-C to the process that asks, which ends them, and go when it is gone.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, TypeAlias

Context: TypeAlias = SpawnContext | ForkServerContext

_WARM = ["__main__", "curate.deid.verification.tasks"]  # loaded once, before any process is forked


class Crashed(Exception):
    """The process died or did not finish, twice."""


@dataclass(slots=True)
class Chunk:
    """Items by their places among all. ``is_second``: a single item, with which a process died before."""

    places: list[int]
    is_second: bool = False


@dataclass(slots=True)
class Worker:
    """A process that can be killed and started anew. ``chunk``: what it works on; ``patience``: seconds an item."""

    task: Any
    patience: float
    context: Context
    chunk: Chunk | None = None
    deadline: float = 0.0
    _process: BaseProcess | None = None
    _channel: Connection | None = field(default=None, repr=False)

    @property
    def channel(self) -> Connection:
        """Where its results come from."""
        assert self._channel is not None
        return self._channel

    @property
    def is_started(self) -> bool:
        """Whether it has a process."""
        return self._process is not None

    def start(self, chunk: Chunk, items: Mapping[int, Any]) -> None:
        """Give it work; the process is made where there is none."""
        if self._process is None or not self._process.is_alive():
            self.stop()
            self._process, self._channel = self._started()
        self.chunk, self.deadline = chunk, monotonic() + self.patience
        try:
            self.channel.send([items[place] for place in chunk.places])
        except OSError:  # it died since: its silence tells
            self.deadline = 0.0

    def _started(self) -> tuple[BaseProcess, Connection]:
        """A process and the channel to it. One whose start is interrupted finds its channel closed, and goes."""
        channel, other = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(self.task, other), daemon=True)
        try:
            # one that is forked is deaf already, and waiting for that must not make this process deaf
            with _deaf_to_interrupts() if isinstance(self.context, SpawnContext) else nullcontext():
                process.start()
        except BaseException:
            channel.close()
            raise
        finally:
            other.close()
        return process, channel

    def hear(self, found: dict[int, Any], waiting: deque[Chunk]) -> None:
        """Take what it has to say into ``found``; when it is dead or too slow, end it and put its work back.

        Raises what the task raised.
        """
        chunk = self.chunk
        try:
            while chunk is not None and self.channel.poll():
                result = self.channel.recv()
                if isinstance(result, BaseException):
                    raise result
                found[chunk.places.pop(0)] = result[0]
                self.deadline = monotonic() + self.patience
                if not chunk.places:
                    chunk = self.chunk = None
        except (EOFError, OSError):
            self.deadline = 0.0
        if chunk is None or monotonic() < self.deadline:
            return
        self.stop()
        if chunk.is_second:
            found[chunk.places[0]] = Crashed("a reader crashed or did not finish, twice")
            return
        waiting.append(Chunk(chunk.places[:1], is_second=True))
        if chunk.places[1:]:
            waiting.append(Chunk(chunk.places[1:]))

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.channel.close()
        self._process = self.chunk = None


def cold() -> Context:
    """Each process starts from nothing and has the environment of this one."""
    return multiprocessing.get_context("spawn")


def warm() -> Context:
    """Processes are forked from one that has loaded what they need: many start for the price of one.

    It starts now, goes when this process does, and keeps the environment that it was started with.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_WARM)
    with _deaf_to_interrupts():
        forkserver.ensure_running()
    return context


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started within never see Ctrl-C, not even while they load their modules."""
    resource_tracker.ensure_running()  # or it is started within, and lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(task: Any, channel: Connection) -> None:
    """What a process does until it is ended: results as 1-tuples, or the exception that the task raised."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            items = channel.recv()
        except (EOFError, OSError):
            return
        try:
            for result in task(items):
                channel.send((result,))
        except BrokenPipeError:  # who asked is gone
            return
        except Exception as error:  # noqa: BLE001 - raised again by whoever asked
            channel.send(error)
