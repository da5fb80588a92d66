"""Pixels are compared as stored bytes, and decoded only when these differ."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from curate.deid.verification.pixels import Compared, compare_pixels, pixel_start
from curate.deid.verification.reading import read_contents
from tests.support.deid_files import encode, make_ct

VALUES = np.arange(24, dtype="<u2") * 100
CLEANING = frozenset({"113100", "113101"})


def compare(before: np.ndarray, after: np.ndarray, claims: frozenset[str] = frozenset()) -> Compared:
    source, output = (encode(make_ct(PixelData=array.tobytes())) for array in (before, after))
    return compare_pixels(source, output, read_contents(source), read_contents(output), claims)


def test_equal_bytes_need_no_decoder() -> None:
    assert compare(VALUES, VALUES) == Compared("same bytes")


def test_bits_above_the_stored_ones_may_be_cleared() -> None:
    assert compare(VALUES | 0x8000, VALUES).fault == ""


def test_a_changed_pixel_is_a_fault_unless_cleaning_is_claimed() -> None:
    changed = VALUES.copy()
    changed[:6] = 0
    assert compare(VALUES, changed).fault
    cleaned = compare(VALUES, changed, CLEANING)
    assert (cleaned.how, cleaned.fault) == ("cleaned", "")
    assert cleaned.changed_share == pytest.approx(5 / 24)  # one of the six was zero before


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_pixels_are_found_from_the_end_of_the_file(syntax: str) -> None:
    raw = encode(make_ct(), syntax)
    assert pixel_start(raw, syntax) == len(raw) - 48
    assert pixel_start(raw + b"\0\0", syntax) is None


def test_pixels_that_are_equal_to_other_bytes_of_the_source_are_not_the_same() -> None:
    assert compare(VALUES, np.zeros(24, "<u2")).fault  # the preamble is zeros too
