"""From a stack and its decoded slices to voxels as acquired: Hounsfield units for CT, stored values for MR.

CT: HU = stored x slope + intercept, slice by slice (PS3.3 C.11.1), rounded half to even and saturated to int16.
MONOCHROME1 changes nothing there, because HU do not depend on how a screen shows them. MR: stored values in their own
type; MONOCHROME1 is turned over about the middle of the stored range, so that bright is bright; if the slope or
intercept differs between slices, all are brought to the finest slope of the stack (vendors scale each slice by
itself). Padding (PS3.3 C.7.5.1.1.2) becomes AIR_HU in CT and 0 in MR, before anything interpolates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curate.dicom.frames import DecodedSlice
from curate.dicom.stacks import Stack
from curate.errors import Rejected
from curate.geometry import Grid, axis_order, normalise, orient, resample
from curate.geometry.placement import straighten
from curate.reasons import Reason

AIR_HU = -1024  # where a 12-bit scanner's scale starts: files that pad with their lowest value stay as they are
Units = Literal["HU", "stored"]
_KEEP = (None, None, None)
_HIGHEST_HU = 32767  # of any scale, extended ones included
_AIR_AT_ZERO = -1000  # an intercept from here down stores air as about 0
_MANY = 16  # pixels


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
        Raises ``Misconfigured`` for an orientation or spacing that is none.
        """
        placement, grid = self.stack.placement, self.stack.grid
        if grid is not None:
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


def assemble(
    stack: Stack, decoded: Iterable[DecodedSlice], modality: str, *, repeats: Iterable[DecodedSlice] = ()
) -> Acquired:
    """Place slices, given in the order of the stack, into one array: int16 HU for CT, the stored type for MR.

    ``repeats``: the images of ``stack.repeats`` in their order, which must be copies. Reads one slice at a time. Raises
    Rejected: MISSING_RESCALE for CT without slope and intercept, UNDECODABLE_PIXELS for a slice of another size or
    type, TRUNCATED_FILE when slices run out, WRONG_MODALITY for anything but CT and MR, REPEATED_POSITION when an image
    at the position of another has other pixels.
    """
    if modality not in ("CT", "MR"):
        raise Rejected(Reason.WRONG_MODALITY, "only CT and MR are assembled")
    kept: dict[int, DecodedSlice] = {}
    slices = _keep(_check_sizes(stack, decoded), {k for k, _ in stack.repeats}, kept)
    units: Units = "HU" if modality == "CT" else "stored"
    array, flags = _assemble_ct(stack, slices) if modality == "CT" else _assemble_mr(stack, slices)
    if stack.repeats:
        _check_copies(stack, kept, repeats)
        flags = tuple(sorted((*flags, "copies_dropped")))
    return Acquired(array, modality, units, stack, flags)


def _keep(slices: Iterable[DecodedSlice], wanted: set[int], kept: dict[int, DecodedSlice]) -> Iterator[DecodedSlice]:
    for k, each in enumerate(slices):
        if k in wanted:
            kept[k] = each
        yield each


def _check_copies(stack: Stack, kept: dict[int, DecodedSlice], repeats: Iterable[DecodedSlice]) -> None:
    for (k, _), copy in zip(stack.repeats, repeats, strict=True):
        one = kept[k]
        is_copy = (one.slope, one.intercept) == (copy.slope, copy.intercept) and np.array_equal(one.pixels, copy.pixels)
        if not is_copy:
            count = len(stack.repeats) + len(stack.slices)
            raise Rejected(Reason.REPEATED_POSITION, f"{count} different images at {len(stack.slices)} positions")


def _check_sizes(stack: Stack, decoded: Iterable[DecodedSlice]) -> Iterator[DecodedSlice]:
    count, (wanted, *size) = 0, stack.placement.shape
    for each in decoded:
        count += 1
        if count > wanted or each.pixels.shape != tuple(size):
            raise Rejected(Reason.UNDECODABLE_PIXELS, f"slice {count} does not fit its stack")
        yield each
    if count < wanted:
        raise Rejected(Reason.TRUNCATED_FILE, f"{count} of {wanted} slices are there")


