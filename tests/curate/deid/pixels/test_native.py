"""Native pixels stay; what lies beside them goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.deid.pixels.native import PixelLayout, clear_unused_bits, swap_bytes, trim_native
from curate.errors import Quarantined, Rejected
from curate.reasons import Reason

LAYOUT = PixelLayout(3, 5, 1, 1, 16, 12, 11, False, b"MONOCHROME2")


def test_the_length_is_that_of_all_frames_and_samples() -> None:
    assert LAYOUT.length == 30
    assert replace(LAYOUT, frames=2, samples=3, bits_allocated=8).length == 90
    assert replace(LAYOUT, bits_allocated=1).length == 2
    assert replace(LAYOUT, rows=4, columns=4, samples=3, bits_allocated=8, photometric=b"YBR_FULL_422").length == 32


def test_bytes_after_the_last_pixel_are_cut() -> None:
    assert trim_native(bytes(30) + b"Quixotova", LAYOUT) == bytes(30)
    odd = replace(LAYOUT, bits_allocated=8)
    assert trim_native(bytes(15) + b"Q", odd) == bytes(16)


def test_missing_pixels_are_a_truncated_file() -> None:
    with pytest.raises(Rejected) as caught:
        trim_native(bytes(28), LAYOUT)
    assert caught.value.reason is Reason.TRUNCATED_FILE


def test_no_size_is_implausible() -> None:
    with pytest.raises(Rejected) as caught:
        trim_native(bytes(28), replace(LAYOUT, rows=0))
    assert caught.value.reason is Reason.IMPLAUSIBLE_HEADER


@pytest.mark.parametrize("little", [True, False])
def test_unsigned_pixels_lose_what_is_written_above_their_bits(little: bool) -> None:
    dtype = "<u2" if little else ">u2"
    stored = (np.arange(15) * 200).astype(dtype)
    hidden = (stored | 0x8000).astype(dtype)
    assert clear_unused_bits(stored.tobytes(), LAYOUT, little=little) is None
    assert clear_unused_bits(hidden.tobytes(), LAYOUT, little=little) == stored.tobytes()


def test_signed_pixels_keep_their_sign_and_nothing_else() -> None:
    signed = replace(LAYOUT, signed=True)
    stored = np.linspace(-2048, 2047, 15).astype("<i2")
    assert clear_unused_bits(stored.tobytes(), signed, little=True) is None
    unextended = (stored.view("<u2") & 0x0FFF | 0x4000).astype("<u2")
    assert clear_unused_bits(unextended.tobytes(), signed, little=True) == stored.tobytes()


def test_full_words_have_no_unused_bits() -> None:
    full = replace(LAYOUT, bits_stored=16, high_bit=15)
    assert clear_unused_bits(b"\xff" * 30, full, little=True) is None


def test_bits_at_an_odd_place_are_not_guessed() -> None:
    with pytest.raises(Quarantined) as caught:
        clear_unused_bits(bytes(30), replace(LAYOUT, high_bit=15), little=True)
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED


def test_swapping_bytes_twice_gives_them_back() -> None:
    assert swap_bytes(b"abcd") == b"badc"
    assert swap_bytes(swap_bytes(b"abcd")) == b"abcd"
