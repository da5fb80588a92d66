"""What happened when: JSON lines under ``events/`` in the store, for people. Never hashed, never released.

The clock is allowed here and nowhere else in a store. Events name units, keys and kinds of errors; no paths, no texts
of errors, no hosts. They are published in segments of a bounded size, create-if-absent like all else, so that object
stores can hold them and nothing that stands is changed.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeAlias

from curate.errors import CurateError, Unavailable
from curate.identity import canonical_json
from curate.storage import Store

Value: TypeAlias = str | int | float
Event: TypeAlias = Mapping[str, Value]
Observer: TypeAlias = Callable[[str, Event], None]

FOLDER = "events"
SEGMENT_EVENTS = 500
SEGMENT_BYTES = 1 << 20
SEGMENT_SECONDS = 5.0
MOST_HELD = 100  # segments, while storage refuses them


class DamagedEvents(CurateError):
    """A segment that cannot be read: the storage lost bytes, or something else wrote there."""


class Silent:
    """An event log that keeps nothing."""

    def write(self, kind: str, **fields: Value) -> None:
        """Drop the event."""


class EventLog:
    """The events of one run, a context manager: leaving it publishes the rest.

    A run's first event is ``run_started``; leaving adds ``run_ended`` with how it ended and how many events of each
    kind there were. A killed process loses the last seconds of its events, never a receipt. Segments that storage
    refuses are held and tried again with the next one; of more than ``MOST_HELD`` the oldest are dropped, and
    ``run_ended`` says how many: a run does not end because of its log. ``observers`` are told every event at once.
    """

    def __init__(self, store: Store, *, observers: tuple[Observer, ...] = ()) -> None:
        began = datetime.now(UTC)
        self.run = f"{began.strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(4)}"
        self._store = store
        self._observers = observers
        self._lines: list[bytes] = []
        self._bytes = 0
        self._held: deque[tuple[str, bytes]] = deque()
        self._segments = 0
        self._dropped = 0
        self._counts: Counter[str] = Counter()
        self._began = self._flushed = time.monotonic()
        self._latest = began

    def write(self, kind: str, **fields: Value) -> None:
        """Add one event with the time of now; never earlier than the one before, whatever the clock does."""
        if not self._counts and kind != "run_started":
            self.write("run_started")
        self._latest = max(self._latest, datetime.now(UTC))
        line = canonical_json({"time": self._latest.isoformat(timespec="milliseconds"), "event": kind, **fields})
        self._lines.append(line)
        self._bytes += len(line) + 1
        self._counts[kind] += 1
        for observe in self._observers:
            observe(kind, fields)
        is_full = len(self._lines) >= SEGMENT_EVENTS or self._bytes >= SEGMENT_BYTES
        if is_full or time.monotonic() - self._flushed > SEGMENT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Publish what is held, as far as storage takes it."""
        self._flushed = time.monotonic()
        if self._lines:
            self._held.append((f"{FOLDER}/{self.run}/{self._segments:06d}.jsonl", b"\n".join([*self._lines, b""])))
            self._segments += 1
            self._lines.clear()
            self._bytes = 0
        with contextlib.suppress(Unavailable):
            while self._held:
                self._store.put_new(*self._held[0])
                self._held.popleft()
        while len(self._held) > MOST_HELD:
            self._held.popleft()
            self._dropped += 1

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._counts:
            return
        ending = {"ended": "done" if kind is None else kind.__name__}
        seconds = round(time.monotonic() - self._began, 3)
        counts = {f"events_{name}": count for name, count in sorted(self._counts.items())}
        lost = {"segments_dropped": self._dropped} if self._dropped else {}
        self.write("run_ended", seconds=seconds, **ending, **counts, **lost)
        self.flush()


def runs(store: Store) -> tuple[str, ...]:
    """Names of the runs that have events, from the first to the last."""
    return tuple(sorted({key.split("/")[1] for key in store.list(FOLDER) if key.count("/") == 2}))


def read_events(store: Store, run: str | None = None) -> Iterator[dict[str, Value]]:
    """Events of a run, or of all, by time; ``run`` is added to each. Holds one segment a run at a time.

    Raises ``DamagedEvents`` where a segment is not lines of events, ``Unavailable`` when storage refuses.
    """
    segments: dict[str, list[str]] = {}
    for key in store.list(FOLDER):
        if key.count("/") == 2 and (run is None or key.split("/")[1] == run):
            segments.setdefault(key.split("/")[1], []).append(key)
    streams = (_events_of(store, name, sorted(keys)) for name, keys in sorted(segments.items()))
    yield from heapq.merge(*streams, key=lambda event: str(event["time"]))


def _events_of(store: Store, run: str, keys: list[str]) -> Iterator[dict[str, Value]]:
    for key in keys:
        for line in store.get(key).splitlines():
            try:
                yield {"run": run, "time": "", **json.loads(line)}
            except (ValueError, TypeError):
                raise DamagedEvents(f"{key} cannot be read") from None
