"""The compiled walk over the elements of a file's head (PS3.5 7, PS3.10 7), for headers that hold no surprise.

It finds the wanted top-level elements and the pixel data element of little endian files, explicit and implicit, with
or without preamble and file meta. Whatever is odd it leaves to the reader behind ``curate.dicom.elements``: big endian
data sets, tags that repeat or descend, unknown VRs, sequences in UN, nesting deeper than 16, lengths
that do not add up. So that reader decides what damage is, and both give the same values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom._dicom_dict import DicomDictionary

from curate.compiled import compiled, warms_up

FOUND, CUT, ODD, DEFLATED = range(4)
"""The pixel data were found; the bytes end inside a top-level value; the other reader must look; a file meta that says
so is followed by a deflated data set."""

MEDIA_CLASS, TRANSFER_SYNTAX = 0x00020002, 0x00020010
UNDEFINED_LENGTH = 0xFFFFFFFF
MAXIMUM_NESTING = 16

IS_IMPLICIT, OFFSET, PIXEL_TAG, PIXEL_VR, PIXEL_HEADER, PIXEL_START, PIXEL_LENGTH = range(7)
PLACES = 7
"""What ``walk`` writes into ``places``: encoding, where the data set starts, and the pixel data element."""

_PIXELS, _PIXEL_DATA = 0x7FE00008, 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARACTER_SET = 0x00080005  # pydicom stops at some that are damaged, within sequences too
_LONGEST_FIRST_VALUE = 1024  # as in curate.dicom.encoding


def _letters(names: str) -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, np.bool_)
    for name in names.split():
        table[int.from_bytes(name.encode(), "little")] = True
    return table


_SHORT = _letters("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US")
_LONG = _letters("OB OD OF OL OV OW SQ SV UC UN UR UT UV")
_SQ = int.from_bytes(b"SQ", "little")
_DEFLATED_SYNTAX = np.frombuffer(b"1.2.840.10008.1.2.1.99", np.uint8)
_SEQUENCES = np.array(sorted(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ"), np.uint32)


@compiled
def walk(
    content: NDArray[np.uint8],
    size: int,
    tags: NDArray[np.int64],
    found: NDArray[np.int64],
    places: NDArray[np.int64],
) -> int:
    """Walk the first ``size`` bytes of a file -> FOUND, CUT, ODD or DEFLATED.

    ``tags``: wanted ones, ascending. ``found``: (tags, 3): start and length of the value and its VR (two letters, low
    byte first; 0: implicit), or a start of -1; an element of no length is none. ``places``: PLACES numbers, see there.
    """
    found[:, 0] = -1
    size = min(size, content.size)
    at = _first_element(content, size)
    if at < 0:
        return ODD
    previous, wanted, is_meta, is_implicit = -1, 0, _u16(content, at) == 2, False
    if not is_meta and not _starts_data_set(content, size, at, places):
        return ODD
    if not is_meta:
        is_implicit = places[IS_IMPLICIT] == 1
    while at + 8 <= size:
        if is_meta and _u16(content, at) != 2:
            is_meta = False
            if _is_deflated(content, tags, found):
                places[OFFSET] = at
                return DEFLATED
            if not _starts_data_set(content, size, at, places):
                return ODD
            is_implicit = places[IS_IMPLICIT] == 1
        tag = _tag(content, at)
        if tag <= previous or tag >= _ITEM or (not is_meta and tag < 0x00080000):
            return ODD
        previous = tag
        header, length, vr = _element(content, size, at, is_implicit)
        if header == 0:
            return ODD
        start = at + header
        if tag >= _PIXELS:
            if tag > _PIXEL_DATA or _PIXELS + 1 < tag < _PIXEL_DATA or (vr != 0 and not _LONG[vr]):
                return ODD
            places[PIXEL_TAG], places[PIXEL_VR], places[PIXEL_HEADER] = tag, vr, at
            places[PIXEL_START], places[PIXEL_LENGTH] = start, length
            return FOUND
        end = start + length
        if length == UNDEFINED_LENGTH:
            if is_meta or not _is_sequence(content, size, start, tag, vr):
                return ODD
            end = _skip_sequence(content, size, start, is_implicit)
            if end < 0:
                return ODD
        elif end > size:
            return ODD if is_meta or tag == _CHARACTER_SET else CUT
        if tag == _CHARACTER_SET and _has_zero(content, start, end):
            return ODD
        while wanted < tags.size and tags[wanted] < tag:
            wanted += 1
        if wanted < tags.size and tags[wanted] == tag and end > start:
            found[wanted, 0], found[wanted, 1], found[wanted, 2] = start, end - start, vr
        at = end
    return ODD


@compiled
def _u16(content: NDArray[np.uint8], at: int) -> int:
    place = np.uint64(at)
    return int(np.int64(content[place]) | (np.int64(content[place + np.uint64(1)]) << 8))


@compiled
def _u32(content: NDArray[np.uint8], at: int) -> int:
    return _u16(content, at) | (_u16(content, at + 2) << 16)


@compiled
def _tag(content: NDArray[np.uint8], at: int) -> int:
    return (_u16(content, at) << 16) | _u16(content, at + 2)


@compiled
def _has_zero(content: NDArray[np.uint8], start: int, stop: int) -> bool:
    return bool(np.any(content[start:stop] == 0))


@compiled
def _is_capital(byte: int) -> bool:
    return 65 <= byte <= 90


@compiled
def _first_element(content: NDArray[np.uint8], size: int) -> int:
    """Where the file meta or the data set starts, or -1 (see ``curate.dicom.encoding``)."""
    if size >= 140 and content[128] == 68 and content[129] == 73 and content[130] == 67 and content[131] == 77:
        return 132
    if size < 8 or (_u16(content, 0) != 8 and _u16(content, 0) != 2) or _u16(content, 2) > 0x3010:
        return -1
    has_vr = _is_capital(content[4]) and _is_capital(content[5])
    return 0 if has_vr or _u32(content, 4) <= _LONGEST_FIRST_VALUE else -1


@compiled
def _starts_data_set(content: NDArray[np.uint8], size: int, at: int, places: NDArray[np.int64]) -> bool:
    """Note how the data set is encoded by its first element; False if it is big endian."""
    if at + 8 > size or content[at] + 256 * np.int64(content[at + 1]) > content[at + 1] + 256 * np.int64(content[at]):
        return False
    places[OFFSET] = at
    places[IS_IMPLICIT] = 0 if _is_capital(content[at + 4]) and _is_capital(content[at + 5]) else 1
    return True


@compiled
def _is_deflated(content: NDArray[np.uint8], tags: NDArray[np.int64], found: NDArray[np.int64]) -> bool:
    for n in range(tags.size):
        if tags[n] == TRANSFER_SYNTAX and found[n, 0] >= 0 and found[n, 1] >= _DEFLATED_SYNTAX.size:
            start = found[n, 0]
            return bool(np.all(content[start : start + _DEFLATED_SYNTAX.size] == _DEFLATED_SYNTAX))
    return False


@compiled
def _element(content: NDArray[np.uint8], size: int, at: int, is_implicit: bool) -> tuple[int, int, int]:
    """(bytes of the element's header, length of its value, VR) of eight bytes that are there; no bytes: odd."""
    if is_implicit:
        return 8, _u32(content, at + 4), 0
    vr = _u16(content, at + 4)
    if _SHORT[vr]:
        return 8, _u16(content, at + 6), vr
    if not _LONG[vr] or at + 12 > size:
        return 0, 0, 0
    return 12, _u32(content, at + 8), vr


@compiled
def _is_sequence(content: NDArray[np.uint8], size: int, start: int, tag: int, vr: int) -> bool:
    """Whether an element of undefined length is surely a sequence in the element's own encoding."""
    if vr != 0:
        return vr == _SQ
    if (tag >> 16) & 1:
        return start + 4 <= size and _tag(content, start) == _ITEM
    place = np.searchsorted(_SEQUENCES, np.uint32(tag))
    return bool(place < _SEQUENCES.size and _SEQUENCES[place] == tag)


@compiled
def _skip_sequence(content: NDArray[np.uint8], size: int, at: int, is_implicit: bool) -> int:
    """The place behind a sequence of undefined length, or -1.

    ``ends``: of the open items, -1 for one of undefined length. Every item must end where an element ends.
    """
    ends = np.empty(MAXIMUM_NESTING, np.int64)
    depth, in_item = 0, False  # of open sequences within the first one
    while at + 8 <= size:
        if in_item and at == ends[depth]:
            in_item = False
            continue
        tag = _tag(content, at)
        if not in_item:
            length = _u32(content, at + 4)
            at += 8
            if tag == _ITEM:
                ends[depth] = -1 if length == UNDEFINED_LENGTH else at + length
                in_item = True
                if _changes_encoding(content, size, at, is_implicit, ends[depth]):
                    return -1
            elif tag == _SEQUENCE_END and length == 0:
                if depth == 0:
                    return at
                depth -= 1
                in_item = True
            else:
                return -1
            continue
        if tag == _ITEM_END:
            if ends[depth] != -1 or _u32(content, at + 4) != 0:
                return -1
            at += 8
            in_item = False
            continue
        header, length, vr = _element(content, size, at, is_implicit)
        if header == 0 or tag >= _ITEM or tag < 0x00080000 or tag == _CHARACTER_SET:
            return -1
        at += header
        if length == UNDEFINED_LENGTH:
            depth += 1
            if depth == MAXIMUM_NESTING or not _is_sequence(content, size, at, tag, vr):
                return -1
            in_item = False
            continue
        at += length
        if ends[depth] != -1 and at > ends[depth]:
            return -1
    return -1


@compiled
def _changes_encoding(content: NDArray[np.uint8], size: int, at: int, is_implicit: bool, end: int) -> bool:
    """Whether an item's first element looks to be of the other encoding than its data set."""
    if at + 8 > size or (end != -1 and at + 8 > end):
        return end != at  # an empty item has none
    if _tag(content, at) == _ITEM_END:
        return False
    return (_is_capital(content[at + 4]) and _is_capital(content[at + 5])) == is_implicit


@warms_up
def _warm_up() -> None:
    content = np.frombuffer(bytes(16), np.uint8)  # read-only, like all that is walked: one type, compiled once
    walk(content, 16, np.zeros(1, np.int64), np.zeros((1, 3), np.int64), np.zeros(PLACES, np.int64))
