"""Compressed frames become the pixels that pydicom and its plugins read from the same files."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from curate.deid.pixels.decode import decode_frames
from curate.deid.pixels.fragments import Frames, read_frames
from curate.deid.pixels.native import PixelLayout
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.pixel_files import header_of

FILES = [
    "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_jpeg2k.dcm",
    "examples_ybr_color.dcm", "693_J2KI.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_pydicom(name: str) -> None:
    path = str(get_testdata_file(name))
    with open(path, "rb") as stream:
        header = header_of(stream.read())
    frames = read_frames(header.value(0x7FE00010), header.pixels.frames)
    content, layout, _ = decode_frames(frames, header.pixels, header.file.transfer_syntax_uid)
    wanted = dcmread(path).pixel_array
    assert np.array_equal(np.frombuffer(content, wanted.dtype.newbyteorder("<"))[: wanted.size], wanted.ravel())
    assert layout.photometric == (b"RGB" if layout.samples == 3 else header.pixels.photometric)


def test_letters_in_unused_bits_of_compressed_words_are_found_and_cleared() -> None:
    words = np.arange(48, dtype="<u2")
    hidden = (words | 0x8000).astype("<u2")
    stream = get_encoder(RLELossless).encode(
        hidden.tobytes(), encoding_plugin="pydicom", rows=6, columns=8, number_of_frames=1, samples_per_pixel=1,
        bits_allocated=16, bits_stored=16, pixel_representation=0, photometric_interpretation="MONOCHROME2",
    )  # fmt: skip
    layout = PixelLayout(6, 8, 1, 1, 16, 12, 11, False, b"MONOCHROME2")
    content, _, is_cleared = decode_frames(Frames(((stream,),), has_offsets=False), layout, str(RLELossless))
    assert is_cleared
    assert content == words.tobytes()


@pytest.mark.parametrize(
    ("syntax", "changes", "reason"),
    [
        ("1.2.840.10008.1.2.4.100", {}, Reason.UNSUPPORTED_TRANSFER_SYNTAX),
        ("1.2.840.10008.1.2.5", {"rows": 65535, "columns": 65535}, Reason.IMPLAUSIBLE_HEADER),
        ("1.2.840.10008.1.2.5", {"bits_allocated": 12}, Reason.IMPLAUSIBLE_HEADER),
        ("1.2.840.10008.1.2.5", {"frames": 100_000_000}, Reason.TOO_LARGE),
        ("1.2.840.10008.1.2.5", {}, Reason.UNDECODABLE_PIXELS),
        ("1.2.840.10008.1.2.4.50", {"samples": 3, "bits_allocated": 8}, Reason.UNDECODABLE_PIXELS),
    ],
)
def test_damage_is_named(syntax: str, changes: dict[str, int], reason: Reason) -> None:
    numbers = {"rows": 6, "columns": 8, "frames": 1, "samples": 1, "bits_allocated": 16} | changes
    layout = PixelLayout(**numbers, bits_stored=8, high_bit=7, signed=False, photometric=b"MONOCHROME2")
    with pytest.raises(Rejected) as caught:
        decode_frames(Frames(((b"\xff\xd8 no picture \xff\xd9",),), has_offsets=False), layout, syntax)
    assert caught.value.reason is reason
