from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    MPEG2MPML,
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

from curate.dicom.frames import decode_slice
from curate.errors import Rejected
from curate.reasons import Reason
from tests.curate.dicom.codestreams import encapsulated, encoded, stream_of
from tests.support.dicom_files import compress, encode, make_dataset, make_file

RAMP = (np.add.outer(np.arange(24), np.arange(32)) * 70).astype(np.int32)
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
LOSSLESS = [JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless]
FORMATS = [(np.uint8, 8, 0), (np.uint16, 12, 0), (np.int16, 12, -2000), (np.int16, 16, -2000), (np.uint16, 16, 30000)]


def make_pixels(dtype: type, offset: int) -> NDArray[Any]:
    return (RAMP // 16 if dtype is np.uint8 else RAMP + offset).astype(dtype)


def why(raw: bytes) -> Reason:
    with pytest.raises(Rejected) as caught:
        decode_slice(raw)
    return caught.value.reason


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(("dtype", "stored", "offset"), FORMATS)
def test_native_pixels_are_bit_exact(syntax: str, dtype: type, stored: int, offset: int) -> None:
    pixels = make_pixels(dtype, offset)
    found = decode_slice(make_file(pixels, syntax=syntax, BitsStored=stored))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == pixels.dtype
    assert found.pixels.dtype.isnative


def test_big_endian_pixels_are_bit_exact() -> None:
    pixels = make_pixels(np.int16, -2000)
    swapped = make_dataset(pixels)
    swapped.PixelData = pixels.astype(">i2").tobytes()
    found = decode_slice(encode(swapped, ExplicitVRBigEndian))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype.isnative


def test_big_endian_eight_bit_pixels_in_words_keep_their_order() -> None:
    pixels = make_pixels(np.uint8, 0)
    dataset = make_dataset(pixels)
    dataset.add_new(0x7FE00010, "OW", pixels.reshape(-1, 2)[:, ::-1].tobytes())
    np.testing.assert_array_equal(decode_slice(encode(dataset, ExplicitVRBigEndian)).pixels, pixels)


@pytest.mark.parametrize("syntax", NATIVE[:2])
def test_a_file_without_preamble_and_meta_is_decoded(syntax: str) -> None:
    pixels = make_pixels(np.uint16, 0)
    np.testing.assert_array_equal(decode_slice(encode(make_dataset(pixels), syntax, bare=True)).pixels, pixels)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(("dtype", "stored", "offset"), FORMATS)
def test_losslessly_compressed_pixels_are_bit_exact(
    tmp_path: Path, syntax: str, dtype: type, stored: int, offset: int
) -> None:
    pixels = make_pixels(dtype, offset)
    found = decode_slice(compress(make_file(pixels, BitsStored=stored), syntax, tmp_path))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == pixels.dtype


@pytest.mark.parametrize(
    ("syntax", "dtype", "stored"), [(JPEGBaseline8Bit, np.uint8, 8), (JPEGExtended12Bit, np.uint16, 12)]
)
def test_lossy_jpeg_of_8_and_12_bits_is_near(tmp_path: Path, syntax: str, dtype: type, stored: int) -> None:
    pixels = make_pixels(dtype, 0)
    found = decode_slice(compress(make_file(pixels, BitsStored=stored), syntax, tmp_path))
    assert np.abs(found.pixels.astype(int) - pixels).max() <= 2


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize(("dtype", "stored", "offset"), [FORMATS[0], FORMATS[1], FORMATS[4]])
def test_codestreams_of_another_encoder_are_bit_exact(syntax: str, dtype: type, stored: int, offset: int) -> None:
    pixels = make_pixels(dtype, offset)
    found = decode_slice(encoded(pixels, syntax, BitsStored=stored))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == pixels.dtype


def test_conformant_jpeg_of_12_bits_stays_within_the_loss_of_its_encoder() -> None:
    pixels = make_pixels(np.uint16, 0)
    stream = imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12)
    found = decode_slice(encapsulated(pixels, stream, JPEGExtended12Bit, BitsStored=12))
    assert np.abs(found.pixels.astype(int) - pixels).max() <= 2
    assert found.pixels.dtype == np.uint16


