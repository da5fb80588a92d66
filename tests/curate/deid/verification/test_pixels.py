"""Pixels are compared as stored bytes, and decoded only when these differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.deid.verification.parsing import parse_contents
from curate.deid.verification.pixels import Compared, compare_pixels
from tests.support.deid_files import encode, make_ct

VALUES = np.arange(24, dtype="<u2") * 100
CLEANING = frozenset({"113100", "113101"})


def compare(before: np.ndarray, after: np.ndarray, claims: frozenset[str] = frozenset()) -> Compared:
    source, output = (encode(make_ct(PixelData=array.tobytes())) for array in (before, after))
    return compare_pixels(source, output, parse_contents(source), parse_contents(output), claims)


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


def test_a_pad_of_zero_changes_nothing_and_another_byte_does() -> None:
    odd = make_ct(BitsAllocated=8, BitsStored=8, HighBit=7, Rows=3, Columns=5, PixelData=bytes(range(1, 16)) + b"\0")
    odd["PixelData"].VR = "OB"
    source = parse_contents(encode(odd))
    assert source.pixels is not None
    first, last = source.pixels
    for change, how in ((-1, "same bytes"), (0, "same bytes")):
        after = replace(source, pixels=(first, last + change))
        assert compare_pixels(b"", b"", source, after, frozenset()).how == how
        assert compare_pixels(b"", b"", after, source, frozenset()).how == how


@pytest.mark.parametrize("rows", [2, 3])
def test_fewer_pixels_than_the_source_has_are_a_fault(rows: int) -> None:
    source, output = encode(make_ct()), encode(make_ct(Rows=rows, PixelData=VALUES[: rows * 6].tobytes()))
    compared = compare_pixels(source, output, parse_contents(source), parse_contents(output), frozenset())
    assert compared.fault == "another number of samples"


def test_bytes_that_lie_behind_the_pixels_of_the_source_need_not_be_copied() -> None:
    source, output = encode(make_ct(PixelData=VALUES.tobytes() + b"TRAILER+")), encode(make_ct())
    compared = compare_pixels(source, output, parse_contents(source), parse_contents(output), frozenset())
    assert (compared.how, compared.fault) == ("same pixels", "")


def test_pixels_that_are_equal_to_other_bytes_of_the_source_are_not_the_same() -> None:
    assert compare(VALUES, np.zeros(24, "<u2")).fault  # the preamble is zeros too
