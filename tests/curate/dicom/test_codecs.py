from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from curate.dicom.codecs import decode_codestream
from curate.dicom.image_pixel import PixelFormat
from curate.errors import Rejected
from curate.reasons import Reason

LAYOUT = PixelFormat(rows=4, columns=8, bits_allocated=16, bits_stored=16, high_bit=15, is_signed=False)


def why(syntax: str, codestream: bytes) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as caught:
        decode_codestream(syntax, codestream, LAYOUT)
    return caught.value.reason, caught.value.detail


def test_a_hand_made_rle_frame_is_decoded() -> None:
    # PS3.5 G: two segments (high bytes, low bytes), each 32 bytes long, as runs of 16 equal bytes: -15 -> 16 times.
    high, low = b"\xf1\x01\xf1\x02", b"\xf1\x10\xf1\x20"
    header = b"".join(n.to_bytes(4, "little") for n in (2, 64, 68, *[0] * 13))
    frame = decode_codestream(RLELossless, header + high + low, LAYOUT)
    np.testing.assert_array_equal(frame, np.repeat([0x0110, 0x0220], 16).reshape(4, 8))


def test_a_jpeg_without_end_marker_never_reaches_the_decoder() -> None:
    assert why(JPEGLosslessSV1, b"\xff\xd8" + b"\x00" * 200) == (
        Reason.UNDECODABLE_PIXELS,
        "the compressed image has no end marker",
    )


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xd8\xff\xc3\x00\x0b\x10\xff\xff\xff\xff\x01\x00\x00\x00",  # 65535 x 65535
        b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x04\x00\x08\x03\x00\x00\x00",  # three components
        b"\xff\xd8\xff\xff\xff\xff\xff",  # fill bytes alone
        b"\xff\xd8\xff\xe0\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # a segment of no length
        b"GIF89a",
    ],
)
def test_a_jpeg_that_claims_another_image_is_refused_before_anything_is_allocated(header: bytes) -> None:
    assert why(JPEGLosslessSV1, header + b"\xff\xd9") == (
        Reason.UNDECODABLE_PIXELS,
        "the compressed image has another size than the header says",
    )


def test_a_jpeg_2000_that_claims_another_image_is_refused_before_anything_is_allocated() -> None:
    size = b"".join(n.to_bytes(4, "big") for n in (2**31, 2**31, 0, 0, 2**31, 2**31, 0, 0))
    stream = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + size + b"\x00\x01\x0f\x01\x01" + b"\xff\xd9"
    assert why(JPEG2000Lossless, stream)[0] is Reason.UNDECODABLE_PIXELS
