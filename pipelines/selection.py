"""Which items of a plan a run tries: all that no receipt settles, some of those, or also what failed before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.ledger import AGAIN
from cluster.units import Unit, make_unit
from curate.errors import Misconfigured
from curate.reasons import Reason

SHORTEST_KEY = 6


@dataclass(frozen=True)
class Selection:
    """``again``: quarantined items are tried again for these reasons. ``only``: keys or their beginnings; none: all."""

    again: frozenset[Reason] = AGAIN
    only: tuple[str, ...] = ()

    def wants(self, key: str) -> bool:
        """Whether an item may be tried."""
        return not self.only or key.startswith(self.only)

    def of(self, units: Sequence[Unit]) -> tuple[Unit, ...]:
        """The units with the wanted items alone; a unit of which all are wanted stays as it is."""
        kept = ((unit, [item for item in unit.items if self.wants(item.key)]) for unit in units)
        return tuple(make_unit(unit.stage, items, unit.memory) for unit, items in kept if items)

    def check(self, series_keys: Iterable[str]) -> None:
        """Raises ``Misconfigured`` for a beginning that no series has: somebody mistyped it."""
        missing = set(self.only)
        for key in series_keys:
            if not missing:
                return
            missing -= {start for start in missing if key.startswith(start)}
        if missing:
            raise Misconfigured(f"--only: no series of the archives has a key that begins with {min(missing)}")


EVERYTHING = Selection()


def select(*, retry: bool, reasons: Sequence[str], only: Sequence[str]) -> Selection:
    """From what the command line says. Raises ``Misconfigured`` for an unknown reason, and for a key that is too short.

    ``retry`` without ``reasons`` is for every reason; a rejection is final and never tried again.
    """
    codes = {reason.value: reason for reason in Reason}
    if reasons and not retry:
        raise Misconfigured("--reason goes with --retry-quarantined")
    if unknown := sorted(set(reasons) - set(codes)):
        raise Misconfigured(f"--reason: there is no reason {', '.join(unknown)}")
    if short := [key for key in only if len(key) < SHORTEST_KEY]:
        raise Misconfigured(f"--only {short[0]}: a series key, or at least its first {SHORTEST_KEY} characters")
    chosen = frozenset(codes[code] for code in reasons) if reasons else frozenset(Reason)
    return Selection(AGAIN | chosen if retry else AGAIN, tuple(only))
