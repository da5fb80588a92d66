"""Values of a batch of heads, column by column, with the rules of ``curate.dicom.values``, compiled.

A head with a value that these rules do not settle (foreign text, a number that needs more than one rounding, a VR
that contradicts the dictionary) is left to the reader that takes one file at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.dicom.header_kernel import FOUND, ODD, PLACES, walk

TEXT, INTEGER, BINARY, NUMBER, NUMBERS, UID, DOUBLE = range(7)
"""Kinds of columns: text, IS as int64, US as int64, DS, a list of DS, the UIDs of the file meta, and FD."""

_MAXIMUM_TEXT = 1024
_US = int.from_bytes(b"US", "little")
_FD = int.from_bytes(b"FD", "little")
_EXACT = 1 << 53
_ESCAPE, _BACKSLASH, _SPACE = 0x1B, 0x5C, 0x20
_POWERS = 10.0 ** np.arange(23)  # all exact
_MOST_NUMBERS = 8
_NONE, _UNSETTLED = -1, -2


def _binary_vrs() -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, np.bool_)
    for name in (b"US", b"SS", b"UL", b"SL", b"UV", b"SV"):
        table[int.from_bytes(name, "little")] = True
    return table


_BINARY_VRS = _binary_vrs()


@compiled
def read_batch(
    heads: NDArray[np.uint8],
    sizes: NDArray[np.int64],
    tags: NDArray[np.int64],
    kinds: NDArray[np.int64],
    columns: NDArray[np.int64],
    counts: NDArray[np.int64],
    texts: NDArray[np.int64],
    integers: NDArray[np.int64],
    numbers: NDArray[np.float64],
    validity: NDArray[np.bool_],
    places: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Read every head -> its state: FOUND, or CUT or ODD for those to read one by one, whose values mean nothing.

    ``heads``: (files, bytes), of which ``sizes`` are there. For each wanted tag, ascending: its kind, its column in
    the table of that kind, and how many numbers it must have (0: one or more, the first counts).
    ``texts``: (columns, files, 2), start in the head and length, -1: null. ``integers``: (columns, files), ``numbers``:
    (columns, files), lists take one column a number. ``validity``: (tags, files), for all but text.
    """
    states = np.empty(sizes.size, np.int64)
    found, parsed = np.empty((tags.size, 3), np.int64), np.empty(_MOST_NUMBERS)
    double = np.empty(1, np.float64)
    eight = double.view(np.uint8)  # heads are not aligned
    for file in range(sizes.size):
        head = heads[file]
        states[file] = walk(head, sizes[file], tags, found, places[file])
        if states[file] != FOUND:
            continue
        for n in range(tags.size):
            column, start, stop = columns[n], found[n, 0], found[n, 0] + found[n, 1]
            validity[n, file] = False
            if kinds[n] == TEXT or kinds[n] == UID:
                texts[column, file, 1] = _NONE
            if start < 0:
                continue
            if kinds[n] == BINARY:
                if found[n, 2] != 0 and found[n, 2] != _US:
                    states[file] = ODD
                elif found[n, 1] >= 2:
                    integers[column, file] = np.int64(head[start]) | (np.int64(head[start + 1]) << 8)
                    validity[n, file] = True
            elif kinds[n] == DOUBLE:
                if found[n, 2] != 0 and found[n, 2] != _FD:
                    states[file] = ODD
                elif found[n, 1] >= 8:
                    for k in range(8):
                        eight[k] = head[start + k]
                    numbers[column, file] = double[0]
                    validity[n, file] = np.isfinite(double[0])
            elif kinds[n] == TEXT or kinds[n] == UID:
                if not _trim(head, start, stop, kinds[n] == UID, texts[column, file]):
                    states[file] = ODD
            else:
                count = _parse_numbers(head, start, stop, parsed)
                if count == _UNSETTLED or (kinds[n] == INTEGER and _BINARY_VRS[found[n, 2]]):
                    states[file] = ODD
                elif count == _NONE or (counts[n] > 0 and count != counts[n]):
                    continue
                elif kinds[n] == INTEGER:
                    if abs(parsed[0]) >= _EXACT:
                        states[file] = ODD
                    elif parsed[0] == np.floor(parsed[0]):
                        integers[column, file] = np.int64(parsed[0])
                        validity[n, file] = True
                else:
                    for k in range(max(counts[n], 1)):
                        numbers[column + k, file] = parsed[k]
                    validity[n, file] = True
    return states


