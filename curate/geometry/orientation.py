"""Reorient an array by permuting and flipping its axes; voxels keep their values and their places in the patient.

The default target is how a radiologist hangs the images: the slice axis stays array axis 0 and each plane reads with
the patient's right on the viewer's left (axial, coronal) or the front on the viewer's left (sagittal).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry.grid import Grid

_PLANE_OF_SLICE_AXIS = {"S": "axial", "I": "axial", "L": "sagittal", "R": "sagittal", "P": "coronal", "A": "coronal"}
_RADIOLOGICAL = {"axial": "SPL", "sagittal": "LIP", "coronal": "PIL"}
_AXIS_OF_LETTER = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}


def orientation_of(grid: Grid) -> str:
    """``axial``, ``sagittal`` or ``coronal``: the plane of the images along array axis 0, obliques to the nearest."""
    return _PLANE_OF_SLICE_AXIS[grid.axis_codes[0]]


def radiological_code(grid: Grid) -> str:
    """The display order for the plane of axis 0: axial ``SPL``, sagittal ``LIP``, coronal ``PIL``.

    Letters say towards which side the indices (k, j, i) grow.
    """
    return _RADIOLOGICAL[orientation_of(grid)]


def orient(array: NDArray[Any], grid: Grid, target: str = "radiological") -> tuple[NDArray[Any], Grid]:
    """Permute and flip ``array`` (k, j, i) so that its axis codes read ``target``.

    ``target`` is ``radiological`` or three letters, one of each pair L/R, P/A, S/I, for example ``SPL``. Nothing is
    interpolated: an oblique volume goes to the nearest order and keeps its angles in the affine. The array returned is
    a view. Raises ``Misconfigured`` for any other target and ``ValueError`` when the array does not fit the grid.
    """
    if array.shape != grid.shape:
        raise ValueError("array: its shape is not that of the grid")
    code, current, order = _target_code(grid, target), grid.axis_codes, axis_order(grid, target)
    is_flipped = [current[source] != letter for source, letter in zip(order, code, strict=True)]

    columns = grid.affine[:3, order].copy()
    origin = grid.affine[:3, 3].copy()
    for axis, source in enumerate(order):
        if is_flipped[axis]:
            origin += columns[:, axis] * (grid.shape[source] - 1)
            columns[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, origin

    view = array.transpose(order)[tuple(slice(None, None, -1) if flip else slice(None) for flip in is_flipped)]
    k, j, i = (grid.shape[source] for source in order)
    return view, Grid((k, j, i), affine)


def axis_order(grid: Grid, target: str = "radiological") -> tuple[int, int, int]:
    """Which axis of ``grid`` becomes axis 0, 1 and 2 of what ``orient`` gives. Raises as ``orient`` does."""
    present = [_AXIS_OF_LETTER[letter] for letter in grid.axis_codes]
    k, j, i = (present.index(_AXIS_OF_LETTER[letter]) for letter in _target_code(grid, target))
    return k, j, i


def _target_code(grid: Grid, target: str) -> str:
    return radiological_code(grid) if target == "radiological" else _parse_code(target)


def _parse_code(target: str) -> str:
    axes = sorted(_AXIS_OF_LETTER.get(letter, -1) for letter in target)
    if axes != [0, 1, 2]:
        raise Misconfigured(
            "orientation: expected 'radiological' or three letters, one of each pair L/R, P/A, S/I, such as 'SPL'"
        )
    return target
