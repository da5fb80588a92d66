"""Prove that a written volume says what it should, by reading it back from storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured, Quarantined
from curate.geometry.grid import Grid
from curate.reasons import Reason
from curate.volumes.overview import make_overview, overview_grid
from curate.volumes.read import StoredVolume, open_volume


def verify_volume(
    url: str | Path, array: NDArray[Any], grid: Grid, *, labels: Mapping[str, NDArray[np.uint8]] | None = None
) -> None:
    """Compare the stored volume with ``array`` (k, j, i), its grid and its masks, bit for bit, overview included.

    Raises ``Quarantined(VERIFICATION_FAILED)`` naming what differs, ``Unavailable`` when storage refuses.
    """
    masks = labels or {}
    try:
        stored = open_volume(url)
    except (FileNotFoundError, Misconfigured):
        raise Quarantined(Reason.VERIFICATION_FAILED, "the volume cannot be opened") from None
    if stored.grid != grid:
        raise Quarantined(Reason.VERIFICATION_FAILED, "the grid differs")
    if stored.dtype.name != array.dtype.name or not np.array_equal(stored.read(), array):
        raise Quarantined(Reason.VERIFICATION_FAILED, "the voxels differ")
    if stored.label_names != tuple(sorted(masks)):
        raise Quarantined(Reason.VERIFICATION_FAILED, "the names of the masks differ")
    for name, mask in masks.items():
        if not np.array_equal(stored.label(name), mask):
            raise Quarantined(Reason.VERIFICATION_FAILED, f"the mask '{name}' differs")
    coarse = overview_grid(grid)
    if coarse is not None:
        _verify_overview(stored, coarse, array, masks)


def _verify_overview(
    stored: StoredVolume, coarse: Grid, array: NDArray[Any], masks: Mapping[str, NDArray[np.uint8]]
) -> None:
    try:
        overview = stored.overview()
    except (FileNotFoundError, Misconfigured):
        raise Quarantined(Reason.VERIFICATION_FAILED, "the overview cannot be opened") from None
    if overview.grid != coarse or not np.array_equal(overview.read(), make_overview(array, stored.grid)):
        raise Quarantined(Reason.VERIFICATION_FAILED, "the overview differs")
    for name, mask in masks.items():
        if not np.array_equal(overview.label(name), make_overview(mask, stored.grid, is_mask=True)):
            raise Quarantined(Reason.VERIFICATION_FAILED, f"the overview of the mask '{name}' differs")
