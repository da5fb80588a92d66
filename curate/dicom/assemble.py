"""From a stack and its decoded slices to one volume as acquired: Hounsfield units for CT, stored values for MR.

CT: HU = stored x slope + intercept, slice by slice (PS3.3 C.11.1), rounded half to even and saturated to int16.
MONOCHROME1 changes nothing there, because HU do not depend on how a screen shows them. MR: stored values in their own
type; MONOCHROME1 is turned over about the middle of the stored range, so that bright is bright; if the slope or
intercept differs between slices, all are brought to the finest slope of the stack (vendors scale each slice by
itself). Padding (PS3.3 C.7.5.1.1.2) becomes AIR_HU in CT and 0 in MR, before anything interpolates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curate.dicom.frames import DecodedSlice
from curate.dicom.stacks import Stack
from curate.errors import Rejected
from curate.geometry import Grid
from curate.reasons import Reason

AIR_HU = -1024  # where a 12-bit scanner's scale starts: files that pad with their lowest value stay as they are
Units = Literal["HU", "stored"]


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels of one stack, (slice, row, column), and where they lie. ``flags`` names what was changed, sorted."""

    array: NDArray[np.integer]
    grid: Grid
    modality: str
    units: Units
    stack: Stack
    flags: tuple[str, ...] = ()


def assemble(stack: Stack, decoded: Iterable[DecodedSlice], modality: str) -> Volume:
    """Place slices, given in the order of the stack, into one array: int16 HU for CT, the stored type for MR.

    Reads one slice at a time. Raises Rejected: MISSING_RESCALE for CT without slope and intercept, UNDECODABLE_PIXELS
    for a slice of another size or type, TRUNCATED_FILE when slices run out, WRONG_MODALITY for anything but CT and
    MR.
    """
    slices = _check_sizes(stack, decoded)
    if modality == "CT":
        array, flags = _assemble_ct(stack, slices)
        return Volume(array, stack.grid, modality, "HU", stack, flags)
    if modality == "MR":
        array, flags = _assemble_mr(stack, slices)
        return Volume(array, stack.grid, modality, "stored", stack, flags)
    raise Rejected(Reason.WRONG_MODALITY, "only CT and MR are assembled")


def _check_sizes(stack: Stack, decoded: Iterable[DecodedSlice]) -> Iterator[DecodedSlice]:
    count, (wanted, *size) = 0, stack.grid.shape
    for each in decoded:
        count += 1
        if count > wanted or each.pixels.shape != tuple(size):
            raise Rejected(Reason.UNDECODABLE_PIXELS, f"slice {count} does not fit its stack")
        yield each
    if count < wanted:
        raise Rejected(Reason.TRUNCATED_FILE, f"{count} of {wanted} slices are there")


def _assemble_ct(stack: Stack, slices: Iterator[DecodedSlice]) -> tuple[NDArray[np.integer], tuple[str, ...]]:
    array = np.empty(stack.grid.shape, np.int16)
    is_padded = False
    for k, each in enumerate(slices):
        if each.slope is None or each.intercept is None or each.slope == 0:
            raise Rejected(Reason.MISSING_RESCALE, f"slice {k + 1}")
        array[k] = _hounsfield(each.pixels, each.slope, each.intercept)
        outside = _outside(each)
        if outside is not None:
            is_padded = True
            array[k][outside] = AIR_HU
    return array, ("padding_replaced",) if is_padded else ()


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
            array = np.empty(stack.grid.shape, each.pixels.dtype)
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
    if each.padding is None:
        return None
    low, high = each.padding
    mask: NDArray[np.bool_] = (each.pixels >= low) & (each.pixels <= high)
    return mask if mask.any() else None