def _assemble_ct(stack: Stack, slices: Iterator[DecodedSlice]) -> tuple[NDArray[np.integer], tuple[str, ...]]:
    array = np.empty(stack.placement.shape, np.int16)
    flags: set[str] = set()
    for k, declared in enumerate(slices):
        if declared.slope is None or declared.intercept is None or declared.slope == 0:
            raise Rejected(Reason.MISSING_RESCALE, f"slice {k + 1}")
        each = _in_plausible_sign(declared)
        if each is not declared:
            flags.add("pixel_representation_corrected")
        array[k] = _hounsfield(each.pixels, declared.slope, declared.intercept)
        outside = _outside(each)
        if outside is not None:
            flags.add("padding_replaced")
            array[k][outside] = AIR_HU
    return array, tuple(sorted(flags))


def _in_plausible_sign(each: DecodedSlice) -> DecodedSlice:
    """The slice with PixelRepresentation the other way round, where only that gives values a CT can have.

    Unsigned words of 16 bits far above the scale are negative numbers. Signed ones of fewer bits with many values below
    air, under an intercept that already puts air at 0, are bright ones. A slice without such values is the same
    either way, so that slices of one series agree.
    """
    pixels, bits, intercept = each.pixels, each.bits_stored, each.intercept or 0.0
    if pixels.dtype == np.uint16 and bits == 16 and int(pixels.max()) * (each.slope or 1.0) + intercept > _HIGHEST_HU:
        return replace(
            each, pixels=pixels.view(np.int16), padding=_turn(each.padding, lambda v: v - 65536 * (v > 32767))
        )
    if pixels.dtype == np.int16 and bits < 16 and intercept <= _AIR_AT_ZERO:
        lowest = int(pixels.min())
        is_below = (pixels < 0) & (pixels > lowest)  # the lowest value may be padding that nobody declared
        if lowest < 0 and int(is_below.sum()) >= _MANY:
            whole = 2**bits
            unsigned = (pixels & (whole - 1)).astype(np.uint16)
            return replace(each, pixels=unsigned, padding=_turn(each.padding, lambda v: v % whole))
    return each


def _turn(padding: tuple[int, int] | None, change: Callable[[int], int]) -> tuple[int, int] | None:
    if padding is None:
        return None
    one, other = map(change, padding)
    return min(one, other), max(one, other)


def _hounsfield(stored: NDArray[np.integer], slope: float, intercept: float) -> NDArray[np.integer]:
    limits = np.iinfo(np.int16)
    if slope == 1 and intercept == int(intercept) and abs(intercept) < 2**30 and stored.dtype.itemsize <= 2:
        hounsfield: NDArray[np.integer | np.floating] = stored.astype(np.int32) + np.int32(intercept)
    else:
        hounsfield = np.rint(stored * np.float64(slope) + intercept)
    saturated: NDArray[np.int16] = np.clip(hounsfield, limits.min, limits.max).astype(np.int16)
    return saturated


def _assemble_mr(stack: Stack, slices: Iterator[DecodedSlice]) -> tuple[NDArray[np.integer], tuple[str, ...]]:
    array: NDArray[np.integer] | None = None
    scales: list[tuple[float, float]] = []
    flags: set[str] = set()
    for k, each in enumerate(slices):
        if array is None:
            array = np.empty(stack.placement.shape, each.pixels.dtype)
        if each.pixels.dtype != array.dtype:
            raise Rejected(Reason.UNDECODABLE_PIXELS, f"slice {k + 1} has another pixel type than the first")
        array[k] = each.pixels
        if each.photometric.upper() == "MONOCHROME1":
            flags.add("monochrome1_inverted")
            array[k] = _turn_over(each)
        outside = _outside(each)
        if outside is not None:
            flags.add("padding_replaced")
            array[k][outside] = 0
        scales.append((each.slope or 1.0, each.intercept or 0.0))
    assert array is not None  # a stack has at least one slice
    if len(set(scales)) > 1:
        flags.add("slices_rescaled")
        array = _level(array, scales)
    return array, tuple(sorted(flags))


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
