"""What happened when: JSON lines under ``events/`` in the store, for people. Never hashed, never released.

The clock is allowed here and nowhere else in a store. Events name units, keys and kinds of errors; no paths, no texts
of errors, no hosts. They are published in segments, create-if-absent like all else, so object stores can hold them.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from types import TracebackType

from curate.identity import canonical_json
from curate.storage import Store

FOLDER = "events"
SEGMENT_EVENTS = 500
SEGMENT_SECONDS = 5.0


class Silent:
    """An event log that keeps nothing."""

    def write(self, kind: str, **fields: str | int | float) -> None:
        """Drop the event."""


class EventLog:
    """The events of one run, a context manager: leaving it publishes the rest.

    A killed process loses the last seconds of its events, never a receipt. Raises ``Unavailable`` when a segment cannot
    be written.
    """

    def __init__(self, store: Store) -> None:
        began = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._prefix = f"{FOLDER}/{began}-{secrets.token_hex(4)}"
        self._store = store
        self._lines: list[bytes] = []
        self._segments = 0
        self._flushed = time.monotonic()

    def write(self, kind: str, **fields: str | int | float) -> None:
        """Add one event with the time of now."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._lines.append(canonical_json({"time": now, "event": kind, **fields}))
        if len(self._lines) >= SEGMENT_EVENTS or time.monotonic() - self._flushed > SEGMENT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Publish what is held."""
        self._flushed = time.monotonic()
        if self._lines:
            self._store.put_new(f"{self._prefix}/{self._segments:06d}.jsonl", b"\n".join([*self._lines, b""]))
            self._segments += 1
            self._lines.clear()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