def test_near_lossless_jpeg_ls_stays_within_its_bound() -> None:
    pixels = make_pixels(np.uint16, 0)
    stream = imagecodecs.jpegls_encode(pixels, level=3)
    found = decode_slice(encapsulated(pixels, stream, JPEGLSNearLossless))
    assert 0 < np.abs(found.pixels.astype(int) - pixels).max() <= 3


def test_a_stream_that_is_mislabelled_as_another_jpeg_is_decoded_by_what_it_is(tmp_path: Path) -> None:
    pixels = make_pixels(np.uint16, 0)
    stream = imagecodecs.jpegls_encode(pixels)
    np.testing.assert_array_equal(decode_slice(encapsulated(pixels, stream, JPEGLosslessSV1)).pixels, pixels)


@pytest.mark.parametrize("syntax", [HTJ2KLossless, JPEG2000Lossless])
def test_a_jpeg_2000_with_bytes_cut_out_of_its_middle_is_undecodable(syntax: str) -> None:
    pixels = make_pixels(np.uint16, 0)
    whole = stream_of(pixels, syntax)
    cut = whole[: len(whole) // 2] + whole[len(whole) // 2 + 20 :]
    assert why(encapsulated(pixels, cut, syntax)) is Reason.UNDECODABLE_PIXELS


def test_junk_above_the_stored_bits_is_masked() -> None:
    clean = make_pixels(np.uint16, 0)
    found = decode_slice(make_file(clean | np.uint16(0xB000), BitsStored=12))
    np.testing.assert_array_equal(found.pixels, clean)


def test_a_sign_that_was_not_extended_is_extended() -> None:
    signed = make_pixels(np.int16, -2000)
    found = decode_slice(make_file(signed & np.int16(0x0FFF), BitsStored=12))
    np.testing.assert_array_equal(found.pixels, signed)


def test_pixels_that_stand_in_the_upper_bits_are_shifted_down() -> None:
    pixels = make_pixels(np.uint16, 0)
    found = decode_slice(make_file(pixels << 4, BitsStored=12, HighBit=15))
    np.testing.assert_array_equal(found.pixels, pixels)


def test_rescale_photometric_and_padding_come_with_the_pixels() -> None:
    found = decode_slice(make_file(make_pixels(np.uint16, 0), RescaleSlope="0.5", RescaleIntercept="-3"))
    assert (found.slope, found.intercept, found.photometric, found.padding) == (0.5, -3.0, "MONOCHROME2", None)
    bare = decode_slice(make_file(make_pixels(np.uint16, 0), RescaleSlope=None, RescaleIntercept=None))
    assert (bare.slope, bare.intercept) == (None, None)


def test_signed_padding_is_read_in_the_pixels_own_bits() -> None:
    pixels = make_pixels(np.int16, -2000)
    dataset = make_dataset(pixels)
    dataset.add_new(0x00280120, "US", 63536)  # -2000, written with the wrong VR as many writers do
    assert decode_slice(encode(dataset)).padding == (-2000, -2000)
    dataset.add_new(0x00280121, "SS", -1990)
    assert decode_slice(encode(dataset)).padding == (-2000, -1990)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *LOSSLESS])
def test_a_truncated_file_is_never_decoded_at_any_length(tmp_path: Path, syntax: str) -> None:
    whole = make_file(make_pixels(np.uint16, 0), BitsStored=12)
    raw = whole if syntax == ExplicitVRLittleEndian else compress(whole, syntax, tmp_path)
    for length in range(140, len(raw), 7):
        assert why(raw[:length]) in (Reason.TRUNCATED_FILE, Reason.UNREADABLE_HEADER)


def test_a_deflated_file_that_is_cut_is_truncated() -> None:
    raw = make_file(make_pixels(np.uint16, 0), syntax=DeflatedExplicitVRLittleEndian)
    assert why(raw[: len(raw) - 20]) is Reason.TRUNCATED_FILE


