from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from curate.dicom.frames import decode_slice
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.dicom_files import encode, make_dataset, make_file

PIXELS = (np.add.outer(np.arange(24), np.arange(32)) * 70 - 100).astype(np.int16)


def with_table(
    pixels: np.ndarray, table: Any, first: int = 0, bits: int = 16, vr: str = "US", count: int | None = None
) -> Dataset:
    lut = Dataset()
    entries = len(table) if count is None else count
    lut.add_new(0x00283002, "SS" if pixels.dtype.kind == "i" else "US", [entries % 65536, first, bits])
    lut.add_new(0x00283004, "LO", "HU")
    lut.add_new(0x00283006, vr, table if isinstance(table, bytes) else list(map(int, table)))
    dataset = make_dataset(pixels)
    dataset.ModalityLUTSequence = [lut]
    return dataset


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("is_undefined", [True, False])
@pytest.mark.parametrize("pixels", [PIXELS, (PIXELS + 100).astype(np.uint16)])
def test_stored_values_go_through_the_table_and_its_ends_hold_beyond_it(
    syntax: str, is_undefined: bool, pixels: np.ndarray
) -> None:
    table = np.random.default_rng(0).integers(0, 65536, 1000)
    dataset = with_table(pixels, table, first=50)
    dataset["ModalityLUTSequence"].is_undefined_length = is_undefined
    found = decode_slice(encode(dataset, syntax))
    np.testing.assert_array_equal(found.pixels, table[np.clip(pixels.astype(int) - 50, 0, 999)])
    np.testing.assert_array_equal(found.pixels, apply_modality_lut(pixels, dataset))
    assert (found.slope, found.intercept, found.modality_lut, found.bits_stored) == (1.0, 0.0, "HU", 16)


def test_bytes_of_words_and_packed_bytes_are_read() -> None:
    pixels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    table = np.arange(256)[::-1]
    words = decode_slice(encode(with_table(pixels, table.astype("<u2").tobytes(), bits=16, vr="OW", count=256)))
    packed = decode_slice(encode(with_table(pixels, table.astype(np.uint8).tobytes(), bits=8, vr="OW", count=256)))
    np.testing.assert_array_equal(words.pixels, 255 - pixels.astype(int))
    np.testing.assert_array_equal(packed.pixels, 255 - pixels.astype(int))


def test_padding_is_told_by_the_stored_values_not_by_what_they_become() -> None:
    dataset = with_table(PIXELS, np.zeros(10), first=0)
    dataset.add_new(0x00280120, "SS", -100)
    found = decode_slice(encode(dataset))
    assert found.padding is None
    assert found.outside is not None
    np.testing.assert_array_equal(found.outside, PIXELS == -100)


def test_a_slice_without_a_table_says_so() -> None:
    assert decode_slice(make_file(PIXELS)).modality_lut is None


@pytest.mark.parametrize(
    "dataset",
    [
        with_table(PIXELS, [1, 2, 3], count=4),
        with_table(PIXELS, [1, 2, 3], bits=40),
        with_table(PIXELS, [1, 2, 300], bits=8),
        with_table(PIXELS, b"\0" * 10, vr="OW", count=0),
    ],
)
def test_a_table_that_does_not_fit_its_descriptor_is_refused_and_not_ignored(dataset: Dataset) -> None:
    with pytest.raises(Rejected) as caught:
        decode_slice(encode(dataset))
    assert caught.value.reason is Reason.UNDECODABLE_PIXELS


def test_a_table_without_descriptor_or_two_tables_are_refused() -> None:
    empty = make_file(PIXELS, ModalityLUTSequence=[Dataset(), Dataset()])
    with pytest.raises(Rejected):
        decode_slice(empty)


def test_a_big_endian_table_is_read_in_its_order() -> None:
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    found = decode_slice(encode(with_table(pixels, np.arange(256) * 200), ExplicitVRBigEndian))
    np.testing.assert_array_equal(found.pixels, pixels.astype(int) * 200)
