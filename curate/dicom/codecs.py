"""Compressed frames, through decoders that are chosen by name.

RLE goes to pydicom's own decoder and everything of the JPEG family to GDCM; pydicom alone would take the first plugin
that happens to be installed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit, RLELossless

from curate.errors import Rejected
from curate.reasons import Reason

if TYPE_CHECKING:
    from curate.dicom.frames import PixelFormat

_END_OF_IMAGE = b"\xff\xd9"  # JPEG, JPEG-LS and JPEG 2000 alike
_LONGEST_TRAILER = 64
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # F7: JPEG-LS
_DECODING_ERRORS = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def decode_codestream(syntax: str, codestream: bytes, layout: PixelFormat) -> NDArray[np.integer]:
    """Decode one monochrome frame -> (rows, columns) words of the size that the codec gives.

    Raises Rejected(UNDECODABLE_PIXELS) for a stream that is damaged, cut, or of another size than the header says.
    """
    if syntax != RLELossless:
        _check_stream(codestream, layout)
    if syntax == JPEGExtended12Bit and layout.bits_stored > 8:
        frame = _decode_extended(codestream, layout)
    else:
        frame = _decode(syntax, codestream, layout)
    if frame.shape != (layout.rows, layout.columns):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder gave another size than the header says")
    return frame


def _decode(syntax: str, codestream: bytes, layout: PixelFormat) -> NDArray[np.integer]:
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.is_signed),
        "pixel_keyword": "PixelData",
    }
    plugin = "pydicom" if syntax == RLELossless else "gdcm"
    encapsulated = encapsulate([codestream], has_bot=False)
    try:
        frame, _ = get_decoder(syntax).as_array(encapsulated, index=0, raw=True, decoding_plugin=plugin, **options)
    except (*_DECODING_ERRORS, struct.error):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder refused the compressed pixels") from None
    return frame


def _decode_extended(codestream: bytes, layout: PixelFormat) -> NDArray[np.integer]:
    """JPEG extended of 12 bits, which pydicom's own wrapper of GDCM declines."""
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


def _check_stream(codestream: bytes, layout: PixelFormat) -> None:
    if _END_OF_IMAGE not in codestream[-_LONGEST_TRAILER:]:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the compressed image has no end marker")
    size = _jpeg_2000_size(codestream) if codestream[:2] == b"\xff\x4f" else _jpeg_size(codestream)
    if size != (layout.rows, layout.columns, 1):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the compressed image has another size than the header says")


def _jpeg_size(codestream: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG or JPEG-LS stream (ITU-T T.81 B.2.2), or None."""
    if codestream[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 10 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", codestream, at + 5)
            return rows, columns, components
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None


def _jpeg_2000_size(codestream: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) from the SIZ segment, which comes first (ITU-T T.800 A.5.1), or None."""
    if len(codestream) < 42 or codestream[2:4] != b"\xff\x51":
        return None
    width, height, left, top = struct.unpack_from(">LLLL", codestream, 8)
    return height - top, width - left, int.from_bytes(codestream[40:42], "big")
