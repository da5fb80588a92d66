"""``orient`` and ``resample`` of a volume whose slices come one after another, and are never all in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from curate.geometry.grid import Grid
from curate.geometry.orientation import orient
from curate.geometry.resample import axis_operators, axis_steps, resampled_grid
from curate.geometry.separable import as_stored, make_weighing

_TOGETHER = 8  # slices that are weighed in one call: few enough to stay in the caches


class SliceResampler:
    """Gives ``resample(*orient(array, grid, orientation), spacing_mm, antialias=...)``, bit for bit, of an array
    (slices, rows, columns) of which a few slices are held at a time.

    Ask ``slice(k)`` for k = 0, 1, 2, ... and fill what it gives before asking for the next; ``finish`` gives the array,
    which lies on ``grid``. ``dtype``: integers of up to 16 bits. Raises ``Misconfigured`` for an orientation or
    spacing that is none.
    """

    def __init__(
        self,
        dtype: DTypeLike,
        grid: Grid,
        spacing_mm: Sequence[float | None],
        *,
        orientation: str | None = None,
        antialias: bool = True,
    ) -> None:
        stand_in = np.empty(grid.shape, dtype)  # only how it lies in memory counts: never touched, it has no pages
        view, turned = (stand_in, grid) if orientation is None else orient(stand_in, grid, orientation)
        self.grid = resampled_grid(turned, spacing_mm)
        operators = axis_operators(turned, self.grid, stand_in.dtype, order=1, antialias=antialias)
        stored = as_stored(view)
        self._weighing = make_weighing(stored, operators, stand_in.dtype)
        slices, rows, columns = grid.shape
        self._ring = np.empty((min(self._weighing.taps + _TOGETHER, slices), rows, columns), dtype)
        self._planes = self._weighing.planes(columns)
        self._there = 0  # slices when outputs were made last
        self._made = 0  # outputs

    @staticmethod
    def is_for(grid: Grid, spacing_mm: Sequence[float | None]) -> bool:
        """Whether a volume can be streamed, and is changed at all (else ``resample`` copies it)."""
        if min(grid.shape) < 2:  # memory has no order along an axis of 1
            return False
        return any(step is not None for step in axis_steps(grid, resampled_grid(grid, spacing_mm)))

    def slice(self, k: int) -> NDArray[Any]:
        """Where slice ``k`` (rows, columns) goes, C order; the ones before it are there."""
        if k - self._there >= _TOGETHER:
            self._make(k)
        place: NDArray[Any] = self._ring[k % len(self._ring)]
        return place

    def finish(self) -> NDArray[Any]:
        """The array (k, j, i), once every slice is there."""
        self._make(int(self._weighing.needs[-1]) + 1)
        return self._weighing.result

    def _make(self, there: int) -> None:
        last = int(np.searchsorted(self._weighing.needs, there))
        self._weighing.run(self._ring, self._made, last, self._planes)
        self._there, self._made = there, last
