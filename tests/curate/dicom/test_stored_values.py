from __future__ import annotations

import numpy as np
import pytest

from curate.dicom.stored_values import stored_values


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("is_signed", [False, True])
def test_every_number_of_stored_bits_is_cut_out_and_extended(width: int, is_signed: bool) -> None:
    words = np.random.default_rng(0).integers(0, 1 << 8 * width, (9, 11)).astype(f"u{width}")
    for stored in range(1, 8 * width + 1):
        for shift in range(8 * width - stored + 1):
            expected = (words.astype(object) >> shift) % (1 << stored)
            if is_signed:
                expected = np.where(expected >= 1 << (stored - 1), expected - (1 << stored), expected)
            found = stored_values(words, bits_stored=stored, shift=shift, is_signed=is_signed)
            np.testing.assert_array_equal(found, expected.astype(np.int64))
            assert found.dtype == np.dtype(f"{'i' if is_signed else 'u'}{width}")


@pytest.mark.parametrize("stored", [12, 16])
def test_the_result_is_fresh_writable_and_of_native_order_whatever_the_words_are(stored: int) -> None:
    raw = b"\x00" + np.arange(24, dtype=">u2").tobytes()
    for words in (np.frombuffer(raw, ">u2", 24, 1), np.frombuffer(raw[1:], ">u2"), np.arange(24, dtype=np.uint16)):
        found = stored_values(words.reshape(4, 6), bits_stored=stored, shift=0, is_signed=True)
        np.testing.assert_array_equal(found.reshape(-1), range(24))
        assert found.dtype.isnative
        assert found.flags.writeable
        assert not np.shares_memory(found, words)


@pytest.mark.parametrize(("stored", "highest"), [(16, 0xFFFF), (12, 0x0FFF)])
def test_words_that_are_stored_values_already_are_not_copied_and_cannot_be_written_to(
    stored: int, highest: int
) -> None:
    words = np.array([[0, 1], [2, highest]], np.uint16)
    found = stored_values(words, bits_stored=stored, shift=0, is_signed=False)
    assert np.shares_memory(found, words)
    assert not found.flags.writeable
    assert words.flags.writeable


def test_one_bit_above_the_stored_ones_is_cut_off_in_a_copy() -> None:
    words = np.array([5, 0x1003], np.uint16)
    found = stored_values(words, bits_stored=12, shift=0, is_signed=False)
    assert found.tolist() == [5, 3]
    assert words.tolist() == [5, 0x1003]
