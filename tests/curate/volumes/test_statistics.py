"""Statistics against sorting every voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from curate.volumes.statistics import measure


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@settings(deadline=None)
@given(data=st.data())
def test_they_are_those_of_the_sorted_voxels(dtype: str, data: st.DataObject) -> None:
    limits = {"allow_nan": False, "allow_infinity": False, "min_value": -1e6, "max_value": 1e6}
    elements = arrays.from_dtype(np.dtype(dtype), **(limits if dtype.startswith("f") else {}))
    shape = data.draw(arrays.array_shapes(min_dims=3, max_dims=3, max_side=6))
    array = data.draw(arrays.arrays(dtype, shape, elements=elements))
    found = measure(array)
    ordered = sorted(float(value) for value in array.ravel())
    count = len(ordered)
    assert (found.minimum, found.maximum) == (ordered[0], ordered[-1])
    assert found.mean == pytest.approx(sum(ordered) / count, abs=1e-6)
    for share, value in ((0.01, found.p01), (0.99, found.p99)):
        at_or_below = sum(other <= value for other in ordered)
        below = sum(other < value for other in ordered)
        assert at_or_below >= share * count - 1e-9
        assert below < share * count + 1e-9


def test_one_metal_voxel_in_a_thousand_does_not_move_the_upper_percentile() -> None:
    array = np.zeros((10, 10, 10), np.int16)
    array[0, 0, 0] = 30000
    assert (measure(array).maximum, measure(array).p99) == (30000, 0)


def test_a_view_with_turned_axes_has_the_same_statistics() -> None:
    array = np.random.default_rng(0).integers(-1024, 3000, (5, 6, 7)).astype(np.int16)
    assert measure(array.transpose(2, 0, 1)[::-1]) == measure(array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    array = np.zeros((2, 2, 2), np.float32)
    array[1, 1, 1] = value
    with pytest.raises(ValueError, match="finite"):
        measure(array)
