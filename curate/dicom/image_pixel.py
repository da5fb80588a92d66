"""The Image Pixel module of a file (PS3.3 C.7.6.3), checked for plausibility, and where its pixel data lie.

The slices of a series say the same here, byte for byte, so that what was made of the last few sets of bytes is kept: a
kernel finds the wanted elements and gathers their bytes, and only bytes that are new are parsed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.dicom.elements import Elements, PixelElement, inflate_plain, read_elements
from curate.dicom.header_kernel import (
    FOUND,
    IS_IMPLICIT,
    MEDIA_CLASS,
    OFFSET,
    PIXEL_TAG,
    PLACES,
    TRANSFER_SYNTAX,
    walk,
)
from curate.dicom.modality_lut import MODALITY_LUT
from curate.dicom.stored_values import stored_values
from curate.dicom.values import integer, number, text
from curate.errors import Rejected
from curate.reasons import Reason

MAXIMUM_PIXELS = 2**26  # 8192 x 8192: far above any CT or MR slice

_ROWS, _COLUMNS, _SAMPLES, _FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280008
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_PHOTOMETRIC, _PADDING, _PADDING_LIMIT = 0x00280004, 0x00280120, 0x00280121
_INTERCEPT, _SLOPE = 0x00281052, 0x00281053
_PIXEL_DATA, _EXTENDED_OFFSETS = 0x7FE00010, 0x7FE00001
_WANTED = (
    *(_ROWS, _COLUMNS, _SAMPLES, _FRAMES, _ALLOCATED, _STORED, _HIGH, _SIGNED),
    *(_PHOTOMETRIC, _PADDING, _PADDING_LIMIT, _INTERCEPT, _SLOPE, MODALITY_LUT, _EXTENDED_OFFSETS),
)
_TAGS = np.array(sorted((*_WANTED, MEDIA_CLASS, TRANSFER_SYNTAX)), np.int64)
_LONGEST_MARK, _MOST_KEPT = 1024, 64


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The Image Pixel module, checked for plausibility."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True, slots=True, eq=False)
class PixelModule:
    """What one file says of its pixels. ``padding``: lowest and highest stored value, or None.

    ``offsets``: of the Extended Offset Table, empty if there is none.
    """

    layout: PixelFormat
    syntax: str | None
    is_little_endian: bool
    frames: int
    slope: float | None
    intercept: float | None
    photometric: str
    padding: tuple[int, int] | None
    has_lut: bool
    offsets: tuple[int, ...]


_kept: dict[bytes, tuple[PixelModule, str | None]] = {}


def read_pixel_module(raw: bytes) -> tuple[PixelModule, bytes, PixelElement]:
    """The module of one file, its data set, and where in this the pixel data lie.

    Raises Rejected with TRUNCATED_FILE when the file ends before its pixel data, NOT_MONOCHROME, IMPLAUSIBLE_HEADER,
    UNDECODABLE_PIXELS for pixels that are floating point numbers, and as ``curate.dicom.elements`` does.
    """
    body, places, mark = raw, np.empty(PLACES, np.int64), np.empty(_LONGEST_MARK, np.uint8)
    key = mark[: _mark(np.frombuffer(raw, np.uint8), _TAGS, places, mark)].tobytes()
    if not key and (inflated := inflate_plain(raw)) is not None:
        body = inflated
        key = mark[: _mark(np.frombuffer(body, np.uint8), _TAGS, places, mark)].tobytes()
        is_plain = places[OFFSET] == 0 and not places[IS_IMPLICIT]  # as PS3.5 A.5 wants it
        key = b"deflated " + key if key and is_plain else b""
    found = _kept.get(key) if key else None
    if found is not None:
        tag, _, header, start, length = places[PIXEL_TAG:].tolist()
        return found[0], body, PixelElement(tag, found[1], header, start, length)
    elements = read_elements(raw, _WANTED)
    if not elements.is_complete:
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside its header")
    pixels = _pixels(elements)
    module = _module(elements)
    if key:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[key] = module, pixels.vr
    return module, elements.body, pixels


@compiled
def _mark(
    content: NDArray[np.uint8], tags: NDArray[np.int64], places: NDArray[np.int64], mark: NDArray[np.uint8]
) -> int:
    """Gather what tells one pixel module from another -> bytes written to ``mark``; 0: too long, or an odd header.

    The encoding, the tag and VR of the pixel data and, of every wanted element, VR, length and value.
    """
    found = np.empty((tags.size, 3), np.int64)
    if walk(content, content.size, tags, found, places) != FOUND:
        return 0
    at = 0
    for place in (0, PIXEL_TAG, PIXEL_TAG + 1):  # IS_IMPLICIT, tag and VR
        at = _put(mark, at, places[place])
    for n in range(tags.size):
        start, length = found[n, 0], found[n, 1]
        if start < 0:
            at = _put(mark, at, -1)
            continue
        at = _put(mark, _put(mark, at, length), found[n, 2])
        if at + length > mark.size:
            return 0
        for k in range(length):
            mark[at + k] = content[start + k]
        at += length
    return at if at < mark.size else 0


@compiled
def _put(mark: NDArray[np.uint8], at: int, number: int) -> int:
    """Four bytes of a number; past the end of ``mark`` nothing is written and only counted."""
    if at + 4 <= mark.size:
        for k in range(4):
            mark[at + k] = (number >> (8 * k)) & 0xFF
    return at + 4


def _module(elements: Elements) -> PixelModule:
    layout = _pixel_format(elements)
    values = elements.values
    return PixelModule(
        layout=layout,
        syntax=elements.encoding.transfer_syntax_uid,
        is_little_endian=elements.encoding.is_little_endian,
        frames=_frames(elements),
        slope=number(values.get(_SLOPE)),
        intercept=number(values.get(_INTERCEPT)),
        photometric=text(values.get(_PHOTOMETRIC)) or "MONOCHROME2",
        padding=_padding(elements, layout),
        has_lut=MODALITY_LUT in elements.sequences,
        offsets=_extended_offsets(elements),
    )


def _frames(elements: Elements) -> int:
    frames = integer(elements.values.get(_FRAMES), "IS", is_little_endian=True)
    return 1 if frames is None or frames < 1 else frames


def _pixels(elements: Elements) -> PixelElement:
    if elements.pixels is None:
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends before its pixel data")
    return elements.pixels


def _extended_offsets(elements: Elements) -> tuple[int, ...]:
    found = elements.values.get(_EXTENDED_OFFSETS)
    return () if found is None else tuple(np.frombuffer(found.value, "<u8", len(found.value) // 8).tolist())


def _pixel_format(elements: Elements) -> PixelFormat:
    def value(tag: int, default: int | None = None) -> int | None:
        found = integer(elements.values.get(tag), "US", is_little_endian=elements.encoding.is_little_endian)
        return default if found is None else found

    if _pixels(elements).tag != _PIXEL_DATA:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "floating point pixels")
    if value(_SAMPLES, 1) != 1:
        raise Rejected(Reason.NOT_MONOCHROME)
    rows, columns, allocated = value(_ROWS), value(_COLUMNS), value(_ALLOCATED)
    if not rows or not columns or rows * columns > MAXIMUM_PIXELS:
        raise Rejected(Reason.IMPLAUSIBLE_HEADER, f"{rows} rows, {columns} columns")
    stored = value(_STORED, allocated)
    if allocated not in (8, 16, 32) or stored is None or not 1 <= stored <= allocated:
        raise Rejected(Reason.IMPLAUSIBLE_HEADER, f"{stored} bits stored in {allocated}")
    high = value(_HIGH, stored - 1)
    if high is None or not stored - 1 <= high < allocated:
        high = stored - 1
    return PixelFormat(rows, columns, allocated, stored, high, value(_SIGNED, 0) == 1)


def _padding(elements: Elements, layout: PixelFormat) -> tuple[int, int] | None:
    """The padding range; its VR may say unsigned for signed pixels, so it goes through the same bits as they do."""
    ends = []
    for tag in (_PADDING, _PADDING_LIMIT):
        found = integer(elements.values.get(tag), "US", is_little_endian=elements.encoding.is_little_endian)
        if found is not None:
            word = np.array([found & (2**layout.bits_allocated - 1)], f"u{layout.bits_allocated // 8}")
            stored = stored_values(word, bits_stored=layout.bits_stored, shift=0, is_signed=layout.is_signed)
            ends.append(int(stored[0]))
    has_value = _PADDING in elements.values and bool(ends)
    return (min(ends), max(ends)) if has_value else None


@warms_up
def _warm_up() -> None:
    content = np.frombuffer(bytes(16), np.uint8)
    _mark(content, _TAGS, np.empty(PLACES, np.int64), np.empty(_LONGEST_MARK, np.uint8))
