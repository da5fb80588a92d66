"""Coarse views: the right values at the right millimetres, whatever way round the volume was stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.loading import CropRequest, CropShape, Jitter
from curate.loading.crops import vector
from curate.loading.views import ViewReader, sample_onto
from curate.volumes import write_volume

SHAPE = CropShape((8, 8, 8), (6.0, 6.0, 6.0))
DIRECTIONS = {
    "SPL": np.array([[0, 0, 1.5], [0, 1.5, 0], [1.5, 0, 0]]),
    "LIP": np.array([[3.0, 0, 0], [0, 0, 1.5], [0, -1.5, 0]]),
    "IAR": np.array([[0, 0, -1.5], [0, -1.5, 0], [-1.5, 0, 0]]),
}


def stored(root: Path, axes: str, *, size: int = 40) -> tuple[CropRequest, Grid]:
    """A volume whose value is a plane in the patient: 3 x + 2 y - z, and a mask of what lies above the middle."""
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS[axes]
    affine[:3, 3] = np.array([20.0, -10.0, 300.0]) - affine[:3, :3] @ np.full(3, (size - 1) / 2)
    grid = Grid((size, size, size), affine)
    mm = points(grid)
    values = np.rint(ramp(mm)).astype(np.int16)
    mask = (mm[..., 2] > 300).astype(np.uint8)
    write_volume(root / "v.zarr", values, grid, labels={"m": mask})
    return CropRequest("v.zarr", middle_mm(grid), "SPL", -1000, 1000), grid


def middle_mm(grid: Grid) -> tuple[float, float, float]:
    return vector(grid.to_patient((np.array(grid.shape) - 1) / 2))


def ramp(mm: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 3 * mm[..., 0] + 2 * mm[..., 1] - mm[..., 2]
    return result


def points(grid: Grid) -> NDArray[np.float64]:
    return grid.to_patient(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1))


@pytest.mark.parametrize("axes", DIRECTIONS)
def test_a_view_shows_the_patient_whatever_the_axes(tmp_path: Path, axes: str) -> None:
    request, _ = stored(tmp_path, axes)
    view = ViewReader(str(tmp_path), SHAPE).read(request, label="m")
    assert view.grid.axis_codes == "SPL"
    assert view.grid.spacing_mm == pytest.approx((6, 6, 6))
    mm = points(view.grid)
    assert view.values * 1000 == pytest.approx(ramp(mm), abs=2)
    assert view.labels is not None
    clear = np.abs(mm[..., 2] - 300) > 4
    assert (view.labels == (mm[..., 2] > 300))[clear].all()


def test_the_middle_of_the_view_is_the_middle_of_the_volume(tmp_path: Path) -> None:
    request, _ = stored(tmp_path, "SPL")
    view = ViewReader(str(tmp_path), SHAPE).read(request)
    assert middle_mm(view.grid) == pytest.approx((20, -10, 300))
    assert view.labels is None


def test_a_jittered_view_says_where_it_lies(tmp_path: Path) -> None:
    request, _ = stored(tmp_path, "SPL")
    jitter = Jitter((5, -3, 8), (6, 4, -5), 1.1, mirrored=True)
    small = CropShape((6, 6, 6), (5.0, 5.0, 5.0))
    view = ViewReader(str(tmp_path), small).read(request, jitter)
    assert view.values * 1000 == pytest.approx(ramp(points(view.grid)), abs=3)
    assert np.linalg.det(view.grid.affine[:3, :3]) * np.linalg.det(DIRECTIONS["SPL"]) < 0  # a mirror


def test_the_stored_overview_is_read_where_it_is_fine_enough(tmp_path: Path) -> None:
    request, _ = stored(tmp_path, "SPL", size=72)
    (tmp_path / "v.zarr/0/c/0/0/0").unlink()  # only the overview is left
    view = ViewReader(str(tmp_path), SHAPE).read(request)
    inner = (slice(1, -1),) * 3
    assert view.values[inner] * 1000 == pytest.approx(ramp(points(view.grid))[inner], abs=6)
    finer = ViewReader(str(tmp_path), CropShape((4, 4, 4), (3.0, 3.0, 3.0)))
    with pytest.raises(Exception, match=r"missing|find|damaged|exist|cannot"):
        finer.read(request)


def test_beyond_the_volume_lies_the_darkest_value_and_no_label(tmp_path: Path) -> None:
    request, _ = stored(tmp_path, "SPL")
    view = ViewReader(str(tmp_path), CropShape((30, 8, 8), (6.0, 6.0, 6.0))).read(request, label="m")
    assert (view.values[:5] == -1).all()
    assert view.labels is not None
    assert not view.labels[:5].any()


def test_what_was_read_is_kept_within_bounds(tmp_path: Path) -> None:
    request, _ = stored(tmp_path, "SPL")
    reader = ViewReader(str(tmp_path), SHAPE, cache_bytes=1)
    first = reader.read(request).values
    second = reader.read(request, label="m").values
    assert np.array_equal(first, second)
    assert len(reader._kept) == 1


def test_sampling_onto_another_grid(tmp_path: Path) -> None:
    _, grid = stored(tmp_path, "LIP")
    target = Grid((5, 5, 5), np.array([[2.0, 0, 0, 15], [0, 2, 0, -14], [0, 0, 2, 296], [0, 0, 0, 1]]))
    found = sample_onto(ramp(points(grid)), grid, target)
    assert found == pytest.approx(ramp(points(target)), abs=1e-6)
    assert sample_onto(np.ones(grid.shape), grid, target, outside=7) == pytest.approx(1)
    away = Grid((2, 2, 2), np.array([[2.0, 0, 0, 900], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]))
    assert (sample_onto(np.ones(grid.shape), grid, away, outside=7) == 7).all()
