from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.dicom.assemble import Acquired, Assembly
from curate.dicom.frames import DecodedSlice
from curate.dicom.hounsfield import AIR_HU
from curate.dicom.planes import Slice
from curate.dicom.stacks import Stack, split_stacks
from curate.errors import Rejected
from curate.reasons import Reason

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def make_stack(count: int, rows: int = 2, columns: int = 3) -> Stack:
    slices = [Slice(f"s{n}", (0, 0, 2.0 * n), AXIAL, (0.5, 0.5), rows, columns, n) for n in range(count)]
    return split_stacks(slices).stacks[0]


def decoded(pixels: Any, dtype: type = np.int16, **changes: Any) -> DecodedSlice:
    array: NDArray[Any] = np.array(pixels, dtype)
    fields = {"slope": 1.0, "intercept": -1024.0, "photometric": "MONOCHROME2", "bits_stored": 12, **changes}
    return DecodedSlice(array, **fields)


def assemble(stack: Stack, slices: list[DecodedSlice], modality: str) -> Acquired:
    """Slices in the order of the stack; they arrive last first."""
    assembly = Assembly(stack, modality)
    for number, each in reversed(list(enumerate(slices))):
        assembly.place(number, each)
    return assembly.finish()


def why(stack: Stack, slices: list[DecodedSlice], modality: str = "CT") -> Reason:
    with pytest.raises(Rejected) as caught:
        assemble(stack, slices, modality)
    return caught.value.reason


def test_ct_becomes_hounsfield_units_with_each_slices_own_rescale() -> None:
    slices = [
        decoded([[0, 1024, 2048], [1, 2, 3]], np.uint16),
        decoded([[0, 512, 1024], [1, 2, 3]], np.uint16, slope=2.0),
    ]
    volume = assemble(make_stack(2), slices, "CT")
    np.testing.assert_array_equal(volume.array[0], [[-1024, 0, 1024], [-1023, -1022, -1021]])
    np.testing.assert_array_equal(volume.array[1], [[-1024, 0, 1024], [-1022, -1020, -1018]])
    assert (volume.array.dtype, volume.units, volume.modality, volume.flags) == (np.int16, "HU", "CT", ())
    assert volume.array.shape == volume.stack.placement.shape


def test_hounsfield_units_are_rounded_and_not_cut_off() -> None:
    volume = assemble(make_stack(1), [decoded([[1, 3, -3], [-1, 7, 9]], slope=0.7, intercept=0.0)], "CT")
    np.testing.assert_array_equal(volume.array[0], [[1, 2, -2], [-1, 5, 6]])


def test_hounsfield_units_saturate_and_do_not_wrap() -> None:
    fast = decoded([[65535, 0, 1]] * 2, np.uint16, intercept=100.0)
    slow = decoded([[32767, -32768, 1]] * 2, slope=1.5, intercept=0.0)
    volume = assemble(make_stack(2), [fast, slow], "CT")
    np.testing.assert_array_equal(volume.array[0, 0], [32767, 100, 101])
    np.testing.assert_array_equal(volume.array[1, 0], [32767, -32768, 2])


def test_ct_padding_becomes_air_and_is_flagged() -> None:
    one = decoded([[-2000, -1990, -1989], [0, 1, 2]], padding=(-2000, -1990))
    volume = assemble(make_stack(1), [one], "CT")
    np.testing.assert_array_equal(volume.array[0], [[AIR_HU, AIR_HU, -3013], [-1024, -1023, -1022]])
    assert volume.flags == ("padding_replaced",)


def test_ct_does_not_depend_on_how_a_screen_shows_it() -> None:
    pixels = [[0, 1024, 2048], [1, 2, 3]]
    one, other = (
        assemble(make_stack(1), [decoded(pixels, photometric=name)], "CT").array
        for name in ("MONOCHROME1", "MONOCHROME2")
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("changes", [{"slope": None}, {"intercept": None}, {"slope": 0.0}])
def test_ct_without_rescale_is_rejected(changes: dict[str, Any]) -> None:
    assert why(make_stack(1), [decoded([[0, 1, 2]] * 2, **changes)]) is Reason.MISSING_RESCALE


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_mr_keeps_its_stored_values_and_type(dtype: type) -> None:
    slices = [decoded([[0, 1, 2], [3, 4, 100 + n]], dtype, slope=None, intercept=None) for n in range(2)]
    volume = assemble(make_stack(2), slices, "MR")
    np.testing.assert_array_equal(volume.array[1], [[0, 1, 2], [3, 4, 101]])
    assert (volume.array.dtype, volume.units) == (np.dtype(dtype), "stored")


def test_mr_of_one_scale_for_all_slices_stays_as_stored() -> None:
    slices = [decoded([[0, 1, 2]] * 2, np.uint16, slope=2.5, intercept=7.0)] * 2
    np.testing.assert_array_equal(assemble(make_stack(2), slices, "MR").array[0, 0], [0, 1, 2])


def test_mr_slices_of_different_scale_are_brought_to_the_finest() -> None:
    slices = [
        decoded([[0, 10, 20]] * 2, np.uint16, slope=1.0, intercept=0.0),
        decoded([[0, 10, 20]] * 2, np.uint16, slope=3.0, intercept=0.0),
    ]
    volume = assemble(make_stack(2), slices, "MR")
    np.testing.assert_array_equal(volume.array[:, 0], [[0, 10, 20], [0, 30, 60]])
    assert volume.array.dtype == np.uint16
    assert volume.flags == ("slices_rescaled",)


def test_inverted_mr_is_turned_over_and_flagged() -> None:
    unsigned = assemble(make_stack(1), [decoded([[0, 4095, 5]] * 2, np.uint16, photometric="MONOCHROME1")], "MR")
    np.testing.assert_array_equal(unsigned.array[0, 0], [4095, 0, 4090])
    signed = assemble(make_stack(1), [decoded([[-2048, 2047, 0]] * 2, np.int16, photometric="MONOCHROME1")], "MR")
    np.testing.assert_array_equal(signed.array[0, 0], [2047, -2048, -1])
    assert unsigned.flags == ("monochrome1_inverted",)


def test_mr_padding_becomes_nothing() -> None:
    volume = assemble(make_stack(1), [decoded([[63, 1, 2]] * 2, np.uint16, padding=(63, 63))], "MR")
    np.testing.assert_array_equal(volume.array[0, 0], [0, 1, 2])


def test_slices_of_another_size_count_or_type_are_refused() -> None:
    fitting = decoded([[0, 1, 2]] * 2, np.uint16)
    assert why(make_stack(2), [fitting, decoded([[0, 1]] * 2)]) is Reason.UNDECODABLE_PIXELS
    assert why(make_stack(2), [fitting]) is Reason.TRUNCATED_FILE
    assert why(make_stack(2), [fitting, decoded([[0, 1, 2]] * 2, np.int16)], "MR") is Reason.UNDECODABLE_PIXELS
    assert why(make_stack(1), [fitting], "PT") is Reason.WRONG_MODALITY
