"""Pixels of one slice or of every frame: stored values, bit exact, whatever the transfer syntax (PS3.5 8 and A.4).

Sizes are checked against the bytes before anything is allocated: 65535 x 65535 pixels, 10**9 frames or a length that
lies cost no more than the bytes that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
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
from curate.dicom.elements import PixelElement
from curate.dicom.fragments import join, split_frames
from curate.dicom.header_kernel import UNDEFINED_LENGTH
from curate.dicom.image_pixel import PixelModule, read_pixel_module
from curate.dicom.modality_lut import ModalityLut, read_modality_lut
from curate.dicom.stored_values import stored_values
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
            HTJ2KLossless,
            HTJ2KLosslessRPCL,
            HTJ2K,
        ),
    )
)
DECODABLE_SYNTAXES = NATIVE_SYNTAXES | ENCAPSULATED_SYNTAXES


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSlice:
    """Stored values of one slice and what turns them into something physical.

    ``pixels``: (rows, columns), uint8, int8, uint16, int16, uint32 or int32, native byte order; bits above BitsStored
    are masked and the sign is extended. Not to be written to: they may be the bytes of the file. ``slope``,
    ``intercept``: the data set's own, None where it has none; frames with functional groups have theirs there.
    ``padding``: lowest and highest stored value that mark pixels outside the field of view (PS3.3 C.7.5.1.1.2),
    inclusive. ``frame``: counted from 0.

    ``modality_lut``: None, or the Modality LUT Type ("HU", "US" for unspecified) if the file has a Modality LUT. Then
    ``pixels`` are its output (uint16), slope is 1 and intercept 0, ``bits_stored`` is that of its entries, and
    ``outside``, (rows, columns), says where the stored values were padding, which the output no longer tells.
    """

    pixels: NDArray[np.integer]
    slope: float | None
    intercept: float | None
    photometric: str
    bits_stored: int
    padding: tuple[int, int] | None = None
    frame: int = 0
    modality_lut: str | None = None
    outside: NDArray[np.bool_] | None = None


def decode_slice(raw: bytes) -> DecodedSlice:
    """Decode the only frame of one DICOM file.

    Raises Rejected with TRUNCATED_FILE when the pixel data end early, UNDECODABLE_PIXELS when they or the Modality LUT
    are damaged, UNSUPPORTED_TRANSFER_SYNTAX (naming the package that is missing), NOT_MONOCHROME, MULTIFRAME or
    IMPLAUSIBLE_HEADER.
    """
    pixels = _Pixels(raw)
    if pixels.frames > 1:
        raise Rejected(Reason.MULTIFRAME, f"{pixels.frames} frames")
    return pixels.decode(pixels.locate()(0), 0)


def decode_frames(raw: bytes, frames: Sequence[int] | None = None) -> Iterator[DecodedSlice]:
    """Decode the frames of one DICOM file one by one, all of them or those given, counted from 0.

    Slope, intercept and padding are those of the data set; what the functional groups say of a frame (PS3.3
    C.7.6.16) is the caller's to apply. Raises as ``decode_slice`` does, and before the first frame where the file
    cannot hold as many as NumberOfFrames says; IndexError for a frame that is not there.
    """
    pixels = _Pixels(raw)
    find = pixels.locate()
    chosen = range(pixels.frames) if frames is None else frames
    if not all(0 <= frame < pixels.frames for frame in chosen):
        raise IndexError("no such frame")
    return (pixels.decode(find(frame), frame) for frame in chosen)


def count_frames(raw: bytes) -> int:
    """NumberOfFrames as the header says, 1 if it says nothing. Raises as ``decode_slice`` does for its header."""
    return _Pixels(raw).frames


class _Pixels:
    """One file's pixel data, and what is common to all its frames."""

    def __init__(self, raw: bytes) -> None:
        self.module, self.body, self.place = read_pixel_module(raw)
        syntax = self.module.syntax
        if syntax is not None and syntax not in DECODABLE_SYNTAXES:
            raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX)
        self.is_compressed = syntax in ENCAPSULATED_SYNTAXES
        self.frames = self.module.frames
        self.lut: ModalityLut | None = None
        if self.module.has_lut:
            self.lut = read_modality_lut(raw, is_signed=self.module.layout.is_signed)

    def locate(self) -> Callable[[int], NDArray[np.unsignedinteger]]:
        """What gives the unsigned words of a frame, once it is clear that all frames can be there."""
        if not self.is_compressed:
            return _native(self.body, self.place, self.module).__getitem__
        if self.place.length != UNDEFINED_LENGTH:
            raise Rejected(Reason.UNDECODABLE_PIXELS, "native pixels under a compressed transfer syntax")
        module, body = self.module, self.body
        fragments = split_frames(body, self.place.start, self.frames, module.offsets)
        return lambda frame: decode_codestream(str(module.syntax), join(body, fragments[frame]), module.layout)

    def decode(self, words: NDArray[np.unsignedinteger], frame: int) -> DecodedSlice:
        """Stored values, or what the Modality LUT makes of them."""
        module, layout = self.module, self.module.layout
        shift = 0 if self.is_compressed else layout.high_bit + 1 - layout.bits_stored
        stored = stored_values(words, bits_stored=layout.bits_stored, shift=shift, is_signed=layout.is_signed)
        found = DecodedSlice(
            pixels=stored,
            slope=module.slope,
            intercept=module.intercept,
            photometric=module.photometric,
            bits_stored=layout.bits_stored,
            padding=module.padding,
            frame=frame,
        )
        return found if self.lut is None else _through_lut(found, self.lut)


def _through_lut(found: DecodedSlice, lut: ModalityLut) -> DecodedSlice:
    outside = None
    if found.padding is not None:
        outside = (found.pixels >= found.padding[0]) & (found.pixels <= found.padding[1])
    return replace(
        found,
        pixels=lut.apply(found.pixels),
        slope=1.0,
        intercept=0.0,
        bits_stored=lut.bits,
        padding=None,
        modality_lut=lut.kind,
        outside=outside,
    )


def _native(body: bytes, pixels: PixelElement, module: PixelModule) -> NDArray[np.unsignedinteger]:
    """Unsigned words of uncompressed frames, (frames, rows, columns), as they stand in the file: a view of it."""
    layout, frames = module.layout, module.frames
    if pixels.length == UNDEFINED_LENGTH:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "encapsulated pixels under a native transfer syntax")
    there, needed = min(pixels.length, len(body) - pixels.start), layout.frame_bytes * frames
    if there < needed:
        raise Rejected(Reason.TRUNCATED_FILE, f"{there} of {needed} bytes of pixels are there")
    order = "<" if module.is_little_endian else ">"
    shape = (frames, layout.rows, layout.columns)
    if layout.bits_allocated == 8 and pixels.vr == "OW" and order == ">":
        return _swap_pairs(body[pixels.start : pixels.start + there], needed).reshape(shape)
    return np.ndarray(shape, f"{order}u{layout.bits_allocated // 8}", body, pixels.start)


def _swap_pairs(value: bytes, count: int) -> NDArray[np.uint8]:
    """8-bit pixels that a big endian file packs in 16-bit words: the first pixel is the low byte (PS3.5 8.1.1)."""
    even = value[: len(value) // 2 * 2]
    return np.frombuffer(np.frombuffer(even, ">u2").astype("<u2").tobytes(), np.uint8)[:count]
