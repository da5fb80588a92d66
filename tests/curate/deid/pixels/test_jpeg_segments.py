"""Streams that others wrote, with text planted between their segments: the text goes, every other byte stays."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from curate.deid.pixels.jpeg_segments import clean_codestream
from curate.dicom.codestreams import sample_precision
from curate.errors import Quarantined
from curate.reasons import Reason

JPEGS = ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "examples_ybr_color.dcm", "MR_small_jpeg_ls_lossless.dcm"]
JPEG_2000 = ["MR_small_jp2klossless.dcm", "examples_jpeg2k.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"]


def stream_of(name: str) -> bytes:
    dataset = dcmread(str(get_testdata_file(name)))
    return next(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1))))


def bare(stream: bytes) -> bytes:
    """Without padding after the end marker."""
    return stream[: stream.rindex(b"\xff\xd9") + 2]


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def refused(stream: bytes) -> None:
    with pytest.raises(Quarantined) as caught:
        clean_codestream(stream)
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED


@pytest.mark.parametrize("name", [*JPEGS, *JPEG_2000])
def test_streams_as_encoders_write_them_are_the_very_same_object(name: str) -> None:
    stream = stream_of(name)
    assert clean_codestream(stream) is stream


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize(
    "planted",
    [
        segment(0xFE, b"Quixotova^Almudena"),
        segment(0xE1, b"Exif\0\0Quixotova"),
        segment(0xED, b"Photoshop 3.0\0Quixotova"),
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\0 Quixotova"),
        segment(0xFE, b"LEAD Technologies Inc. V1.01 for Quixotova"),
        segment(0xFE, b"Quixo") + segment(0xFE, b"tova"),
    ],
)
def test_planted_segments_go_and_nothing_else(name: str, planted: bytes) -> None:
    stream = stream_of(name).rstrip(b"\0")
    assert clean_codestream(stream[:2] + planted + stream[2:]) == stream


@pytest.mark.parametrize("name", [*JPEGS, *JPEG_2000])
def test_bytes_after_the_end_marker_go(name: str) -> None:
    stream = stream_of(name)
    end = stream.rindex(b"\xff\xd9") + 2
    assert clean_codestream(stream[:end] + b"Quixotova") == stream[:end]


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0\0", b"\xff"])
def test_padding_after_the_end_marker_stays(padding: bytes) -> None:
    stream = stream_of(JPEGS[0]).rstrip(b"\0") + padding
    assert clean_codestream(stream) is stream


def test_a_comment_between_scans_goes_and_the_picture_stays() -> None:
    grey = np.random.default_rng(1).integers(0, 255, (40, 56), np.uint8)
    written = BytesIO()
    Image.fromarray(grey).save(written, "JPEG", progressive=True, quality=80)
    stream = written.getvalue()
    second_scan = stream.index(b"\xff\xda", stream.index(b"\xff\xda") + 2)
    hidden = stream[:second_scan] + segment(0xFE, b"Quixotova") + stream[second_scan:]
    cleaned = clean_codestream(hidden)
    assert b"Quixotova" not in cleaned
    assert np.array_equal(np.asarray(Image.open(BytesIO(cleaned))), np.asarray(Image.open(BytesIO(stream))))


def test_a_thumbnail_in_the_jfif_segment_goes() -> None:
    thumbnail = b"JFIF\0\1\1\0\0\1\0\1\2\2" + b"Quixotova^^^"
    stream = stream_of("SC_rgb_jpeg_gdcm.dcm")
    assert b"Quixotova" not in clean_codestream(stream[:2] + segment(0xE0, thumbnail) + stream[2:])


@pytest.mark.parametrize("name", JPEG_2000)
def test_comments_in_the_main_header_of_jpeg_2000_go(name: str) -> None:
    stream = stream_of(name)
    end = 4 + int.from_bytes(stream[4:6], "big")  # of the SIZ segment
    for planted in (segment(0x64, b"\0\1Quixotova"), segment(0x64, b"\0\0Quixotova"), segment(0x64, b"\0\1Kakadu-7 Q")):
        assert clean_codestream(stream[:end] + planted + stream[end:]) == bare(stream)


@pytest.mark.parametrize("name", JPEG_2000)
def test_comments_in_a_tile_part_of_jpeg_2000_go_and_its_length_follows(name: str) -> None:
    stream = stream_of(name)
    start = stream.index(b"\xff\x90\0\n")
    planted = segment(0x64, b"\0\1Quixotova")
    length = int.from_bytes(stream[start + 6 : start + 10], "big")
    longer = (length + len(planted) if length else 0).to_bytes(4, "big")
    hidden = stream[: start + 6] + longer + stream[start + 10 : start + 12] + planted + stream[start + 12 :]
    assert clean_codestream(hidden) == bare(stream)


def test_comments_in_tile_parts_with_listed_lengths_are_refused() -> None:
    stream = stream_of(JPEG_2000[0])
    end, start = 4 + int.from_bytes(stream[4:6], "big"), stream.index(b"\xff\x90\0\n")
    length = int.from_bytes(stream[start + 6 : start + 10], "big")
    planted = segment(0x64, b"\0\1Quixotova")
    part = stream[start : start + 6] + (length + len(planted)).to_bytes(4, "big") + stream[start + 10 : start + 12]
    listed = segment(0x55, b"\0\x40" + length.to_bytes(4, "big"))
    refused(stream[:end] + listed + stream[end:start] + part + planted + stream[start + 12 :])


def test_broken_streams_are_refused() -> None:
    stream = stream_of(JPEGS[0])
    end = stream.rindex(b"\xff\xd9")
    refused(b"Quixotova")
    refused(b"\0\0\0\x0cjP  \r\n\x87\n")  # JP2 boxes, which DICOM does not allow
    refused(stream[:end])
    refused(stream[:2] + b"text" + stream[2:])
    refused(stream[:2] + b"\xff\xfe\xff\xff" + b"short")
    refused(stream[:2] + b"\xff\xfe\0\0" + stream[2:])
    packed = stream_of(JPEG_2000[0])
    refused(packed[: packed.rindex(b"\xff\xd9")])
    refused(packed[:60])
    refused(packed.replace(b"\xff\x90\0\n", b"\xff\x91\0\n"))


def test_fill_bytes_between_segments_go() -> None:
    stream = stream_of(JPEGS[0]).rstrip(b"\0")
    assert clean_codestream(stream[:2] + b"\xff\xff" + stream[2:]) == stream


@pytest.mark.parametrize(
    ("name", "bits"),
    [("SC_rgb_jpeg_dcmtk.dcm", 8), ("JPGExtended.dcm", 12), ("MR_small_jpeg_ls_lossless.dcm", 16), (JPEG_2000[0], 16)],
)
def test_precision_is_that_of_the_stream(name: str, bits: int) -> None:
    assert sample_precision(stream_of(name)) == bits
