"""Whether a mask lies on the bones of its images: what a flipped or shifted file gives away (NIfTI is RAS, we are LPS).

Three questions, each with a limit that says how much is forgiven: does the mask lie in the field of view, do its
vertebrae descend towards the feet, and does the image agree. A CT agrees when labelled voxels are denser than what lies
beside them, and when no mirror image and no shift of the mask is clearly better. A spine that is its own mirror image
agrees with its mirrored mask too: no image can tell which side is left then, and the mask is off by no more than the
asymmetry that was not seen. Images other than CT have no such scale; of them only place and order are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from curate.geometry import Grid

SHARE = 0.5  # a mask is drawn on one series; another of the study that holds less of it shows another part of the body
# Phantoms: 440 to 470 HU in place. Of their 38 mirror images and shifts none has more than 0.7 of that, so that a mask
# that is one of them finds a place at least 1.4 times as good. Thin bone in soft tissue still has some 150 HU.
DENSER_HU = 80.0
BETTER = 1.2
STEPS_MM = (4.0, 8.0, 16.0, 32.0)  # less than about 3 mm of shift goes unseen
SAMPLED_VOXELS = 20_000
_COMPARED = 1_500  # labelled voxels at which the image is looked at, and the places beside them
_BESIDE_MM = 4.0
_CLIPPED_HU = (-150.0, 800.0)  # air beside the spine and metal in it say nothing of where bone is
_AXES = ("left to right", "front to back", "top to bottom")

Points = NDArray[np.float64]


def find_fault(
    mask: NDArray[np.uint8],
    mask_grid: Grid,
    values: NDArray[np.integer],
    grid: Grid,
    names: Mapping[int, str],
    *,
    is_ct: bool,
) -> str | None:
    """Why a mask (k, j, i) on its own grid is not that of an image (k, j, i), or None.

    ``values``: Hounsfield units where ``is_ct``; of other images only the place is judged. ``names``: label values of
    vertebrae, from the head to the feet.
    """
    indices = sample_labelled(mask)
    places = mask_grid.to_patient(indices)
    inside = float(grid.contains(grid.to_index(places)).mean()) if len(indices) else 0.0
    if inside == 0.0:
        return "no labelled voxel lies inside the volume"
    if inside < SHARE:
        return f"{inside:.0%} of the labelled voxels lie inside the volume"
    labels = mask[tuple(indices.T)]
    fault = _order_fault(labels, places, names)
    return fault or (_bone_fault(mask, mask_grid, indices, values, grid) if is_ct else None)


def sample_labelled(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, 3) indices of labelled voxels, evenly drawn, 20,000 at most."""
    labelled = np.flatnonzero(mask)
    step = max(1, -(-len(labelled) // SAMPLED_VOXELS))
    return np.stack(np.unravel_index(labelled[::step], mask.shape), axis=-1)


def _order_fault(labels: NDArray[np.uint8], places: Points, names: Mapping[int, str]) -> str | None:
    there = [label for label in names if (labels == label).any()]
    heights = {label: float(places[labels == label, 2].mean()) for label in there}
    rising = [(upper, lower) for upper, lower in pairwise(there) if heights[lower] >= heights[upper]]
    if not rising:
        return None
    upper, lower = rising[0]
    return f"{names[lower]} lies above {names[upper]}; {len(rising)} of {len(there) - 1} steps run upwards"


def _bone_fault(
    mask: NDArray[np.uint8], mask_grid: Grid, indices: NDArray[np.int64], values: NDArray[np.integer], grid: Grid
) -> str | None:
    chosen = indices[:: -(-len(indices) // _COMPARED)]
    labelled, beside = mask_grid.to_patient(chosen), mask_grid.to_patient(_beside(mask, mask_grid, chosen))
    in_place = _contrast(labelled, beside, values, grid)
    if in_place is None:
        return None
    if in_place < DENSER_HU:
        return f"labelled voxels are only {in_place:.0f} HU denser than what lies beside them"
    for word, signs, shift in _alternatives(mask_grid):
        other = _contrast(labelled * signs + shift, beside * signs + shift, values, grid)
        if other is not None and other > BETTER * in_place:
            return f"{word} it would lie on bone: {other:.0f} instead of {in_place:.0f} HU above what lies beside"
    return None


def _beside(mask: NDArray[np.uint8], mask_grid: Grid, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Voxels without a label a few millimetres from labelled ones, along the axes of the mask."""
    found = []
    for axis, spacing in enumerate(mask_grid.spacing_mm):
        for sign in (-1, 1):
            moved = indices.copy()
            moved[:, axis] += sign * max(1, round(_BESIDE_MM / spacing))
            moved = moved[((moved >= 0) & (moved < mask.shape)).all(axis=1)]
            found.append(moved[mask[tuple(moved.T)] == 0])
    return np.concatenate(found)


def _contrast(labelled: Points, beside: Points, values: NDArray[np.integer], grid: Grid) -> float | None:
    """Mean Hounsfield units of the labelled points above those of the others; None where half of them are outside."""
    means = []
    for points in (labelled, beside):
        indices = np.rint(grid.to_index(points)).astype(np.int64)
        inside = ((indices >= 0) & (indices < values.shape)).all(axis=1)
        if not len(points) or inside.mean() < SHARE:
            return None
        means.append(float(np.clip(values[tuple(indices[inside].T)], *_CLIPPED_HU).mean()))
    return means[0] - means[1]


def _alternatives(mask_grid: Grid) -> Iterator[tuple[str, Points, Points]]:
    """Where else a mask might belong, as points x signs + shift: mirrored, as flipped arrays and lost signs do it, or
    moved."""
    centre = mask_grid.to_patient((np.array(mask_grid.shape) - 1) / 2)
    for turn in product((1.0, -1.0), repeat=3):
        if min(turn) < 0:
            signs = np.array(turn)
            axes = " and ".join(name for name, sign in zip(_AXES, turn, strict=True) if sign < 0)
            yield f"mirrored {axes} about its middle", signs, centre * (1 - signs)
            yield f"mirrored {axes} about the origin", signs, np.zeros(3)
    for axis, step, sign in product(range(3), STEPS_MM, (-1, 1)):
        yield f"shifted by {step:.0f} mm", np.ones(3), np.eye(3)[axis] * step * sign
