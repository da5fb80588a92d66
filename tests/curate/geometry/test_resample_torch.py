"""The torch path beside the numpy path, on tensors of the host."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from curate.errors import Misconfigured  # noqa: E402
from curate.geometry import Grid, resample  # noqa: E402
from curate.geometry import resample_torch as subject  # noqa: E402

GRID = Grid((9, 40, 33), np.diag([2.0, 0.6, 0.7, 1.0]))


@settings(deadline=None, max_examples=30)
@given(
    spacing=st.tuples(*[st.one_of(st.none(), st.floats(0.4, 3.0))] * 3),
    order=st.sampled_from([1, 3]),
    antialias=st.booleans(),
    dtype=st.sampled_from([np.int16, np.float32]),
)
def test_values_are_those_of_the_numpy_path(
    spacing: tuple[float | None, ...], order: int, antialias: bool, dtype: type
) -> None:
    array = np.random.default_rng(0).integers(-1000, 2000, GRID.shape).astype(dtype)
    expected, grid = resample(array, GRID, spacing, order=order, antialias=antialias)
    found, found_grid = subject.resample_tensor(array, GRID, spacing, order=order, antialias=antialias)
    assert found_grid == grid
    assert found.numpy().dtype == dtype
    difference = np.abs(found.numpy().astype(np.float64) - expected)
    if dtype is np.int16:  # only an exact half may round the other way
        exact, _ = resample(array.astype(np.float64), GRID, spacing, order=order, antialias=antialias)
        from_half = np.abs(exact - np.floor(exact) - 0.5)
        assert difference.max() <= 1
        assert from_half[difference > 0].max(initial=0) < 1e-3
    else:
        assert difference.max() <= 1e-3


def test_nearest_is_the_same_to_the_voxel() -> None:
    mask = np.random.default_rng(0).integers(0, 20, GRID.shape).astype(np.uint8)
    found, _ = subject.resample_tensor(torch.from_numpy(mask), GRID, (1, 1, 1), order=0)
    np.testing.assert_array_equal(found.numpy(), resample(mask, GRID, (1, 1, 1), order=0)[0])


def test_work_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).normal(0, 500, GRID.shape).astype(np.float32)
    whole, _ = subject.resample_tensor(array, GRID, (1, 1, 1))
    monkeypatch.setattr(subject, "_CHUNK", 3000)
    parts, _ = subject.resample_tensor(array, GRID, (1, 1, 1))
    np.testing.assert_allclose(parts.numpy(), whole.numpy(), atol=1e-3)


def test_integers_saturate_and_wide_ones_keep_their_digits() -> None:
    array = np.zeros((1, 1, 16), np.uint8)
    array[..., 8:] = 255
    found, _ = subject.resample_tensor(array, Grid((1, 1, 16), np.eye(4)), (None, None, 0.25), order=3)
    assert (int(found.min()), int(found.max())) == (0, 255)
    large = np.full((3, 3, 3), 2**30 + 1, np.int32)
    kept, _ = subject.resample_tensor(large, Grid((3, 3, 3), np.eye(4)), (0.7, 0.7, 0.7))
    assert (kept.numpy() == 2**30 + 1).all()


def test_nothing_to_change_gives_a_copy() -> None:
    tensor = torch.zeros(GRID.shape)
    found, grid = subject.resample_tensor(tensor, GRID, (None, None, None), device="cpu")
    assert grid == GRID
    assert found.data_ptr() != tensor.data_ptr()


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        subject.resample_tensor(torch.zeros(2, 2, 2), GRID, (1, 1, 1))
    with pytest.raises(Misconfigured, match="order"):
        subject.resample_tensor(torch.zeros(GRID.shape), GRID, (1, 1, 1), order=2)
    with pytest.raises(Misconfigured, match="spacing"):
        subject.resample_tensor(torch.zeros(GRID.shape), GRID, (1, -1, 1))


def test_importing_geometry_does_not_import_torch() -> None:
    script = "import sys, curate.geometry, curate.geometry.resample_torch; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
