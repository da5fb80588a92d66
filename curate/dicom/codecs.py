"""Compressed monochrome frames, each through the decoder of its codestream's own kind.

RLE and JPEG lossless are decoded here; JPEG of 8 and 12 bits, JPEG-LS, JPEG 2000 and high-throughput JPEG 2000 by
imagecodecs (libjpeg-turbo, CharLS, OpenJPEG). Before a library is called, the stream must say the header's
size and end where its markers say, because several of them fill what is missing with grey and call it success.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import RLELossless

from curate.dicom.codestreams import JPEG_2000_START, JPEG_LS, read_frame_header
from curate.dicom.jpeg_lossless import decode_jpeg_lossless
from curate.dicom.jpeg_markers import START_OF_FRAME as _LOSSLESS
from curate.dicom.rle import decode_rle
from curate.errors import Rejected
from curate.reasons import Reason

if TYPE_CHECKING:
    from curate.dicom.image_pixel import PixelFormat

_LIBRARY = "imagecodecs"
_END_OF_IMAGE = b"\xff\xd9"  # JPEG, JPEG-LS and JPEG 2000 alike
_LONGEST_TRAILER = 64
_JPEG_DCT = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_START_OF_TILE = 0x90  # JPEG 2000


def decode_codestream(syntax: str, codestream: bytes, layout: PixelFormat) -> NDArray[np.unsignedinteger]:
    """Decode one monochrome frame -> (rows, columns) unsigned words of BitsAllocated, nothing masked, writable.

    Which decoder is used is said by the stream, not by the syntax: archives mislabel one JPEG as another. Raises
    Rejected(UNDECODABLE_PIXELS) for a stream that is damaged, cut, or of another size, depth or number of components
    than the header says, and Rejected(UNSUPPORTED_TRANSFER_SYNTAX) for one whose decoder is not installed.
    """
    if syntax == RLELossless:
        return decode_rle(codestream, layout.rows, layout.columns, layout.bits_allocated)
    end = codestream.rfind(_END_OF_IMAGE, -_LONGEST_TRAILER)
    if end < 0:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the compressed image has no end marker")
    frame = read_frame_header(codestream)
    if frame is None or frame[:3] != (layout.rows, layout.columns, 1):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the compressed image has another size than the header says")
    precision, kind = frame.precision, frame.marker
    if precision > layout.bits_allocated:
        raise Rejected(Reason.UNDECODABLE_PIXELS, f"{precision} bits are coded, {layout.bits_allocated} allocated")
    if codestream.startswith(JPEG_2000_START):
        _check_tiles(codestream, end)
        # High-throughput streams too: OpenJPH is twice as fast, but its binding swallows errors and dies of bad sizes.
        words = _call("jpeg2k_decode", codestream)
    elif kind == _LOSSLESS:
        words = decode_jpeg_lossless(codestream, layout.rows, layout.columns)
    elif kind == JPEG_LS:
        words = _call("jpegls_decode", codestream)
    elif kind in _JPEG_DCT:
        words = _call("jpeg8_decode", codestream) if precision in (8, 12) else _decode_by_gdcm(codestream, layout)
    else:
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "a JPEG process that DICOM does not use")
    if words.shape != (layout.rows, layout.columns):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder gave another size than the header says")
    return _of_width(words, layout.bits_allocated // 8)


def _call(name: str, codestream: bytes) -> NDArray[np.integer]:
    """Let the library decode; it says by exceptions of its own, all RuntimeError or ValueError, that it cannot."""
    try:
        decode: Callable[..., Any] = getattr(importlib.import_module(_LIBRARY), name)
    except (ImportError, AttributeError):
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"needs {_LIBRARY}, which is not installed") from None
    try:
        words: NDArray[np.integer] = np.asarray(decode(codestream))
    except ImportError:
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"{_LIBRARY} has no {name} here") from None
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder refused the compressed pixels") from None
    return words


def _decode_by_gdcm(codestream: bytes, layout: PixelFormat) -> NDArray[np.integer]:
    """Lossy JPEG of a precision that T.81 does not know: GDCM writes 16 for 12 bits in 16, and alone reads it."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(codestream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    monochrome = gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    image.SetPhotometricInterpretation(monochrome)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    stored = layout.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, layout.bits_allocated, stored, stored - 1, int(layout.is_signed)))
    content = image.GetBuffer().encode("utf-8", "surrogateescape")  # GDCM hands bytes over as text
    if len(content) != layout.frame_bytes:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder refused the compressed pixels")
    return np.frombuffer(content, f"<u{layout.bits_allocated // 8}").reshape(layout.rows, layout.columns)


def _of_width(words: NDArray[np.integer], width: int) -> NDArray[np.unsignedinteger]:
    """Words of another width, signs extended (JPEG 2000 streams may be signed), as unsigned ones."""
    sized = words.astype(f"={words.dtype.kind}{width}", copy=not words.flags.writeable)
    unsigned: NDArray[np.unsignedinteger] = np.ascontiguousarray(sized).view(f"=u{width}")
    return unsigned


def _check_tiles(codestream: bytes, end: int) -> None:
    """The segments of the main header and then the tile-parts follow each other up to the end marker (T.800 A.4)."""
    at = 2
    while at + 12 <= end and codestream[at] == 0xFF:
        marker, length = codestream[at + 1], int.from_bytes(codestream[at + 2 : at + 4], "big")
        if marker == _START_OF_TILE:
            (part,) = struct.unpack_from(">L", codestream, at + 6)
            if part == 0:  # the last one, up to the end marker
                return
            length = part - 2
        if length < 2:
            break
        at += 2 + length
    if at != end:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the parts of the compressed image do not add up")
