"""One slice's pixels: stored values, bit exact, whatever the transfer syntax (PS3.5 sections 8 and A.4).

Sizes are checked against the bytes before anything is allocated, and an encapsulated frame must end with its end
marker, because the JPEG decoders fill a truncated image with grey and call it success.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from curate.dicom.codecs import decode_codestream
from curate.dicom.elements import UNDEFINED_LENGTH, Elements, read_elements
from curate.dicom.values import integer, number, text
from curate.errors import Rejected
from curate.reasons import Reason

NATIVE_SYNTAXES = frozenset(
    map(str, (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian))
)
ENCAPSULATED_SYNTAXES = frozenset(
    map(
        str,
        (
            RLELossless,
            JPEGBaseline8Bit,
            JPEGExtended12Bit,
            JPEGLossless,
            JPEGLosslessSV1,
            JPEGLSLossless,
            JPEGLSNearLossless,
            JPEG2000Lossless,
            JPEG2000,
        ),
    )
)
DECODABLE_SYNTAXES = NATIVE_SYNTAXES | ENCAPSULATED_SYNTAXES
MAXIMUM_PIXELS = 2**26  # 8192 x 8192: far above any CT or MR slice

_ROWS, _COLUMNS, _SAMPLES, _FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280008
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_PHOTOMETRIC, _PADDING, _PADDING_LIMIT = 0x00280004, 0x00280120, 0x00280121
_INTERCEPT, _SLOPE, _MODALITY_LUT = 0x00281052, 0x00281053, 0x00283000
_WANTED = (
    *(_ROWS, _COLUMNS, _SAMPLES, _FRAMES, _ALLOCATED, _STORED, _HIGH, _SIGNED),
    *(_PHOTOMETRIC, _PADDING, _PADDING_LIMIT, _INTERCEPT, _SLOPE, _MODALITY_LUT),
)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSlice:
    """Stored values of one slice and what turns them into something physical.

    ``pixels``: (rows, columns), uint8, int8, uint16, int16, uint32 or int32, native byte order; bits above BitsStored
    are masked and the sign is extended. ``slope``, ``intercept``: None where the header has none. ``padding``: lowest
    and highest stored value that mark pixels outside the field of view (PS3.3 C.7.5.1.1.2), inclusive.
    """

    pixels: NDArray[np.integer]
    slope: float | None
    intercept: float | None
    photometric: str
    bits_stored: int
    padding: tuple[int, int] | None = None


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


def decode_slice(raw: bytes) -> DecodedSlice:
    """Decode the only frame of one DICOM file.

    Raises Rejected with TRUNCATED_FILE when the pixel data end early, UNDECODABLE_PIXELS when they are damaged (or go
    through a Modality LUT), UNSUPPORTED_TRANSFER_SYNTAX, NOT_MONOCHROME,
    MULTIFRAME or IMPLAUSIBLE_HEADER.
    """
    elements = read_elements(raw, _WANTED)
    if not elements.is_complete:
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside its header")
    layout = _pixel_format(elements)
    syntax = elements.encoding.transfer_syntax_uid
    if syntax is not None and syntax not in DECODABLE_SYNTAXES:
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX)
    if syntax in ENCAPSULATED_SYNTAXES:
        stored = decode_codestream(str(syntax), _codestream(elements), layout)
        stored = _conform(stored, layout, shift=0)
    else:
        stored = _conform(_native(elements, layout), layout, shift=layout.high_bit + 1 - layout.bits_stored)
    return DecodedSlice(
        pixels=stored,
        slope=number(elements.values.get(_SLOPE)),
        intercept=number(elements.values.get(_INTERCEPT)),
        photometric=text(elements.values.get(_PHOTOMETRIC)) or "MONOCHROME2",
        bits_stored=layout.bits_stored,
        padding=_padding(elements, layout),
    )


def _pixel_format(elements: Elements) -> PixelFormat:
    def value(tag: int, default: int | None = None) -> int | None:
        found = integer(elements.values.get(tag), "US", is_little_endian=elements.encoding.is_little_endian)
        return default if found is None else found

    if elements.pixels is None:
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends before its pixel data")
    if elements.pixels.tag != 0x7FE00010:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "floating point pixels")
    if _MODALITY_LUT in elements.sequences:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "values go through a Modality LUT")
    frames = integer(elements.values.get(_FRAMES), "IS", is_little_endian=True)
    if frames is not None and frames > 1:
        raise Rejected(Reason.MULTIFRAME, f"{frames} frames")
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


def _native(elements: Elements, layout: PixelFormat) -> NDArray[np.integer]:
    """Unsigned stored words of an uncompressed frame, (rows, columns), as they stand in the file."""
    pixels = elements.pixels
    assert pixels is not None
    if pixels.length == UNDEFINED_LENGTH:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "encapsulated pixels under a native transfer syntax")
    there = min(pixels.length, len(elements.body) - pixels.start)
    if there < layout.frame_bytes:
        raise Rejected(Reason.TRUNCATED_FILE, f"{there} of {layout.frame_bytes} bytes of pixels are there")
    order = "<" if elements.encoding.is_little_endian else ">"
    words = np.frombuffer(
        elements.body, f"{order}u{layout.bits_allocated // 8}", layout.rows * layout.columns, offset=pixels.start
    )
    if layout.bits_allocated == 8 and pixels.vr == "OW" and order == ">":
        words = _swap_pairs(elements.body[pixels.start : pixels.start + pixels.length], words.size)
    return words.reshape(layout.rows, layout.columns)


def _swap_pairs(value: bytes, count: int) -> NDArray[np.integer]:
    """8-bit pixels that a big endian file packs in 16-bit words: the first pixel is the low byte (PS3.5 8.1.1)."""
    even = value[: len(value) // 2 * 2]
    return np.frombuffer(np.frombuffer(even, ">u2").astype("<u2").tobytes(), np.uint8)[:count]


def _codestream(elements: Elements) -> bytes:
    """The fragments after the offset table, joined: one frame may be cut into several (PS3.5 A.4)."""
    pixels = elements.pixels
    assert pixels is not None
    if pixels.length != UNDEFINED_LENGTH:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "native pixels under a compressed transfer syntax")
    fragments: list[bytes] = []
    at = pixels.start
    while True:
        if at + 8 > len(elements.body):
            raise Rejected(Reason.TRUNCATED_FILE, "the file ends before its last fragment of pixels")
        group, element, length = struct.unpack_from("<HHL", elements.body, at)
        if (group, element) == (0xFFFE, 0xE0DD):
            return b"".join(fragments[1:])
        if (group, element) != (0xFFFE, 0xE000):
            raise Rejected(Reason.UNDECODABLE_PIXELS, "something else stands between the fragments")
        if at + 8 + length > len(elements.body):
            raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside a fragment of pixels")
        fragments.append(elements.body[at + 8 : at + 8 + length])
        at += 8 + length


def _conform(words: NDArray[np.integer], layout: PixelFormat, *, shift: int) -> NDArray[np.integer]:
    """Bits above BitsStored masked, sign extended (PS3.5 8.1.1); a fresh array in native byte order."""
    kind = f"{'i' if layout.is_signed else 'u'}{words.dtype.itemsize}"
    values = words.astype(f"=u{words.dtype.itemsize}")
    unused = 8 * words.dtype.itemsize - layout.bits_stored
    if shift:
        values >>= values.dtype.type(shift)
    signed: NDArray[np.integer] = values.view(f"={kind}")
    if unused > 0:
        signed <<= signed.dtype.type(unused)
        signed >>= signed.dtype.type(unused)  # arithmetic for signed, logical for unsigned
    return signed


def _padding(elements: Elements, layout: PixelFormat) -> tuple[int, int] | None:
    """The padding range; its VR may say unsigned for signed pixels, so it goes through the same bits as they do."""
    ends = []
    for tag in (_PADDING, _PADDING_LIMIT):
        found = integer(elements.values.get(tag), "US", is_little_endian=elements.encoding.is_little_endian)
        if found is not None:
            word = np.array([found & (2**layout.bits_allocated - 1)], f"u{layout.bits_allocated // 8}")
            ends.append(int(_conform(word, layout, shift=0)[0]))
    has_value = _PADDING in elements.values and bool(ends)
    return (min(ends), max(ends)) if has_value else None