@compiled
def gather_text(
    heads: NDArray[np.uint8], chosen: NDArray[np.int64], texts: NDArray[np.int64], offsets: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Text of one column of the ``chosen`` files, joined; ``offsets``: (files + 1,) into it, as Arrow wants them."""
    total = 0
    for n in range(chosen.size):
        offsets[n] = total
        total += max(texts[chosen[n], 1], 0)
    offsets[chosen.size] = total
    joined = np.empty(total, np.uint8)
    for n in range(chosen.size):
        start, head = texts[chosen[n], 0], heads[chosen[n]]
        for k in range(max(texts[chosen[n], 1], 0)):
            joined[offsets[n] + k] = head[start + k]
    return joined


@compiled
def _is_space(byte: int) -> bool:
    """What Python strips of ASCII text."""
    return byte == _SPACE or 9 <= byte <= 13 or 28 <= byte <= 31


@compiled
def _stripped(head: NDArray[np.uint8], start: int, stop: int) -> tuple[int, int]:
    while start < stop and _is_space(head[start]):
        start += 1
    while stop > start and _is_space(head[stop - 1]):
        stop -= 1
    return start, stop


@compiled
def _trim(head: NDArray[np.uint8], start: int, stop: int, is_uid: bool, place: NDArray[np.int64]) -> bool:
    """Write where the stripped text starts and how long it is; False for text that is not plain ASCII."""
    if is_uid:  # of the file meta: padding behind it alone
        while stop > start and (head[stop - 1] == 0 or head[stop - 1] == _SPACE):
            stop -= 1
    else:
        stop = min(stop, start + _MAXIMUM_TEXT)
    for at in range(start, stop):
        if head[at] >= 0x80 or head[at] == _ESCAPE:
            return False
    if not is_uid:
        start, stop = _stripped(head, start, _before_zero(head, start, stop))
    if stop > start:
        place[0], place[1] = start, stop - start
    return True


@compiled
def _before_zero(head: NDArray[np.uint8], start: int, stop: int) -> int:
    for at in range(start, stop):
        if head[at] == 0:
            return at
    return stop


@compiled
def _parse_numbers(head: NDArray[np.uint8], start: int, stop: int, parsed: NDArray[np.float64]) -> int:
    """Decimal strings between backslashes -> how many, none for no text at all, or unsettled."""
    stop = min(stop, start + _MAXIMUM_TEXT)
    start, stop = _stripped(head, start, _before_zero(head, start, stop))
    if start == stop:
        return _NONE
    count = 0
    while True:
        end = start
        while end < stop and head[end] != _BACKSLASH:
            end += 1
        if count == _MOST_NUMBERS:
            return _UNSETTLED
        is_settled, parsed[count] = _parse_number(head, start, end)
        if not is_settled:
            return _UNSETTLED
        count += 1
        if end == stop:
            return count
        start = end + 1


@compiled
def _parse_number(head: NDArray[np.uint8], at: int, stop: int) -> tuple[bool, float]:
    """A decimal number, correctly rounded: mantissa and power of ten are exact, so that one operation rounds once."""
    at, stop = _stripped(head, at, stop)
    is_negative = at < stop and head[at] == 45
    if at < stop and (head[at] == 45 or head[at] == 43):
        at += 1
    mantissa, digits, scale, has_point = 0, 0, 0, False
    while at < stop and (48 <= head[at] <= 57 or (head[at] == 46 and not has_point)):
        if head[at] == 46:
            has_point = True
        else:
            mantissa = mantissa * 10 + (int(head[at]) - 48)
            digits += 1
            scale += 1 if has_point else 0
            if mantissa >= _EXACT:
                return False, 0.0
        at += 1
    if digits == 0:
        return False, 0.0
    if at < stop and (head[at] == 69 or head[at] == 101):
        at += 1
        sign = -1 if at < stop and head[at] == 45 else 1
        if at < stop and (head[at] == 45 or head[at] == 43):
            at += 1
        exponent, first = 0, at
        while at < stop and 48 <= head[at] <= 57 and exponent < 100:
            exponent = exponent * 10 + (int(head[at]) - 48)
            at += 1
        if at == first:
            return False, 0.0
        scale -= sign * exponent
    if at != stop or abs(scale) > 22:
        return False, 0.0
    value = mantissa / _POWERS[scale] if scale >= 0 else mantissa * _POWERS[-scale]
    return True, -value if is_negative else value


@warms_up
def _warm_up() -> None:
    heads, one = np.frombuffer(bytes(16), np.uint8).reshape(1, 16), np.zeros(1, np.int64)
    texts, grid = np.zeros((1, 1, 2), np.int64), np.zeros((1, 1), np.int64)
    valid, places = np.zeros((1, 1), np.bool_), np.zeros((1, PLACES), np.int64)
    read_batch(heads, one, one, one, one, one, texts, grid, np.zeros((1, 1)), valid, places)
    gather_text(heads, one, texts[0], np.zeros(2, np.int32))
