"""JPEG lossless, Huffman coded: process 14 with every selection value (ITU-T T.81 H), one component, 2 to 16 bits.

The markers are read in Python, the entropy coded bands by one kernel. What a lenient decoder would paper over is
damage here: a code that no table holds, bits that run out or are left over, a marker at the wrong place, a sample
above the precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.dicom.jpeg_markers import END_OF_IMAGE, FIRST_RESTART, read_markers
from curate.errors import Rejected
from curate.reasons import Reason

# A lookup of this many bits gives code and difference at once. 2**12 words of 32 bits stay in the first level cache.
_LOOKUP_BITS = 12
_PADDING = 16  # zero bytes behind a band: reading 8 bytes ahead stays inside

_DECODED, _BAD_CODE, _BITS_RAN_OUT, _BITS_LEFT_OVER, _MARKER_MISPLACED, _ABOVE_PRECISION = range(6)
_FAULTS = {
    _BAD_CODE: "a code that its table does not hold",
    _BITS_RAN_OUT: "the samples end early",
    _BITS_LEFT_OVER: "more is coded than the image holds",
    _MARKER_MISPLACED: "a restart or end marker is missing or misplaced",
    _ABOVE_PRECISION: "a sample above the precision",
}


def decode_jpeg_lossless(codestream: bytes, rows: int, columns: int) -> NDArray[np.uint16]:
    """Decode one component -> uint16 (rows, columns).

    The size must be the header's, so that a stream cannot ask for more memory than the caller agreed to. Raises
    Rejected(UNDECODABLE_PIXELS) for any other stream than that, damaged ones above all.
    """
    scan = read_markers(codestream)
    if (scan.rows, scan.columns) != (rows, columns):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the compressed image has another size than the header says")
    quick, slow = np.zeros(1 << _LOOKUP_BITS, np.int32), np.zeros(1 << 16, np.int16)
    if not _fill_tables(np.frombuffer(scan.counts, np.uint8), np.frombuffer(scan.symbols, np.uint8), quick, slow):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "a Huffman table with more codes than there is room for")
    coded = np.frombuffer(codestream, np.uint8)[scan.start :]
    band = np.empty(coded.size + _PADDING, np.uint8)
    out = np.empty((rows, columns), np.uint16)
    settings = (scan.precision, scan.selection, scan.point_transform, scan.restart_rows or rows)
    fault = _decode_bands(coded, band, quick, slow, out, *settings)
    if fault != _DECODED:
        raise Rejected(Reason.UNDECODABLE_PIXELS, f"JPEG lossless: {_FAULTS[fault]}")
    return out


@compiled
def _fill_tables(
    counts: NDArray[np.uint8], symbols: NDArray[np.uint8], quick: NDArray[np.int32], slow: NDArray[np.int16]
) -> bool:
    """Fill both lookups; False for a table that cannot be a prefix code or has categories above 16.

    ``quick`` by the next 12 bits: difference << 8 | bits of code and difference, or 0 where these do not fit.
    ``slow`` by the next 16 bits: category << 8 | bits of the code, or 0 where there is no such code.
    """
    code, number = 0, 0
    for length in range(1, 17):
        for _ in range(counts[length - 1]):
            if number >= symbols.size or code >= (1 << length) or symbols[number] > 16:
                return False
            category = int(symbols[number])
            first = code << (16 - length)
            slow[first : first + (1 << (16 - length))] = (category << 8) | length
            bits = length + category
            if category < 16 and bits <= _LOOKUP_BITS:
                for extra in range(1 << category):
                    difference = int(extra)
                    if category > 0 and extra < (1 << (category - 1)):
                        difference = extra - (1 << category) + 1  # F.1.2.1.1
                    first = ((code << category) | extra) << (_LOOKUP_BITS - bits)
                    quick[first : first + (1 << (_LOOKUP_BITS - bits))] = (difference << 8) | bits
            code += 1
            number += 1
        code <<= 1
    return True


@compiled
def _decode_bands(
    coded: NDArray[np.uint8],
    band: NDArray[np.uint8],
    quick: NDArray[np.int32],
    slow: NDArray[np.int16],
    out: NDArray[np.uint16],
    precision: int,
    selection: int,
    point_transform: int,
    band_rows: int,
) -> int:
    """Decode band after band: the rows between two restart markers, where prediction starts anew (H.1.1)."""
    rows = out.shape[0]
    at = 0
    for number in range((rows + band_rows - 1) // band_rows):
        first = number * band_rows
        at, size = _unstuff(coded, at, band)
        last = min(first + band_rows, rows)
        fault = _decode_band(band, size, quick, slow, out[first:last], precision - point_transform, selection)
        if fault != _DECODED:
            return fault
        while at + 1 < coded.size and coded[at] == 0xFF and coded[at + 1] == 0xFF:
            at += 1
        expected = END_OF_IMAGE if last == rows else FIRST_RESTART + number % 8
        if at + 1 >= coded.size or coded[at + 1] != expected:
            return _MARKER_MISPLACED
        at += 2
    if point_transform > 0:
        for y in range(rows):
            for x in range(out.shape[1]):
                out[y, x] = np.uint16(np.int64(out[y, x]) << point_transform)
    return _DECODED


@compiled
def _unstuff(coded: NDArray[np.uint8], at: int, band: NDArray[np.uint8]) -> tuple[int, int]:
    """Copy from ``at`` up to the next marker without the zero bytes behind FF (F.1.2.3) -> (marker's place, bytes).

    ``band`` is 16 bytes longer than ``coded``; that much behind the copy is zeroed.
    """
    size, end = 0, coded.size
    while at < end:
        stop = _find_ff(coded, at)
        source, target = np.uint64(at), np.uint64(size)
        for k in range(np.uint64(stop - at)):
            band[target + k] = coded[source + k]
        size += stop - at
        at = stop
        if at + 1 >= end or coded[at + 1] != 0:
            break
        band[size] = 0xFF
        size += 1
        at += 2
    for k in range(_PADDING):
        band[size + k] = 0
    return at, size


@compiled
def _find_ff(coded: NDArray[np.uint8], at: int) -> int:
    """The place of the next FF, or the end."""
    end = coded.size
    while at + 8 <= end:
        word = _word(coded, at)
        # A byte of ~word is zero: borrow reaches its highest bit.
        if (~word - np.uint64(0x0101010101010101)) & word & np.uint64(0x8080808080808080) != 0:
            break
        at += 8
    while at < end and coded[at] != 0xFF:
        at += 1
    return at


@compiled
def _word(content: NDArray[np.uint8], at: int) -> np.uint64:
    """Eight bytes, the first one on top; the compiler makes one load of this.

    Unsigned places here and below: of a signed one the compiler must first see that it is not negative.
    """
    place, word = np.uint64(at), np.uint64(0)
    for k in range(8):
        word = (word << np.uint64(8)) | np.uint64(content[place + np.uint64(k)])
    return word


@compiled
def _refill(band: NDArray[np.uint8], at: Any, bits: np.uint64, there: Any) -> tuple[np.uint64, Any]:
    """Fill up to 56 bits or more from 8 bytes at ``at``, which the caller moves on by (63 - there) // 8."""
    return bits | (_word(band, at) >> np.uint64(there)), there | 56


@compiled
def _decode_band(
    band: NDArray[np.uint8],
    size: int,
    quick: NDArray[np.int32],
    slow: NDArray[np.int16],
    out: NDArray[np.uint16],
    precision: int,
    selection: int,
) -> int:
    """Decode ``size`` bytes into all of ``out``; samples are kept modulo 2**16 (H.1.2.1) and checked row by row.

    ``bits`` holds the bits to come, the next one on top; ``there`` of them have been read. Reading never starts past
    ``size``, so that it ends within the zeroed padding; that more bits were used than there are shows after the row.
    """
    rows, columns, one = out.shape[0], np.uint64(out.shape[1]), np.uint64(1)
    bits: np.uint64 = np.uint64(0)
    there: Any = np.int64(0)
    at: Any = np.int64(0)
    left_over = np.int64(8) * size
    for y in range(rows):
        seen = np.int64(0)
        left = np.int64(1 << (precision - 1)) if y == 0 else np.int64(out[y - 1, 0])
        here, above = out[y], out[max(y - 1, 0)]
        x = np.uint64(0)
        while x < columns:
            step = (63 - there) >> 3
            bits, there = _refill(band, at, bits, there)
            at = min(at + step, size)
            before = there
            stop = min(x + np.uint64(4), columns)  # 56 bits are enough for four quick symbols
            entry = np.int64(1)
            while x < stop:
                entry = np.int64(quick[bits >> np.uint64(64 - _LOOKUP_BITS)])
                if entry == 0:
                    break
                bits <<= np.uint64(entry & 63)
                there -= entry & 63
                if selection > 1 and y > 0 and x > np.uint64(0):
                    left = _predict(selection, left, np.int64(above[x]), np.int64(above[x - one]))
                left = (left + (entry >> 8)) & 0xFFFF
                seen |= left
                here[x] = np.uint16(left)
                x += one
            left_over -= before - there
            if entry != 0:
                continue
            step = (63 - there) >> 3
            bits, there = _refill(band, at, bits, there)
            at = min(at + step, size)
            found = np.int64(slow[bits >> np.uint64(48)])
            if found == 0:
                return _BAD_CODE
            length, category = found & 255, found >> 8
            bits <<= np.uint64(length)
            difference: Any = np.int64(32768)  # category 16 has no extra bits (H.1.2.2)
            if category == 16:
                category = np.int64(0)
            elif category > 0:
                difference = np.int64(bits >> np.uint64(64 - category))
                if difference < 1 << (category - 1):
                    difference += 1 - (1 << category)
                bits <<= np.uint64(category)
            else:
                difference = np.int64(0)
            there -= length + category
            left_over -= length + category
            if selection > 1 and y > 0 and x > np.uint64(0):
                left = _predict(selection, left, np.int64(above[x]), np.int64(above[x - one]))
            left = (left + difference) & 0xFFFF
            seen |= left
            here[x] = np.uint16(left)
            x += one
        if left_over < 0:
            return _BITS_RAN_OUT
        if seen >> precision:
            return _ABOVE_PRECISION
    return _BITS_LEFT_OVER if left_over > 15 else _DECODED


@compiled
def _predict(selection: int, left: Any, above: Any, corner: Any) -> Any:
    """T.81 table H.1; ``corner``: above and left."""
    if selection == 2:
        return above
    if selection == 3:
        return corner
    if selection == 4:
        return left + above - corner
    if selection == 5:
        return left + ((above - corner) >> 1)
    if selection == 6:
        return above + ((left - corner) >> 1)
    return (left + above) >> 1


@warms_up
def _warm_up() -> None:
    black = b"\xff\xd8\xff\xc3\0\x0b\x10\0\1\0\1\1\1\x11\0\xff\xc4\0\x14\0\1" + bytes(15)
    decode_jpeg_lossless(black + b"\0\xff\xda\0\x08\1\1\0\1\0\0\x7f\xff\xd9", 1, 1)
