"""What a trainer wants to know of a volume's intensities without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOW, _HIGH = 0.01, 0.99


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of all voxels, in the volume's units.

    ``p01`` and ``p99`` are values that occur: the smallest with at least 1% and 99% of the voxels at or below them.
    """

    minimum: float
    maximum: float
    mean: float
    p01: float
    p99: float


def measure(array: NDArray[Any]) -> Statistics:
    """Exact statistics of an array (k, j, i). Raises ``ValueError`` when a value is not finite."""
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return _measure_counts(array)
    if not np.isfinite(array).all():
        raise ValueError("array: not every value is finite")
    p01, p99 = np.quantile(array, (_LOW, _HIGH), method="inverted_cdf")
    mean = array.mean(dtype=np.float64)
    return Statistics(float(array.min()), float(array.max()), float(mean), float(p01), float(p99))


def _measure_counts(array: NDArray[Any]) -> Statistics:
    """From a histogram with one bin a value: exact, and one pass whatever the order of the voxels."""
    low = int(array.min())
    counts = np.zeros(int(array.max()) - low + 1, dtype=np.int64)
    for plane in array:
        part = np.bincount((plane.astype(np.int32) - low).ravel())
        counts[: part.size] += part
    values = np.arange(low, low + counts.size, dtype=np.float64)
    cumulative = np.cumsum(counts)
    p01, p99 = (values[np.searchsorted(cumulative, share * array.size)] for share in (_LOW, _HIGH))
    return Statistics(float(values[0]), float(values[-1]), float(values @ counts) / array.size, float(p01), float(p99))
