"""From a stack and its decoded slices to voxels as acquired: Hounsfield units for CT, stored values for MR.

CT: see ``curate.dicom.hounsfield``. MR: stored values in their own type; MONOCHROME1 is turned over about the middle of
the stored range, so that bright is bright; if the slope or intercept differs between slices, all are brought to the
finest slope of the stack (vendors scale each slice by itself). Padding (PS3.3 C.7.5.1.1.2) becomes AIR_HU in CT and 0
in MR, before anything interpolates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.dicom.frames import DecodedSlice
from curate.dicom.hounsfield import AIR_HU, write_hounsfield
from curate.dicom.stacks import Stack
from curate.errors import Rejected
from curate.geometry import Grid, axis_order, normalise, orient, resample
from curate.geometry.placement import straighten
from curate.reasons import Reason

Units = Literal["HU", "stored"]
_KEEP = (None, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels on a regular, upright grid. ``flags`` names what was changed of the stored values, sorted; what the stack
    was like, ``stack.flags``."""

    array: NDArray[np.integer]
    grid: Grid
    modality: str
    units: Units
    stack: Stack
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Acquired:
    """Voxels of one stack, (slice, row, column), each slice at its place in ``stack.placement``."""

    array: NDArray[np.integer]
    modality: str
    units: Units
    stack: Stack
    flags: tuple[str, ...] = ()

    def normalise(
        self,
        spacing_mm: Sequence[float | None] = _KEEP,
        *,
        orientation: str | None = None,
        antialias: bool = True,
        threads: int = 1,
    ) -> Volume:
        """Bring it to a regular, upright grid: one interpolation, none where nothing changes.

        ``orientation``: as ``curate.geometry.orient`` takes it, None keeps (slice, row, column). ``spacing_mm`` along
        the axes of the result; None keeps the pixel spacing, or takes the median distance of slices. Slices that
        lean, lie unevenly or are missing are interpolated on their true positions; outside them is air (CT) or 0.
        A result that keeps everything shares this array.
        Raises ``Misconfigured`` for an orientation or spacing that is none.
        """
        placement, grid = self.stack.placement, self.stack.grid
        if grid is not None and orientation is None and all(spacing is None for spacing in spacing_mm):
            array = self.array
        elif grid is not None:
            array, grid = (self.array, grid) if orientation is None else orient(self.array, grid, orientation)
            array, grid = resample(array, grid, spacing_mm, antialias=antialias, threads=threads)
        else:
            fill = AIR_HU if self.units == "HU" else 0
            order = (0, 1, 2)
            if orientation is not None:
                order = axis_order(straighten(placement, _KEEP).grid, orientation)
            wanted: list[float | None] = [None, None, None]
            for axis, source in enumerate(order):
                wanted[source] = spacing_mm[axis]
            array, grid = normalise(self.array, placement, wanted, antialias=antialias, fill=fill, threads=threads)
            if orientation is not None:
                array, grid = orient(array, grid, orientation)
        return Volume(array, grid, self.modality, self.units, self.stack, self.flags)


