"""Leave in good order: told to go, start nothing more, finish what fits the grace, and say "run me again".

SIGTERM comes from schedulers and from cloud machines that are taken away, SIGUSR1 from Slurm
(``--signal=B:USR1@120``). The second signal, or Ctrl-C, leaves at once: what is committed stays, the rest is for the
next run.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from curate.errors import CurateError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
GRACE_SECONDS = 60.0


class Drained(CurateError):
    """The run was told to stop and has: everything that was finished is committed, and the same command goes on."""


class Drain:
    """Whether somebody told this process to go, and how long it may still take."""

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self.grace_seconds = grace_seconds
        self._until: float | None = None

    @property
    def is_asked(self) -> bool:
        """Nothing more may be started."""
        return self._until is not None

    @property
    def seconds_left(self) -> float | None:
        """Until what still runs is given up; None when nobody asked."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def ask(self) -> None:
        """Begin to leave; the first call sets the time."""
        if self._until is None:
            self._until = time.monotonic() + self.grace_seconds

    def check(self) -> None:
        """Raises ``Drained`` when nothing more may be started."""
        if self.is_asked:
            raise Drained("told to stop: what is finished is committed; the same command goes on from there")

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[Drain]:
        """Hear SIGTERM and SIGUSR1 (in the main thread; elsewhere nothing is heard). A second one leaves at once."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return

        def hear(number: int, frame: FrameType | None) -> None:
            if self.is_asked:
                raise SystemExit(128 + number)
            self.ask()

        previous = {number: signal.signal(number, hear) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
