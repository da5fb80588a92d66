"""What is out at the moment: units that an executor has started and that have not come back.

The executor says ``started`` and ``ended``; whoever shows progress reads. Safe between threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cluster.units import Unit


class Flight:
    """Units in flight, by id, and since when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def started(self, unit: Unit) -> None:
        """The unit was handed to a worker, or to the queue of the cluster; again after a loss."""
        with self._lock:
            self._since[unit.id] = self._clock()

    def ended(self, unit_id: str) -> None:
        """The unit is settled, or lost; what is not in flight may end."""
        with self._lock:
            self._since.pop(unit_id, None)

    @property
    def units(self) -> int:
        """How many are out."""
        return len(self._since)

    @property
    def oldest_seconds(self) -> float:
        """How long the one that went out first has been out; 0 when none is."""
        with self._lock:
            return self._clock() - min(self._since.values()) if self._since else 0.0
