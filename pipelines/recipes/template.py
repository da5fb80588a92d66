"""What a spine usually looks like: used to doubt what a locator found, and to place what it did not.

A template is the mean place of every object in the training studies, relative to the middle of the volume. Shifted onto
the objects that were found, it says where the others must lie: odd numbers of vertebrae in view, a series that is
missing and a level that the locator did not recognise come out as places that are named as estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_NEAR_MM = 14.0  # an object is placed by those found about this near to it
_DOUBT_MM = 25.0  # further from where the others say it must be, a find is not believed
_ENOUGH = 0.5  # confidence from which a find counts


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Objects of one study. ``places_mm``: (n, 3) LPS, NaN where nobody knows; ``is_found``: (n,) seen, not estimated.

    ``doubted``: (n,) seen where it cannot be, and placed by the others instead.
    """

    places_mm: Points
    is_found: NDArray[np.bool_]
    doubted: NDArray[np.bool_]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(n,): has a place, seen or estimated."""
        return np.asarray(np.isfinite(self.places_mm).all(axis=1), dtype=np.bool_)


def locate(answers: Points, template: Points) -> Located:
    """``answers``: (n, 4), LPS millimetres and confidence 0..1 of each object, -1 for one that is never looked for and
    always placed by the others; ``template``: (n, 3), NaN if unknown.

    What was found with confidence stands, unless it contradicts most of the others. Without a single find nothing has a
    place.
    """
    places = answers[:, :3].copy()
    seen = (answers[:, 3] >= _ENOUGH) & np.isfinite(places).all(axis=1)
    usable = seen & np.isfinite(template).all(axis=1)
    doubted = np.zeros(len(places), dtype=bool)
    while usable.sum() > 2:  # with two that contradict each other, who is right?
        off = np.array([_misfit(n, places, template, usable) for n in np.flatnonzero(usable).tolist()])
        if off.max() <= _DOUBT_MM:
            break
        worst = np.flatnonzero(usable)[int(off.argmax())]
        doubted[worst], usable[worst] = True, False
    found = seen & ~doubted
    places[~found] = np.nan
    for n in np.flatnonzero(~found).tolist():
        if usable.any() and np.isfinite(template[n]).all():
            places[n] = _expected(n, places, template, usable)
    by_design = (answers[:, 3] < 0) & np.isfinite(places).all(axis=1)
    return Located(places, found | by_design, doubted)


def _misfit(n: int, places: Points, template: Points, usable: NDArray[np.bool_]) -> float:
    """Distance of an object from the place that the median of all others' shifts gives it."""
    others = usable.copy()
    others[n] = False
    shift = np.median(places[others] - template[others], axis=0)
    return float(np.linalg.norm(places[n] - template[n] - shift))


def _expected(n: int, places: Points, template: Points, usable: NDArray[np.bool_]) -> Points:
    away = np.linalg.norm(template[usable] - template[n], axis=1)
    weights = np.exp(-((away**2) - (away**2).min()) / (2 * _NEAR_MM**2))
    shift: Points = (weights[:, None] * (places[usable] - template[usable])).sum(axis=0) / weights.sum()
    expected: Points = template[n] + shift
    return expected
