from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.dicom import hounsfield
from curate.dicom.frames import DecodedSlice
from curate.dicom.hounsfield import AIR_HU, in_plausible_sign, write_hounsfield


def make_slice(pixels: NDArray[Any], **fields: Any) -> DecodedSlice:
    given = {"slope": 1.0, "intercept": -1024.0, "photometric": "MONOCHROME2", "bits_stored": 16, **fields}
    return DecodedSlice(pixels, **given)


def write(pixels: NDArray[Any], slope: float = 1.0, intercept: float = -1024.0, **fields: Any) -> tuple[Any, set[str]]:
    out = np.full(pixels.shape, 77, np.int16)
    flags = write_hounsfield(make_slice(pixels, **fields), slope, intercept, out)
    return out, flags


def by_fractions(value: int, slope: float, intercept: float) -> int:
    """HU in exact arithmetic, halves to even."""
    return max(-32768, min(32767, round(Fraction(value) * Fraction(slope) + Fraction(intercept))))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (0.5, 0.5), (2.0, -8192.0), (1.0, 0.25)])
def test_every_type_and_scale_agrees_with_exact_arithmetic(dtype: type, slope: float, intercept: float) -> None:
    limits = np.iinfo(dtype)
    high = min(limits.max, 20_000)  # above: another sign would be assumed
    pixels = np.random.default_rng(1).integers(max(limits.min, -30_000), high, (9, 31)).astype(dtype)
    found, flags = write(pixels, slope, intercept)
    wanted = [by_fractions(int(value), slope, intercept) for value in pixels.ravel()]
    np.testing.assert_array_equal(found.ravel(), wanted)
    assert flags == set()


@pytest.mark.parametrize("slope", [1.0, 1.5])
@pytest.mark.parametrize("intercept", [-1024.0, 40_000.0, -40_000.0, 2.0**40])
def test_values_saturate_whatever_the_scale(slope: float, intercept: float) -> None:
    pixels = np.array([[-32768, -1, 0, 1, 32767]], np.int16)
    found, _ = write(pixels, slope, intercept)
    assert found.tolist() == [[by_fractions(int(value), slope, intercept) for value in pixels[0]]]


@pytest.mark.parametrize("slope", [1.0, 1.5])
def test_padding_is_air_at_both_ends_of_its_range_and_only_there(slope: float) -> None:
    pixels = np.array([[-2001, -2000, -1990, -1989, 0]], np.int16)
    found, flags = write(pixels, slope, 0.0, padding=(-2000, -1990))
    others = [by_fractions(value, slope, 0.0) for value in (-2001, -1989, 0)]
    assert found.tolist() == [[others[0], AIR_HU, AIR_HU, others[1], others[2]]]
    assert flags == {"padding_replaced"}
    assert write(pixels, slope, 0.0, padding=(5, 9))[1] == set()


def test_padding_that_a_lookup_table_hid_is_air() -> None:
    outside = np.array([[False, True, False]])
    found, flags = write(np.array([[1, 2, 3]], np.uint16), 1.0, 0.0, outside=outside)
    assert (found.tolist(), flags) == ([[1, AIR_HU, 3]], {"padding_replaced"})
    assert write(np.array([[1, 2, 3]], np.uint16), 1.0, 0.0, outside=~outside & False)[1] == set()


def test_a_view_with_gaps_is_read_as_what_it_shows() -> None:
    whole = np.arange(60, dtype=np.uint16).reshape(6, 10)
    found, _ = write(whole[1::2, 2:9:3], 1.0, -10.0)
    np.testing.assert_array_equal(found, whole[1::2, 2:9:3].astype(int) - 10)


def test_words_far_above_the_scale_are_negative_numbers_and_the_padding_turns_with_them() -> None:
    pixels = np.array([[65536 - 2000, 65536 - 1000, 40]], np.uint16)
    found, flags = write(pixels, 1.0, 0.0, padding=(65536 - 2000, 65536 - 2000))
    assert found.tolist() == [[AIR_HU, -1000, 40]]
    assert flags == {"pixel_representation_corrected", "padding_replaced"}


def test_many_values_below_air_are_bright_ones_but_a_few_are_not() -> None:
    many = np.full((1, 20), -2000, np.int16)
    many[0, 0] = -2048
    turned = in_plausible_sign(make_slice(many, bits_stored=12), 1.0, -1024.0)
    assert turned.pixels[0, :2].tolist() == [2048, 2096]
    few = np.array([[-2048, -2000, 5]], np.int16)
    kept = make_slice(few, bits_stored=12)
    assert in_plausible_sign(kept, 1.0, -1024.0) is kept


def test_the_kernels_stay_inside_arrays_of_unlike_lengths() -> None:
    for kernel, numbers in ((hounsfield._shift, (0, 1, 0)), (hounsfield._rescale, (1.5, 0.0, 1.0, 0.0))):
        for stored, room in ((5, 3), (3, 5), (0, 2)):
            out = np.full(room, 7, np.int16)
            kernel.py_func(np.zeros(stored, np.int16), *numbers, out)  # type: ignore[attr-defined]
            assert out.tolist() == [0] * min(stored, room) + [7] * (room - min(stored, room))
