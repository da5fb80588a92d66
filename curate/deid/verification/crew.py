"""Work in processes that may die or hang: either costs the item that caused it, and nothing else.

A worker sends each result as it is made, so that the item it was at is known. It is replaced, and the item is tried
once more, alone, before it is given up: a machine without memory kills the innocent too.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Generic, TypeAlias, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Task: TypeAlias = Callable[[Sequence[_Item]], Iterator[_Result]]

PATIENCE = 300.0  # seconds that an item may take, and a process to start
_CHUNK = 64


class Crashed(Exception):
    """The process died or did not finish, twice."""


@dataclass(slots=True)
class _Chunk:
    """Items by their places in the list. ``is_second``: a single item, with which a process died before."""

    places: list[int]
    is_second: bool = False


def run_apart(
    task: Task[_Item, _Result],
    items: Sequence[_Item],
    workers: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    patience: float = PATIENCE,
) -> tuple[list[_Result], list[_Item]]:
    """Results in the order of the items, and the items that no process survived.

    ``task`` yields a result for each item in turn; it is sent to each process once and must be picklable.
    ``workers`` = 0: in this process. ``patience``: seconds an item.
    """
    found: dict[int, _Result] = {}
    if workers == 0:
        for place, result in enumerate(task(items)):
            found[place] = result
            progress(len(found), len(items))
        return [found[place] for place in sorted(found)], []
    waiting = deque(_Chunk(list(range(n, min(n + _CHUNK, len(items))))) for n in range(0, len(items), _CHUNK))
    crew = [Worker(task, patience) for _ in range(min(workers, len(waiting)))]
    guilty: list[int] = []
    try:
        while waiting or any(worker.chunk for worker in crew):
            for worker in crew:
                if worker.chunk is None and waiting:
                    worker.start(waiting.popleft(), items)
            wait([worker.channel for worker in crew if worker.chunk], timeout=1.0)
            for worker in crew:
                _hear(worker, found, waiting, guilty)
            progress(len(found), len(items))
    finally:
        for worker in crew:
            worker.stop()
    return [found[place] for place in sorted(found)], [items[place] for place in sorted(guilty)]


class Apart(Generic[_Item, _Result]):
    """One process that answers one question at a time, started when first asked."""

    def __init__(self, task: Task[_Item, _Result], *, patience: float = PATIENCE) -> None:
        self._worker = Worker(task, patience)

    def ask(self, item: _Item) -> _Result:
        """The result of one item. Raises Crashed, and what the task raises."""
        return self.begin(item)()

    def begin(self, item: _Item) -> Callable[[], _Result]:
        """Begin with one item while the asker goes on; calling what is given waits for the result, as ``ask`` does.

        A question that was begun and not waited for is dropped by the next.
        """
        if self._worker.chunk is not None:
            self._worker.stop()
        self._worker.start(_Chunk([0]), [item])
        return lambda: self._finish(item)

    def _finish(self, item: _Item) -> _Result:
        for is_again in (False, True):
            found: dict[int, _Result] = {}
            if is_again:
                self._worker.start(_Chunk([0]), [item])
            while self._worker.chunk is not None:
                wait([self._worker.channel], timeout=1.0)
                _hear(self._worker, found, deque(), [])
            if found:
                return found[0]
        raise Crashed("a reader crashed or did not finish, twice")


@dataclass(slots=True)
class Worker:
    """A process that can be killed and started anew. ``chunk``: what it works on."""

    task: Any
    patience: float
    chunk: _Chunk | None = None
    deadline: float = 0.0
    _process: BaseProcess | None = None
    _channel: Connection | None = field(default=None, repr=False)

    @property
    def channel(self) -> Connection:
        """Where its results come from."""
        assert self._channel is not None
        return self._channel

    def start(self, chunk: _Chunk, items: Sequence[Any]) -> None:
        """Give it work; the process is made where there is none."""
        if self._process is None or not self._process.is_alive():
            self.stop()
            context = multiprocessing.get_context("spawn")
            self._channel, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(self.task, other), daemon=True)
            self._process.start()
            other.close()
        self.chunk, self.deadline = chunk, monotonic() + self.patience
        try:
            self.channel.send([items[place] for place in chunk.places])
        except OSError:  # it died since: its silence tells
            self.deadline = 0.0

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.channel.close()
        self._process = None


def _hear(worker: Worker, found: dict[int, Any], waiting: deque[_Chunk], guilty: list[int]) -> None:
    """Take what a worker has to say; when it is dead or too slow, replace it and put its work back."""
    chunk = worker.chunk
    try:
        while chunk is not None and worker.channel.poll():
            result = worker.channel.recv()
            if isinstance(result, BaseException):
                raise result
            found[chunk.places.pop(0)] = result[0]
            worker.deadline = monotonic() + worker.patience
            if not chunk.places:
                chunk = worker.chunk = None
    except (EOFError, OSError):
        worker.deadline = 0.0
    if chunk is None or monotonic() < worker.deadline:
        return
    worker.stop()
    worker.chunk = None
    if chunk.is_second:
        guilty.append(chunk.places[0])
        return
    waiting.append(_Chunk(chunk.places[:1], is_second=True))
    if chunk.places[1:]:
        waiting.append(_Chunk(chunk.places[1:]))


def _serve(task: Any, channel: Connection) -> None:
    """What a process does until it is ended: results as 1-tuples, or the exception that the task raised."""
    while True:
        try:
            for result in task(channel.recv()):
                channel.send((result,))
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - raised again by whoever asked
            channel.send(error)
