"""One CT slice from stored values to Hounsfield units: rescaled, rounded, saturated, padding to air, in one pass.

HU = stored x slope + intercept (PS3.3 C.11.1), rounded half to even and saturated to int16. MONOCHROME1 changes
nothing, because HU do not depend on how a screen shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.dicom.frames import DecodedSlice

AIR_HU = -1024  # where a 12-bit scanner's scale starts: files that pad with their lowest value stay as they are
_HIGHEST_HU = 32767  # of any scale, extended ones included
_AIR_AT_ZERO = -1000  # an intercept from here down stores air as about 0
_MANY = 16  # pixels
_FAR = 2**30  # sums with 16-bit words stay inside 32 bits


def write_hounsfield(declared: DecodedSlice, slope: float, intercept: float, row: NDArray[np.int16]) -> set[str]:
    """Fill ``row`` (rows, columns) int16, C order, with a slice of this slope and intercept -> what was changed.

    That is pixel_representation_corrected, padding_replaced, both or nothing.
    """
    flags: set[str] = set()
    each = in_plausible_sign(declared, slope, intercept)
    if each is not declared:
        flags.add("pixel_representation_corrected")
    is_plain = slope == 1 and abs(intercept) < _FAR and intercept == int(intercept) and each.pixels.dtype.itemsize == 2
    low, high = each.padding or (1, 0)
    pixels, out = _read_only(each.pixels), row.reshape(-1)
    if is_plain:
        has_padding = _shift(pixels, int(intercept), low, high, out)
    else:
        given = pixels if pixels.dtype.itemsize == 2 else _read_only(pixels.astype(np.float64))
        has_padding = _rescale(given, float(slope), float(intercept), float(low), float(high), out)
    if each.outside is not None and each.outside.any():
        row[each.outside] = AIR_HU
        has_padding = 1
    return flags | {"padding_replaced"} if has_padding else flags


def in_plausible_sign(each: DecodedSlice, slope: float, intercept: float) -> DecodedSlice:
    """The slice with PixelRepresentation the other way round, where only that gives values a CT can have.

    Unsigned words of 16 bits far above the scale are negative numbers. Signed ones of fewer bits with many values below
    air, under an intercept that already puts air at 0, are bright ones. A slice without such values is the same
    either way, so that slices of one series agree.
    """
    pixels, bits = each.pixels, each.bits_stored
    if pixels.dtype == np.uint16 and bits == 16 and int(pixels.max()) * slope + intercept > _HIGHEST_HU:
        turned = _turn(each.padding, lambda value: value - 65536 * (value > 32767))
        return replace(each, pixels=pixels.view(np.int16), padding=turned)
    if pixels.dtype == np.int16 and bits < 16 and intercept <= _AIR_AT_ZERO and (lowest := int(pixels.min())) < 0:
        is_below = (pixels < 0) & (pixels > lowest)  # the lowest value may be padding that nobody declared
        if np.count_nonzero(is_below) >= _MANY:
            whole = 2**bits
            unsigned = (pixels & (whole - 1)).astype(np.uint16)
            return replace(each, pixels=unsigned, padding=_turn(each.padding, lambda value: value % whole))
    return each


def _turn(padding: tuple[int, int] | None, change: Callable[[int], int]) -> tuple[int, int] | None:
    if padding is None:
        return None
    one, other = map(change, padding)
    return min(one, other), max(one, other)


def _read_only(pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels in one row, as kernels take them: those that are words of the file cannot be written to."""
    flat = np.ascontiguousarray(pixels).reshape(-1).view()
    flat.flags.writeable = False
    return flat


@compiled
def _shift(stored: NDArray[Any], shift: int, low: int, high: int, out: NDArray[np.int16]) -> int:
    """``_rescale`` for a slope of 1 and 16-bit words: in 32-bit integers, of which a vector holds the most."""
    add, least, most, air = np.int32(shift), np.int32(-32768), np.int32(32767), np.int32(AIR_HU)
    count = min(stored.size, out.size)
    if low > high:
        for n in range(count):
            value = np.int32(np.int32(stored[n]) + add)
            value = least if value < least else value
            out[n] = np.int16(most if value > most else value)
        return 0
    first, last, seen = np.int32(low), np.int32(high), np.int32(0)
    for n in range(count):
        given = np.int32(stored[n])
        value = np.int32(given + add)
        value = least if value < least else value
        value = most if value > most else value
        is_padding = (given >= first) & (given <= last)
        seen = np.int32(seen | np.int32(is_padding))
        out[n] = np.int16(air if is_padding else value)
    return int(seen)


@compiled
def _rescale(
    stored: NDArray[Any], slope: float, intercept: float, low: float, high: float, out: NDArray[np.int16]
) -> int:
    """Fill ``out`` with Hounsfield units -> 1 if there was padding, low <= stored <= high (low above high: none)."""
    seen = False
    for n in range(min(stored.size, out.size)):
        given = np.float64(stored[n])
        value = np.rint(given * slope + intercept)
        value = -32768.0 if value < -32768.0 else value
        value = 32767.0 if value > 32767.0 else value
        is_padding = (given >= low) & (given <= high)
        seen = seen or bool(is_padding)
        out[n] = np.int16(AIR_HU if is_padding else np.int32(value))
    return int(seen)


@warms_up
def _warm_up() -> None:
    out = np.zeros(1, np.int16)
    for dtype in (np.uint16, np.int16, np.float64):
        stored = _read_only(np.zeros(1, dtype))
        _rescale(stored, 1.5, 0.0, 1.0, 0.0, out)
        if dtype is not np.float64:
            _shift(stored, 0, 1, 0, out)
