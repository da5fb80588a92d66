"""The kept modules of image pixels: never another file's, and nothing of a file that its own bytes leave open."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.dicom import image_pixel
from curate.dicom.encoding import find_encoding
from curate.dicom.frames import decode_frames, decode_slice
from curate.dicom.header_kernel import PLACES
from curate.dicom.image_pixel import read_pixel_module
from curate.errors import Rejected
from curate.reasons import Reason
from tests.bench.volumes.fuzz import mutated
from tests.support.dicom_files import make_file

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4) + 5


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Any]:
    monkeypatch.setattr(image_pixel, "_kept", kept := {})
    return kept


def outcome(raw: bytes) -> str:
    """Everything that decoding gives, or why it is refused."""
    try:
        return repr([(each, each.pixels.tobytes()) for _, each in zip(range(3), decode_frames(raw), strict=False)])
    except Rejected as rejection:
        return f"{rejection.reason} {rejection.detail}"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_slices_of_one_series_are_parsed_once_and_decoded_each(syntax: str, nothing_kept: dict[bytes, Any]) -> None:
    for n in range(5):
        raw = make_file(PIXELS + n, syntax=syntax, InstanceNumber=n, SeriesDescription="x" * 2 * n)
        np.testing.assert_array_equal(decode_slice(raw).pixels, PIXELS + n)
    assert len(nothing_kept) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"RescaleSlope": 2},
        {"RescaleIntercept": -1000},
        {"PixelRepresentation": 1},
        {"BitsStored": 3},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PixelPaddingValue": 5},
        {"Rows": 4, "Columns": 3},
        {"RescaleSlope": None},
    ],
)
def test_a_file_that_differs_in_any_value_of_the_module_is_decoded_by_its_own(changes: dict[str, Any]) -> None:
    one, other = make_file(PIXELS), make_file(PIXELS, **changes)
    alone = [outcome(one), outcome(other)]
    assert alone[0] != alone[1]
    image_pixel._kept.clear()
    assert [outcome(raw) for raw in (other, one, other, one)] == [*reversed(alone), *reversed(alone)]


def test_the_same_values_in_another_encoding_are_not_the_same_module() -> None:
    pixels = PIXELS.astype(np.uint8)
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        np.testing.assert_array_equal(decode_slice(make_file(pixels, syntax=syntax)).pixels, pixels)
        words = PIXELS.byteswap() if syntax == ExplicitVRBigEndian else PIXELS  # bytes go in as they are
        np.testing.assert_array_equal(decode_slice(make_file(words, syntax=syntax)).pixels, PIXELS)


def test_a_kept_module_does_not_hide_that_a_file_is_cut() -> None:
    raw = make_file(PIXELS)
    decode_slice(raw)
    with pytest.raises(Rejected) as caught:
        decode_slice(raw[:-2])
    assert caught.value.reason == Reason.TRUNCATED_FILE
    with pytest.raises(Rejected):
        decode_slice(raw[: raw.rindex(b"\xe0\x7f\x10\x00")])


def test_mutated_files_give_the_same_with_and_without_what_was_kept() -> None:
    files = [mutated(number) for number in range(3_000_000, 3_000_600)]
    fresh = []
    for raw in files:
        image_pixel._kept.clear()
        fresh.append(outcome(raw))
    assert [outcome(raw) for raw in files] == fresh
    assert [outcome(raw) for raw in reversed(files)] == fresh[::-1]


def test_what_is_kept_stays_small(nothing_kept: dict[bytes, Any]) -> None:
    for n in range(200):
        read_pixel_module(make_file(PIXELS, RescaleIntercept=n))
    assert len(nothing_kept) <= 64
    nothing_kept.clear()
    assert read_pixel_module(make_file(PIXELS, PixelPaddingValue=3))[0].padding == (3, 3)
    assert all(len(key) < 1024 for key in nothing_kept)


def test_a_module_with_a_value_that_is_too_long_is_not_kept(nothing_kept: dict[bytes, Any]) -> None:
    raw = make_file(PIXELS, RescaleSlope=1)
    odd = raw.replace(b"\x28\x00\x53\x10DS\x04\x001.0 ", b"\x28\x00\x53\x10DS\xd0\x07" + b"1".ljust(2000))
    assert odd != raw
    assert decode_slice(odd).slope == 1
    assert not nothing_kept


def test_the_kernel_writes_no_further_than_its_mark() -> None:
    raw = make_file(PIXELS)
    content, places = np.frombuffer(raw, np.uint8), np.empty(PLACES, np.int64)
    whole = np.zeros(1024, np.uint8)
    length = image_pixel._mark(content, image_pixel._TAGS, places, whole)
    assert 0 < length < 1024
    for size in range(length + 4):
        room = np.full(size + 64, 0xEE, np.uint8)
        written = image_pixel._mark(content, image_pixel._TAGS, places, room[:size])
        assert written == (length if size > length else 0)
        assert (room[size:] == 0xEE).all()


def test_deflated_files_are_inflated_once_and_decoded_each(
    nothing_kept: dict[bytes, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (make_file(pixels, syntax=DeflatedExplicitVRLittleEndian) for pixels in (PIXELS, PIXELS[::-1]))
    decode_slice(first)
    assert len(nothing_kept) == 1
    monkeypatch.delattr(image_pixel, "read_elements")
    np.testing.assert_array_equal(decode_slice(second).pixels, PIXELS[::-1])


def test_a_deflated_file_that_is_cut_is_refused_also_when_its_module_is_known() -> None:
    raw = make_file(PIXELS, syntax=DeflatedExplicitVRLittleEndian)
    decode_slice(raw)
    fresh = outcome(raw[:-9])
    assert fresh.startswith(Reason.TRUNCATED_FILE)


def test_a_file_inside_a_deflated_file_is_not_kept(nothing_kept: dict[bytes, Any]) -> None:
    raw = make_file(PIXELS, syntax=DeflatedExplicitVRLittleEndian)
    deflate = zlib.compressobj(wbits=-15)
    inner = make_file(PIXELS)
    nested = raw[: find_encoding(raw).offset] + deflate.compress(inner) + deflate.flush()
    assert outcome(nested) == outcome(nested)
    assert all(b"deflated" not in key for key in nothing_kept)