class Assembly:
    """The voxels of one stack while its slices arrive, in any order: each goes to its place at once, and is forgotten.

    The images of ``stack.repeats`` follow the slices: number len(stack.slices) + n is the n-th of them. Raises
    Rejected(WRONG_MODALITY) for anything but CT and MR.
    """

    def __init__(self, stack: Stack, modality: str) -> None:
        if modality not in ("CT", "MR"):
            raise Rejected(Reason.WRONG_MODALITY, "only CT and MR are assembled")
        self.stack, self.modality = stack, modality
        self._placed: dict[int, _Placed] = {}
        self._array: NDArray[np.integer] | None = None

    def place(self, number: int, each: DecodedSlice) -> None:
        """Raises Rejected: UNDECODABLE_PIXELS for another size or type, MISSING_RESCALE for CT without its scale."""
        row = self._row(number, np.dtype(np.int16) if self.modality == "CT" else each.pixels.dtype)
        flags = write_slice(number, each, self.modality, row)
        self._placed[number] = _Placed(row, (each.slope, each.intercept), frozenset(flags))

    def adopt(self, number: int, other: Assembly, place: int) -> None:
        """Take over a slice that another assembly of the same modality holds."""
        placed = other._placed[place]
        row = self._row(number, placed.row.dtype)
        row[:] = placed.row
        self._placed[number] = _Placed(row, placed.scale, placed.flags)

    def finish(self) -> Acquired:
        """Raises Rejected: TRUNCATED_FILE when slices are not there, REPEATED_POSITION when an image at the position of
        another has other values, UNDECODABLE_PIXELS for scales that no integer type holds."""
        depth = len(self.stack.slices)
        there = sum(number < depth for number in self._placed)
        if there < depth or self._array is None:
            raise Rejected(Reason.TRUNCATED_FILE, f"{there} of {depth} slices are there")
        self._check_copies()
        flags = {flag for number in range(depth) for flag in self._placed[number].flags}
        array = self._array
        if self.modality == "MR":
            scales = [(slope or 1.0, intercept or 0.0) for slope, intercept in self._scales()]
            if len(set(scales)) > 1:
                flags.add("slices_rescaled")
                array = _level(array, scales)
        if self.stack.repeats:
            flags.add("copies_dropped")
        units: Units = "HU" if self.modality == "CT" else "stored"
        return Acquired(array, self.modality, units, self.stack, tuple(sorted(flags)))

    def _row(self, number: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        if self._array is None:
            self._array = np.empty(self.stack.placement.shape, dtype)
        if dtype != self._array.dtype:
            raise Rejected(Reason.UNDECODABLE_PIXELS, f"slice {number + 1} has another pixel type than the others")
        return self._array[number] if number < len(self._array) else np.empty(self._array.shape[1:], dtype)

    def _scales(self) -> list[tuple[float | None, float | None]]:
        return [self._placed[number].scale for number in range(len(self.stack.slices))]

    def _check_copies(self) -> None:
        depth, repeats = len(self.stack.slices), self.stack.repeats
        for number, (k, _) in enumerate(repeats, start=depth):
            one, copy = self._placed[k], self._placed[number]
            if one.scale != copy.scale or not np.array_equal(one.row, copy.row):
                detail = f"{len(repeats) + depth} different images at {depth} positions"
                raise Rejected(Reason.REPEATED_POSITION, detail)


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    row: NDArray[Any]  # (rows, columns)
    scale: tuple[float | None, float | None]  # declared slope and intercept
    flags: frozenset[str]


def write_slice(number: int, each: DecodedSlice, modality: str, row: NDArray[Any]) -> set[str]:
    """Fill ``row`` (rows, columns) with slice ``number`` of a stack: HU for CT, else stored values -> what was changed.

    Raises as ``Assembly.place`` does.
    """
    if each.pixels.shape != row.shape:
        raise Rejected(Reason.UNDECODABLE_PIXELS, f"slice {number + 1} does not fit its stack")
    if modality != "CT":
        return _write_stored(each, row)
    if each.slope is None or each.intercept is None or each.slope == 0:
        raise Rejected(Reason.MISSING_RESCALE, f"slice {number + 1}")
    return write_hounsfield(each, each.slope, each.intercept, row)


def _write_stored(each: DecodedSlice, row: NDArray[np.integer]) -> set[str]:
    """Fill ``row`` with MR values -> what was changed."""
    flags: set[str] = set()
    row[:] = each.pixels
    if each.photometric.upper() == "MONOCHROME1":
        flags.add("monochrome1_inverted")
        row[:] = _turn_over(each)
    outside = _outside(each)
    if outside is not None:
        flags.add("padding_replaced")
        row[outside] = 0
    return flags


def _turn_over(each: DecodedSlice) -> NDArray[np.integer]:
    """Stored value v -> lowest + highest - v of the stored range."""
    is_signed = each.pixels.dtype.kind == "i"
    turned: NDArray[np.integer] = each.pixels.dtype.type(-1 if is_signed else 2**each.bits_stored - 1) - each.pixels
    return turned


def _level(array: NDArray[np.integer], scales: list[tuple[float, float]]) -> NDArray[np.integer]:
    """Slices of different scale -> one scale, that of the finest slope; the smallest integer type that holds them."""
    finest = min((abs(slope), slope) for slope, _ in scales)[1]
    base = min(intercept for _, intercept in scales)
    levelled = np.empty(array.shape, np.int64)
    for k, (slope, intercept) in enumerate(scales):
        levelled[k] = np.rint((array[k] * np.float64(slope) + (intercept - base)) / finest)
    low, high = int(levelled.min()), int(levelled.max())
    for dtype in (np.uint16, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return levelled.astype(dtype)
    raise Rejected(Reason.UNDECODABLE_PIXELS, "the slices' scales differ too much for one volume")


def _outside(each: DecodedSlice) -> NDArray[np.bool_] | None:
    """Where the slice holds padding, or None if it has none."""
    if each.outside is not None:
        return each.outside if each.outside.any() else None
    if each.padding is None:
        return None
    low, high = each.padding
    mask: NDArray[np.bool_] = (each.pixels >= low) & (each.pixels <= high)
    return mask if mask.any() else None
