"""Many objects, one after another, without waiting for each: over a network every request costs a round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from curate.storage.opening import is_url

REQUESTS = 16  # at a time
_AHEAD = 2 * REQUESTS  # objects that are held before they are asked for


class Gettable(Protocol):
    """What is asked of a store here."""

    @property
    def url(self) -> str: ...

    def get(self, key: str) -> bytes: ...


def get_each(store: Gettable, keys: Iterable[str]) -> Generator[tuple[str, bytes]]:
    """Key and object of each key, in the order given; of a bucket, ``REQUESTS`` at a time, a few ahead of the caller.

    Raises as ``Store.get`` does, when it is that key's turn.
    """
    if not is_url(store.url):
        yield from ((key, store.get(key)) for key in keys)
        return
    waiting: deque[tuple[str, Future[bytes]]] = deque()
    with ThreadPoolExecutor(REQUESTS) as threads:
        try:
            for key in keys:
                waiting.append((key, threads.submit(store.get, key)))
                if len(waiting) >= _AHEAD:
                    first, content = waiting.popleft()
                    yield first, content.result()
            while waiting:
                first, content = waiting.popleft()
                yield first, content.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
