"""Work in processes that may die or hang: either costs the item that caused it, and nothing else.

A worker gets a few items at a time and sends each result as it is made, so that the item it was at is known. It is
replaced, and the item is tried once more, alone, before it is given up: a machine without memory kills the innocent
too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from curate.deid.verification.workers import Chunk, Context, Crashed, Worker, cold

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Task: TypeAlias = Callable[[Sequence[_Item]], Iterator[_Result]]

PATIENCE = 300.0  # seconds that an item may take, and a process to start
_MOST_ITEMS, _MOST_BYTES = 64, 8 << 20  # given to a worker at once
_A_WHILE = 1.0  # seconds between looks at who is late


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
    found: list[_Result] = []
    guilty: list[_Item] = []

    def hear(item: _Item, result: _Result | Crashed) -> None:
        if isinstance(result, Crashed):
            guilty.append(item)
        else:
            found.append(result)
        progress(len(found) + len(guilty), len(items))

    if workers == 0:
        for item, result in zip(items, task(items), strict=True):
            hear(item, result)
        return found, guilty
    with Crew(task, workers, patience=patience) as crew:
        for item in items:
            crew.ask(item, partial(hear, item))
        crew.finish()
    return found, guilty


class Crew(Generic[_Item, _Result]):
    """Workers that answer a stream of items. However many these are, few are held at a time.

    A worker is started when all others are busy, and ended with the ``with`` statement.
    """

    def __init__(
        self, task: Task[_Item, _Result], workers: int, *, patience: float = PATIENCE, context: Context | None = None
    ) -> None:
        """``context``: how processes are started; ``workers.cold()`` unless said otherwise."""
        self._workers = [Worker(task, patience, context or cold()) for _ in range(max(1, workers))]
        self._items: dict[int, _Item] = {}  # not yet answered, by place
        self._listeners: dict[int, Callable[[_Result | Crashed], None]] = {}
        self._found: dict[int, Any] = {}
        self._waiting: deque[Chunk] = deque()
        self._gathered: list[int] = []
        self._bytes = self._asked = self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()

    def ask(self, item: _Item, hear: Callable[[_Result | Crashed], None], size: int = 0) -> None:
        """Hand in an item; when enough are gathered, waits for a worker that is free. ``size``: its bytes.

        ``hear`` is called with what came of it by this call or a later one, in the order in which items came.
        Raises what the task raised.
        """
        place = self._asked
        self._asked += 1
        self._items[place], self._listeners[place] = item, hear
        self._gathered.append(place)
        self._bytes += size
        if len(self._gathered) >= _MOST_ITEMS or self._bytes >= _MOST_BYTES:
            self._hand_out()

    def finish(self) -> None:
        """Wait until every item is answered. Raises what the task raised."""
        self._hand_out()
        while any(worker.chunk for worker in self._workers):
            self._listen(_A_WHILE)
            self._give()

    def _hand_out(self) -> None:
        """Give a worker what is gathered."""
        if self._gathered:
            self._waiting.append(Chunk(self._gathered))
        self._gathered, self._bytes = [], 0
        self._listen(0.0)
        self._give()
        while self._waiting:
            self._listen(_A_WHILE)
            self._give()

    def _give(self) -> None:
        """Work to who has none: a process that runs before one that would have to be started."""
        for worker in sorted(self._workers, key=lambda worker: not worker.is_started):
            if worker.chunk is None and self._waiting:
                worker.start(self._waiting.popleft(), self._items)

    def _listen(self, seconds: float) -> None:
        """Take what workers have to say, waiting for the first of them, and tell it in the order of the items."""
        wait([worker.channel for worker in self._workers if worker.chunk], timeout=seconds)
        for worker in self._workers:
            worker.hear(self._found, self._waiting)
        for place in self._found:
            self._items.pop(place, None)
        while self._told in self._found:
            self._listeners.pop(self._told)(self._found.pop(self._told))
            self._told += 1
