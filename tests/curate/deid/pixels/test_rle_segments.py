"""RLE frames of pydicom's own encoder: bit-identical when clean, silent beside their runs when not."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from curate.deid.pixels.rle_segments import clean_rle
from curate.errors import Quarantined
from curate.reasons import Reason

ROWS, COLUMNS = 6, 8
AREA = ROWS * COLUMNS


def compress(words: NDArray[np.uint16]) -> bytes:
    encoder = get_encoder(RLELossless)
    return encoder.encode(
        words.astype("<u2").tobytes(), encoding_plugin="pydicom", rows=ROWS, columns=COLUMNS, number_of_frames=1,
        samples_per_pixel=1, bits_allocated=16, bits_stored=16, pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )  # fmt: skip


FRAME = compress((np.arange(AREA, dtype=np.uint16) * 37).reshape(ROWS, COLUMNS))


@given(st.lists(st.integers(0, 65535), min_size=AREA, max_size=AREA))
@settings(max_examples=50, deadline=None)
def test_clean_frames_are_the_very_same_object(words: list[int]) -> None:
    frame = compress(np.array(words, np.uint16).reshape(ROWS, COLUMNS))
    assert clean_rle(frame, AREA) is frame


def test_padding_of_one_zero_is_no_text() -> None:
    frame = FRAME + b"\0"
    assert clean_rle(frame, AREA) is frame


def test_letters_after_the_last_run_are_cut() -> None:
    assert clean_rle(FRAME + b"Quixotova", AREA).rstrip(b"\0") == FRAME.rstrip(b"\0")


def test_letters_between_segments_become_zeros_and_offsets_stay() -> None:
    count, first, second = struct.unpack_from("<3I", FRAME)
    hidden = struct.pack("<16I", 2, 64, second + 8, *[0] * 13) + FRAME[64:second] + b"Almudena" + FRAME[second:]
    cleaned = clean_rle(hidden, AREA)
    assert (count, first) == (2, 64)
    assert cleaned[:second] == hidden[:second]
    assert cleaned[second : second + 8] == bytes(8)
    assert cleaned[second + 8 :].rstrip(b"\0") == FRAME[second:].rstrip(b"\0")


@pytest.mark.parametrize(
    "frame",
    [
        b"too short",
        struct.pack("<16I", 0, *[0] * 15) + FRAME[64:],
        struct.pack("<16I", 16, *[64] * 15) + FRAME[64:],
        struct.pack("<16I", 1, 64, 0x78697551, *[0] * 13) + FRAME[64:],  # letters in an unused offset
        struct.pack("<16I", 1, 80, *[0] * 14) + FRAME[64:],  # a gap before the first segment
        struct.pack("<16I", 2, 64, 64, *[0] * 13) + FRAME[64:],
        FRAME[:70],
    ],
)
def test_what_does_not_fit_is_refused(frame: bytes) -> None:
    with pytest.raises(Quarantined) as caught:
        clean_rle(frame, AREA)
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED


def test_a_control_of_128_is_nothing() -> None:
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x80\xd1\x07\x80"  # 48 times 7
    assert clean_rle(frame + b"text", 48)[64:67] == b"\x80\xd1\x07"
