from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEGLosslessSV1

from curate.dicom.frames import decode_slice
from curate.dicom.jpeg_lossless import decode_jpeg_lossless
from curate.dicom.jpeg_markers import read_markers
from curate.errors import Rejected
from curate.reasons import Reason
from tests.curate.dicom.codestreams import encapsulated, jpeg_lossless
from tests.support.dicom_files import compress, make_file

ROWS, COLUMNS = 13, 17


def noise(precision: int, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    whole = chance.integers(0, 1 << precision, (ROWS, COLUMNS))
    smooth = (np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) * 3) % (1 << precision)
    return np.where(chance.random((ROWS, COLUMNS)) < 0.3, whole, smooth).astype(np.uint16)


def why(stream: bytes, rows: int = ROWS, columns: int = COLUMNS) -> str:
    with pytest.raises(Rejected) as caught:
        decode_jpeg_lossless(stream, rows, columns)
    assert caught.value.reason is Reason.UNDECODABLE_PIXELS
    return caught.value.detail


@pytest.mark.parametrize("selection", range(1, 8))
@pytest.mark.parametrize("precision", [2, 7, 8, 12, 15, 16])
def test_every_selection_value_and_precision_is_bit_exact(selection: int, precision: int) -> None:
    pixels = noise(precision)
    stream = jpeg_lossless(pixels, precision=precision, selection=selection)
    np.testing.assert_array_equal(decode_jpeg_lossless(stream, ROWS, COLUMNS), pixels)


@pytest.mark.parametrize("selection", range(1, 8))
def test_the_point_transform_drops_the_low_bits_and_nothing_else(selection: int) -> None:
    pixels = noise(12)
    stream = jpeg_lossless(pixels, precision=12, selection=selection, point_transform=3)
    np.testing.assert_array_equal(decode_jpeg_lossless(stream, ROWS, COLUMNS), pixels >> 3 << 3)


@pytest.mark.parametrize("selection", range(1, 8))
@pytest.mark.parametrize("restart_rows", [1, 4, 12, 13, 20])
def test_restart_intervals_start_prediction_anew(selection: int, restart_rows: int) -> None:
    pixels = noise(14)
    stream = jpeg_lossless(pixels, precision=14, selection=selection, restart_rows=restart_rows, fill=True)
    np.testing.assert_array_equal(decode_jpeg_lossless(stream, ROWS, COLUMNS), pixels)


def test_more_than_eight_restarts_count_round() -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (40, 5)).astype(np.uint16)
    stream = jpeg_lossless(pixels, precision=12, restart_rows=2)
    np.testing.assert_array_equal(decode_jpeg_lossless(stream, 40, 5), pixels)


def test_the_encoder_of_these_tests_is_understood_by_gdcm_as_well() -> None:
    pydicom_pixels = pytest.importorskip("pydicom.pixels")
    pixels = noise(12)
    raw = encapsulated(pixels, jpeg_lossless(pixels, precision=12), JPEGLosslessSV1, BitsStored=12)
    from io import BytesIO

    np.testing.assert_array_equal(pydicom_pixels.pixel_array(BytesIO(raw), decoding_plugin="gdcm"), pixels)
    np.testing.assert_array_equal(decode_slice(raw).pixels, pixels)


def test_a_difference_of_32768_has_no_extra_bits() -> None:
    pixels = np.array([[0, 32768, 0, 32768, 65535, 32767]], np.uint16)
    stream = jpeg_lossless(pixels, precision=16)
    np.testing.assert_array_equal(decode_jpeg_lossless(stream, 1, 6), pixels)


def test_images_of_gdcm_with_steep_edges_are_bit_exact(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (64, 61)).astype(np.uint16)
    pixels[:, :30] = 7
    raw = compress(make_file(pixels), JPEGLosslessSV1, tmp_path)
    np.testing.assert_array_equal(decode_slice(raw).pixels, pixels)


def test_a_stream_that_is_cut_anywhere_is_refused() -> None:
    stream = jpeg_lossless(noise(12), precision=12, restart_rows=5)
    for length in range(len(stream)):
        why(stream[:length])
        why(stream[:length] + b"\xff\xd9" if length < len(stream) - 2 else stream[:length])


def test_samples_that_are_missing_or_left_over_are_refused() -> None:
    stream = jpeg_lossless(noise(12), precision=12)
    start = read_markers(stream).start
    assert "end early" in why(stream[:-4] + b"\xff\xd9")
    assert "more is coded" in why(stream[:-2] + b"\x55\x55\x55\xff\xd9")
    taller = stream.replace(bytes((0, ROWS, 0, COLUMNS)), bytes((0, ROWS + 1, 0, COLUMNS)), 1)
    why(taller, ROWS + 1)
    assert start < len(stream)


def test_a_sample_above_the_precision_is_refused() -> None:
    wide = jpeg_lossless(noise(12), precision=12)
    at = wide.index(b"\xff\xc3") + 4
    assert "above the precision" in why(wide[:at] + b"\x0b" + wide[at + 1 :])


def test_a_restart_marker_out_of_turn_is_refused() -> None:
    stream = jpeg_lossless(noise(12), precision=12, restart_rows=4)
    assert "marker" in why(stream.replace(b"\xff\xd1", b"\xff\xd2"))
    assert "marker" in why(stream.replace(b"\xff\xd0", b"\xff\xd9"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\xff\xc4\x00\x24", b"\xff\xc4\x00\x01"),  # a segment shorter than its length
        (b"\xff\xc4\x00\x24", b"\xff\xc4\xff\xff"),  # one that ends past the stream
        (b"\xff\xc4\x00\x24\x00", b"\xff\xc4\x00\x24\x03"),  # a table nobody asks for
        (b"\xff\xc3", b"\xff\xc5"),  # another process
        (b"\xff\xda\x00\x08\x01", b"\xff\xda\x00\x08\x02"),  # two components in the scan
        (b"\x01\x11\x00", b"\x03\x11\x00"),
    ],
)
def test_markers_that_do_not_fit_are_refused(old: bytes, new: bytes) -> None:
    stream = jpeg_lossless(noise(12), precision=12)
    assert old in stream
    why(stream.replace(old, new, 1))


def test_a_table_that_is_no_prefix_code_is_refused() -> None:
    stream = jpeg_lossless(noise(12), precision=12)
    at = stream.index(b"\xff\xc4") + 5
    assert "Huffman" in why(stream[:at] + bytes([17]) + bytes(15) + stream[at + 16 :])
    symbols = at + 16
    assert "Huffman" in why(stream[:symbols] + b"\x11" + stream[symbols + 1 :])


def test_another_size_than_the_headers_is_refused_before_anything_is_allocated() -> None:
    stream = jpeg_lossless(noise(12), precision=12)
    huge = stream.replace(bytes((0, ROWS, 0, COLUMNS)), b"\xff\xff\xff\xff", 1)
    assert "another size" in why(huge)


def test_damaged_streams_are_refused_or_differ_in_samples_alone() -> None:
    pixels = noise(12)
    stream = jpeg_lossless(pixels, precision=12, selection=6, restart_rows=6)
    chance = random.Random(3)
    refused = 0
    for _ in range(3000):
        hostile = bytearray(stream)
        for _ in range(chance.randint(1, 4)):
            hostile[chance.randrange(2, len(hostile))] = chance.choice([0, 0xFF, chance.randrange(256)])
        try:
            found = decode_jpeg_lossless(bytes(hostile), ROWS, COLUMNS)
        except Rejected:
            refused += 1
        else:
            assert found.shape == (ROWS, COLUMNS)
    assert refused > 2000