def test_a_codestream_without_its_end_is_undecodable_though_the_fragments_are_whole(tmp_path: Path) -> None:
    dataset = make_dataset(make_pixels(np.uint16, 0))
    raw = compress(encode(dataset), JPEGLosslessSV1, tmp_path)
    start = raw.index(b"\xff\xd8")
    stream = raw[start : raw.index(b"\xff\xd9", start)]
    dataset.PixelData = encapsulate([stream[: len(stream) // 2]])
    dataset["PixelData"].is_undefined_length = True
    assert why(encode(dataset, JPEGLosslessSV1)) is Reason.UNDECODABLE_PIXELS


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_a_codestream_of_another_size_than_the_header_is_refused_before_decoding(tmp_path: Path, syntax: str) -> None:
    raw = compress(make_file(make_pixels(np.uint16, 0)), syntax, tmp_path)
    rows = b"\x28\x00\x10\x00US\x02\x00"
    assert why(raw.replace(rows + b"\x18\x00", rows + b"\x19\x00")) is Reason.UNDECODABLE_PIXELS


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_noise_in_place_of_a_codestream_is_undecodable(syntax: str) -> None:
    dataset = make_dataset(make_pixels(np.uint16, 0))
    dataset.PixelData = encapsulate([np.random.default_rng(0).bytes(400) + b"\xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    assert why(encode(dataset, syntax)) is Reason.UNDECODABLE_PIXELS


def test_a_frame_cut_into_several_fragments_is_joined(tmp_path: Path) -> None:
    pixels = make_pixels(np.uint16, 0)
    dataset = make_dataset(pixels)
    raw = compress(encode(dataset), JPEGLosslessSV1, tmp_path)
    start = raw.index(b"\xff\xd8")
    stream = raw[start : raw.index(b"\xff\xd9", start) + 2]
    stream += b"\x00" * (len(stream) % 2)
    half = len(stream) // 4 * 2
    fragments = b"".join(
        b"\xfe\xff\x00\xe0" + struct.pack("<L", len(part)) + part for part in (stream[:half], stream[half:])
    )
    dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" + fragments
    dataset["PixelData"].is_undefined_length = True
    np.testing.assert_array_equal(decode_slice(encode(dataset, JPEGLosslessSV1)).pixels, pixels)


def test_what_no_decoder_reads_is_named() -> None:
    video = encapsulated(make_pixels(np.uint16, 0), b"\x00" * 100, MPEG2MPML)
    assert why(video) is Reason.UNSUPPORTED_TRANSFER_SYNTAX


@pytest.mark.parametrize("syntax", [HTJ2KLossless, JPEGLSLossless, JPEG2000Lossless])
def test_the_package_that_is_missing_is_named(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encoded(make_pixels(np.uint16, 0), syntax)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(Rejected) as caught:
        decode_slice(raw)
    assert caught.value.reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX
    assert "imagecodecs" in caught.value.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, Reason.IMPLAUSIBLE_HEADER),
        ({"Rows": 4000, "Columns": 4000}, Reason.TRUNCATED_FILE),
        ({"Rows": 0}, Reason.IMPLAUSIBLE_HEADER),
        ({"Rows": None}, Reason.IMPLAUSIBLE_HEADER),
        ({"BitsAllocated": 12}, Reason.IMPLAUSIBLE_HEADER),
        ({"BitsStored": 17}, Reason.IMPLAUSIBLE_HEADER),
        ({"SamplesPerPixel": 3}, Reason.NOT_MONOCHROME),
        ({"NumberOfFrames": 2}, Reason.MULTIFRAME),
        ({"PixelData": None}, Reason.TRUNCATED_FILE),
    ],
)
def test_headers_that_fit_no_single_intensity_image_are_refused(changes: dict[str, Any], reason: Reason) -> None:
    assert why(make_file(make_pixels(np.uint16, 0), **changes)) is reason


def test_pixels_may_be_padded_at_the_end() -> None:
    pixels = np.arange(15, dtype=np.uint8).reshape(3, 5)
    dataset = make_dataset(pixels)
    dataset.PixelData = pixels.tobytes() + b"\x00"
    np.testing.assert_array_equal(decode_slice(encode(dataset)).pixels, pixels)
