"""The intensity fingerprint of a cohort: integer histograms of foreground voxels, so that sums have no order.

Foreground is what is no air. CT in HU: above -500, which takes body and table and leaves out air and most of the
lungs. Anything else: above a tenth of the way from the volume's minimum to its 99th percentile, by its row in the
manifest, as noise in air lies below that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 4096
AIR_HU = -500.0
AIR_SHARE = 0.1
QUANTILES = {"p00_5": 0.005, "p05": 0.05, "p50": 0.5, "p95": 0.95, "p99_5": 0.995}

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bins:
    """``count`` bins of ``width`` from ``low``; the width is a power of two, so that borders are exact."""

    low: float
    width: float
    count: int

    @property
    def values(self) -> NDArray[np.float64]:
        """The value that stands for each bin: the only one of a bin of whole numbers one wide, else its middle."""
        first = self.low if self.width == 1.0 and self.low.is_integer() else self.low + self.width / 2
        return first + self.width * np.arange(self.count, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of the foreground of a cohort, in the units of its volumes; exact up to the width of a bin."""

    voxels: int
    mean: float
    std: float
    quantiles: dict[str, float]


def choose_bins(minimum: float, maximum: float, *, whole: bool) -> Bins:
    """Bins that cover [minimum, maximum], at most ``MOST_BINS``; ``whole``: values are integers, no bin below 1 wide.

    Raises ``ValueError`` when a bound is not finite or they are out of order.
    """
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        raise ValueError("bins: expected a finite range")
    reach = maximum - minimum + (1 if whole else 0)
    width = 2.0 ** math.ceil(math.log2(reach / MOST_BINS)) if reach > 0 else 1.0
    if whole:
        width = max(width, 1.0)
    low = math.floor(minimum / width) * width
    return Bins(low, width, int((maximum - low) // width) + 1)


def air_below(modality_units: str, minimum: float, p99: float) -> float:
    """Values at or below this are air: by the rules above; ``modality_units`` is ``HU`` or another."""
    return AIR_HU if modality_units == "HU" else minimum + AIR_SHARE * (p99 - minimum)


def count_foreground(box: NDArray[Any], bins: Bins, air: float) -> Counts:
    """Histogram of the voxels above ``air``; values outside the bins count in the first or last."""
    values = box[box > air].astype(np.float64)
    places = np.clip((values - bins.low) // bins.width, 0, bins.count - 1).astype(np.int64)
    return np.bincount(places, minlength=bins.count).astype(np.int64, copy=False)


def describe_counts(counts: Counts, bins: Bins) -> Fingerprint:
    """Mean, standard deviation and quantiles of a histogram; NaN where there is no voxel.

    A quantile is the value of the first bin with at least that share of voxels at or below it.
    """
    total = int(counts.sum())
    if total == 0:
        return Fingerprint(0, math.nan, math.nan, dict.fromkeys(QUANTILES, math.nan))
    values = bins.values
    mean = float(values @ counts) / total
    spread = float(np.square(values - mean) @ counts) / total
    cumulative = np.cumsum(counts)
    found: Sequence[float] = [
        float(values[np.searchsorted(cumulative, math.ceil(share * total))]) for share in QUANTILES.values()
    ]
    return Fingerprint(total, mean, math.sqrt(spread), dict(zip(QUANTILES, found, strict=True)))
