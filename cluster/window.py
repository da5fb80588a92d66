"""How much may be in flight: by count, which keeps the driver small, and by bytes, so that big units do not pile up."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.units import Unit

LEAST = 64  # as fast as everything at once, at no cost in driver memory
PER_WORKER = 2
BYTES_AHEAD = 2  # memory of units in flight, in multiples of what the cluster has


@dataclass(slots=True)
class Window:
    """Counts what is submitted and not yet settled."""

    most_units: int
    most_bytes: int
    units: int = 0
    bytes: int = 0

    def has_room(self, unit: Unit) -> bool:
        """Whether the unit may be submitted now; the first one always may."""
        if self.units == 0:
            return True
        return self.units < self.most_units and self.bytes + unit.memory <= self.most_bytes

    def enter(self, unit: Unit) -> None:
        """Count a unit in."""
        self.units += 1
        self.bytes += unit.memory

    def resize(self, other: Window) -> None:
        """Take over another window's bounds; what is in flight stays."""
        self.most_units, self.most_bytes = other.most_units, other.most_bytes

    def leave(self, unit: Unit) -> None:
        """Count a unit out."""
        self.units -= 1
        self.bytes -= unit.memory


def window_for(workers: int, total_memory: int) -> Window:
    """The window of a session: enough units to keep every worker busy, memory for two rounds."""
    return Window(most_units=max(LEAST, PER_WORKER * workers), most_bytes=max(BYTES_AHEAD * total_memory, 1))
