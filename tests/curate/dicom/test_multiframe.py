from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from curate.dicom.fragments import split_frames
from curate.dicom.frames import count_frames, decode_frames, decode_slice
from curate.errors import Rejected
from curate.reasons import Reason
from tests.curate.dicom.codestreams import jpeg_lossless, stream_of
from tests.support.dicom_files import encode, make_dataset, make_file

FRAMES = np.random.default_rng(0).integers(0, 4096, (3, 12, 10)).astype(np.uint16)
LIAR = 10**9


def native(frames: int = 3, **attributes: Any) -> Dataset:
    dataset = make_dataset(FRAMES[0], BitsStored=12, **attributes)
    dataset.NumberOfFrames = frames
    dataset.PixelData = FRAMES.tobytes()
    return dataset


def compressed(value: bytes, frames: int = 3, syntax: str = JPEGLosslessSV1, **attributes: Any) -> bytes:
    dataset = native(frames, **attributes)
    dataset.PixelData = value
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return encode(dataset, syntax)


def streams() -> list[bytes]:
    return [jpeg_lossless(frame, precision=12) for frame in FRAMES]


def item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(content)) + content


def halves() -> tuple[list[bytes], list[int]]:
    """Every stream in two fragments, and the offsets of the first of each frame."""
    items, offsets, at = [], [], 0
    for stream in streams():
        even = stream + b"\0" * (len(stream) % 2)
        half = len(even) // 4 * 2
        offsets.append(at)
        for part in (even[:half], even[half:]):
            items.append(item(part))
            at += len(items[-1])
    return items, offsets


def check(raw: bytes) -> None:
    found = list(decode_frames(raw))
    assert [each.frame for each in found] == [0, 1, 2]
    np.testing.assert_array_equal(np.stack([each.pixels for each in found]), FRAMES)
    (last,) = decode_frames(raw, [2])
    np.testing.assert_array_equal(last.pixels, FRAMES[2])
    assert count_frames(raw) == 3


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_native_frames_come_one_by_one(syntax: str) -> None:
    check(encode(native(), syntax))


@pytest.mark.parametrize("has_table", [True, False])
def test_encapsulated_frames_of_one_fragment_each(has_table: bool) -> None:
    check(compressed(encapsulate(streams(), has_bot=has_table)))
    check(compressed(encapsulate([stream_of(f, JPEGLSLossless) for f in FRAMES], has_bot=has_table), 3, JPEGLSLossless))


def test_frames_of_several_fragments_are_found_by_the_basic_offset_table() -> None:
    items, offsets = halves()
    check(compressed(item(struct.pack("<3L", *offsets)) + b"".join(items)))


def test_frames_of_several_fragments_are_found_by_the_extended_offset_table() -> None:
    items, offsets = halves()
    dataset = native()
    dataset.ExtendedOffsetTable = struct.pack("<3Q", *offsets)
    dataset.ExtendedOffsetTableLengths = struct.pack("<3Q", *[10] * 3)
    dataset.PixelData = item(b"") + b"".join(items)
    dataset["PixelData"].is_undefined_length = True
    check(encode(dataset, JPEGLosslessSV1))
    value, table, lengths = encapsulate_extended([s + b"\0" * (len(s) % 2) for s in streams()])
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = value, table, lengths
    check(encode(dataset, JPEGLosslessSV1))


@pytest.mark.parametrize("table", [(0, 8, 16), (0, 0, 0), (2**32 - 1, 1, 2), (0, 1), ()])
def test_an_offset_table_that_fits_no_fragment_is_not_believed(table: tuple[int, ...]) -> None:
    items, _ = halves()
    check(compressed(item(struct.pack(f"<{len(table)}L", *table)) + b"".join(items)))


def test_fragments_that_cannot_be_told_apart_are_refused() -> None:
    items = [item(part) for stream in (b"ab" * 8, b"cd" * 8, b"ef" * 8) for part in (stream[:8], stream[8:])]
    with pytest.raises(Rejected) as caught:
        list(decode_frames(compressed(item(b"") + b"".join(items), syntax=RLELossless)))
    assert caught.value.reason is Reason.UNDECODABLE_PIXELS


@pytest.mark.parametrize("raw", [encode(native(LIAR)), compressed(encapsulate(streams()), LIAR)])
def test_a_billion_frames_that_are_not_there_cost_nothing(raw: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Rejected) as caught:
        decode_frames(raw)
    assert caught.value.reason is Reason.TRUNCATED_FILE
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_frame_that_is_not_there_is_an_error_of_the_caller() -> None:
    for frame in (-1, 3):
        with pytest.raises(IndexError):
            decode_frames(encode(native()), [frame])


def test_several_frames_are_no_slice_and_one_frame_is_both() -> None:
    with pytest.raises(Rejected) as caught:
        decode_slice(encode(native()))
    assert caught.value.reason is Reason.MULTIFRAME
    single = make_file(FRAMES[0], BitsStored=12, NumberOfFrames=1)
    (found,) = decode_frames(single)
    np.testing.assert_array_equal(found.pixels, decode_slice(single).pixels)


@pytest.mark.parametrize(
    "body", [b"", b"\xfe\xff\xdd\xe0\0\0\0\0", item(b"") + b"\xfe\xff\xdd\xe0\0\0\0\0", item(b"abcd")]
)
def test_encapsulated_pixels_without_a_fragment_or_an_end_are_refused(body: bytes) -> None:
    with pytest.raises(Rejected):
        split_frames(body, 0, 1)
