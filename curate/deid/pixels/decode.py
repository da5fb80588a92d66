"""Compressed frames of one object as native pixels, for the few objects whose pixels must change or be looked at.

Grey and palette frames go through ``curate.dicom.codecs``; colour ones through pydicom with the same decoders chosen
by name, and come back as RGB. The result is written as explicit little endian, interleaved.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

from curate.deid.pixels.fragments import Frames
from curate.deid.pixels.native import PixelLayout, clear_unused_bits
from curate.dicom.codecs import decode_codestream
from curate.dicom.codestreams import sample_precision
from curate.dicom.frames import ENCAPSULATED_SYNTAXES
from curate.dicom.image_pixel import MAXIMUM_PIXELS, PixelFormat
from curate.errors import Rejected
from curate.reasons import Reason

LARGEST_DECODED = 1 << 31
_DECODING_ERRORS = (
    AttributeError, EOFError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError,
    ValueError, struct.error,
)  # fmt: skip


def decode_frames(frames: Frames, layout: PixelLayout, transfer_syntax_uid: str) -> tuple[bytes, PixelLayout, bool]:
    """Native little endian bytes of all frames, the layout that they now have, and whether unused bits held something.

    Raises Rejected: UNSUPPORTED_TRANSFER_SYNTAX, UNDECODABLE_PIXELS, TOO_LARGE, IMPLAUSIBLE_HEADER.
    """
    if transfer_syntax_uid not in ENCAPSULATED_SYNTAXES:
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX)
    if layout.bits_allocated not in (8, 16, 32) or layout.rows * layout.columns > MAXIMUM_PIXELS or not layout.length:
        raise Rejected(Reason.IMPLAUSIBLE_HEADER)
    native = replace(layout, photometric=b"RGB") if layout.samples == 3 else layout
    if native.length > LARGEST_DECODED:
        raise Rejected(Reason.TOO_LARGE)
    decode = _colour if layout.samples == 3 else _grey
    content = b"".join(
        decode(frames.codestream(number), layout, transfer_syntax_uid) for number in range(len(frames.frames))
    )
    if len(content) != native.length:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder gave another size than the header says")
    cleared = clear_unused_bits(content, native, little=True)
    return cleared or content, native, cleared is not None


def _grey(codestream: bytes, layout: PixelLayout, syntax: str) -> bytes:
    """All bits that the stream holds: a decoder told of fewer would clear the others unseen."""
    held = layout.bits_allocated if syntax == RLELossless else sample_precision(codestream)
    bits = min(max(layout.bits_stored, held), layout.bits_allocated)
    shape = PixelFormat(layout.rows, layout.columns, layout.bits_allocated, bits, bits - 1, layout.signed)
    words = decode_codestream(syntax, codestream, shape)
    return words.astype(f"<u{layout.bits_allocated // 8}").tobytes()


def _colour(codestream: bytes, layout: PixelLayout, syntax: str) -> bytes:
    options = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 3,
        "photometric_interpretation": layout.photometric.decode("latin-1"),
        "planar_configuration": 0,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": "PixelData",
    }
    plugin = "pydicom" if syntax == RLELossless else "gdcm"
    try:
        decoder = get_decoder(syntax)
        encapsulated = encapsulate([codestream], has_bot=False)
        frame, _ = decoder.as_array(encapsulated, index=0, raw=False, decoding_plugin=plugin, **options)  # type: ignore[arg-type]
    except _DECODING_ERRORS:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the decoder refused the compressed pixels") from None
    return np.ascontiguousarray(frame).astype(f"<u{layout.bits_allocated // 8}").tobytes()
