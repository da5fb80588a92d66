"""Batches read ahead by threads, in the sampler's order: what a training loop iterates over.

Threads, not processes: reading and decoding release the GIL, and handing a crop from one process to another costs more
than decoding it. For transforms that are slow Python there is ``curate.loading.dataset.load`` with processes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import torch

from curate.loading.host_memory import HostMemory
from curate.loading.joining import join, tensors_of, to_device

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)

_SPARE_BLOCKS = 16  # large tensors' memory kept for the next batches


class Source(Protocol[Item_contra, Batch_co]):
    """What is read: an item gives a batch of one. Called from several threads at a time."""

    def __getitem__(self, item: Item_contra, /) -> Batch_co: ...


class Loader(Generic[Item, Batch]):
    """Iterates over the batches that ``sampler`` asks for, always in its order, as a ``DataLoader`` would.

    ``threads`` read items (0: the caller's own thread, when it asks). At most ``look_ahead`` batches are read or being
    read beyond the one handed out. ``collate``: batches of one -> one batch; by default ``curate.loading.joining.join``
    into memory that is used again once nobody holds the batch or a view of it, so a batch stays valid for as long as it
    is kept. ``pin``: page-locked memory, where CUDA is there; a ``collate`` of one's own is followed by the batch's
    ``pin_memory()``. ``device``: batches come out there; to a CUDA device they are copied on a stream of the loader's
    own, while the device computes.

    What reading raises comes out where its batch would have. One iteration runs at a time: another ``iter()`` or
    ``close()`` ends the one before, and leaving a loop early ends it too; no thread stays behind.
    """

    def __init__(
        self,
        dataset: Source[Item, Batch],
        sampler: Iterable[Sequence[Item]],
        *,
        threads: int = 2,
        look_ahead: int = 2,
        pin: bool = False,
        device: torch.device | None = None,
        collate: Callable[[Sequence[Batch]], Batch] | None = None,
    ) -> None:
        """Raises ``ValueError`` for a negative number of threads and for a look-ahead below 1."""
        if threads < 0 or look_ahead < 1:
            raise ValueError("threads: expected 0 or more; look_ahead: expected 1 or more")
        self._dataset = dataset
        self._sampler = sampler
        self._threads = threads
        self._look_ahead = look_ahead
        self._pin = pin and torch.cuda.is_available()
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device is not None and device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._memory = HostMemory(blocks=_SPARE_BLOCKS, pin=pin or self._stream is not None)
        self._collate = collate
        self._running: Iterator[Batch] | None = None
        self.waited_s = 0.0  # seconds that the consumer has waited for batches, over all iterations

    def __len__(self) -> int:
        """Number of batches. Raises ``TypeError`` when the sampler does not know."""
        if not isinstance(self._sampler, Sized):
            raise TypeError("the sampler does not say how many batches it has")
        return len(self._sampler)

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        self._running = self._iterate()
        return self._running

    def __enter__(self) -> Loader[Item, Batch]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration that runs and wait for its threads."""
        running, self._running = self._running, None
        if running is not None:
            running.close()  # type: ignore[attr-defined]  # a generator

    def _iterate(self) -> Iterator[Batch]:
        asked = iter(self._sampler)
        pending: deque[_Pending[Item, Batch]] = deque()
        with contextlib.ExitStack() as stack:
            pool: Executor | None = None
            if self._threads:
                pool = ThreadPoolExecutor(self._threads, thread_name_prefix="loader")
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            while True:
                while len(pending) <= (self._look_ahead if pool else 0):
                    items = next(asked, None)
                    if items is None:
                        break
                    pending.append(_Pending(self, list(items), pool))
                if not pending:
                    return
                yield self._wait(pending.popleft())

    def _wait(self, batch: _Pending[Item, Batch]) -> Batch:
        began = time.perf_counter()
        try:
            joined, copied = batch.result()
        finally:
            self.waited_s += time.perf_counter() - began
        if copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(copied)
            for tensor in tensors_of(joined):
                tensor.record_stream(stream)  # its memory is not given to the loader's stream before this one is done
        return joined

    def _join(self, parts: Sequence[Batch]) -> tuple[Batch, torch.cuda.Event | None]:
        """One batch, and what to wait for before it is used."""
        if self._collate is None:
            batch = join(parts, self._memory.empty)
        else:
            batch = self._collate(parts)
            if self._pin or self._stream is not None:
                batch = batch.pin_memory()  # type: ignore[attr-defined]
        if self._device is None:
            return batch, None
        if self._stream is None:
            return to_device(batch, self._device), None
        with torch.cuda.stream(self._stream):
            moved = to_device(batch, self._device)  # torch keeps the pinned memory until the copy has ended
            return moved, self._stream.record_event()


class _Pending(Generic[Item, Batch]):
    """A batch that is being read: a task an item, and whoever reads the last one joins them."""

    def __init__(self, loader: Loader[Item, Batch], items: Sequence[Item], pool: Executor | None) -> None:
        if not items:
            raise ValueError("the sampler asked for a batch without items")
        self._loader = loader
        self._items = items
        self._parts: list[Batch | None] = [None] * len(items)
        self._left = len(items)
        self._lock = threading.Lock()
        self._tasks: list[Future[tuple[Batch, torch.cuda.Event | None] | None]] | None = None
        if pool is not None:
            self._tasks = [pool.submit(self._read, place) for place in range(len(items))]

    def result(self) -> tuple[Batch, torch.cuda.Event | None]:
        """The batch; raises what the first of its items raised."""
        if self._tasks is None:
            results = [self._read(place) for place in range(len(self._items))]
        else:
            results = [task.result() for task in self._tasks]
        return next(result for result in results if result is not None)

    def _read(self, place: int) -> tuple[Batch, torch.cuda.Event | None] | None:
        self._parts[place] = self._loader._dataset[self._items[place]]
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if not is_last:
            return None
        parts, self._parts = self._parts, []
        return self._loader._join([part for part in parts if part is not None])
