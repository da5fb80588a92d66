"""Leaning and uneven stacks: voxels against a scene that is known at every millimetre of the patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry import Grid, Placement, normalise, resample
from curate.geometry.placement import straighten

ACROSS = np.array([0.97, 0.2, -0.12]) / np.linalg.norm([0.97, 0.2, -0.12])
DOWN = np.cross([0.1, -0.2, 0.97], ACROSS) / np.linalg.norm(np.cross([0.1, -0.2, 0.97], ACROSS))
NORMAL = np.cross(ACROSS, DOWN)


def make(
    slices: int = 40, *, tilt: float = 0.0, slide: float = 0.0, uneven: float = 0.0, sense: float = 1.0, seed: int = 0
) -> Placement:
    """An oblique stack: ``tilt`` down and ``slide`` across in mm a mm of height; gaps vary by +-``uneven``."""
    gaps = 1.2 * (1 + uneven * np.random.default_rng(seed).uniform(-1, 1, slices))
    heights = np.cumsum(gaps)[:, None]
    origins = np.array([-20.0, 33.0, 510.0]) + heights * (sense * NORMAL + tilt * DOWN + slide * ACROSS)
    return Placement((slices, 60, 50), origins, DOWN * 0.8, ACROSS * 0.7)


def scene(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth tissue of about +-500, periods of 55 mm and more."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 300 * np.sin(x / 9 + 0.3) * np.cos(y / 11) + 200 * np.sin(z / 10)


def pixels(placement: Placement) -> NDArray[np.float64]:
    """(slice, row, column, 3) LPS millimetres by the equation of PS3.3 C.7.6.2.1-1, slice by slice."""
    _, rows, columns = placement.shape
    plane = np.arange(rows)[:, None, None] * placement.down_mm + np.arange(columns)[None, :, None] * placement.across_mm
    return np.stack([origin + plane for origin in placement.origins_mm])


def voxels(grid: Grid) -> NDArray[np.float64]:
    return grid.to_patient(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))


def seen(placement: Placement, spacing: tuple[float, ...], order: int) -> NDArray[np.bool_]:
    """Voxels inside the field of all slices that they read, and between the outermost slices."""
    ones, grid = normalise(np.ones(placement.shape, np.float32), placement, spacing, order=order, antialias=False)
    heights = (voxels(grid) - placement.origins_mm[0]) @ placement.normal
    return (np.abs(ones - 1) < 1e-4) & (heights >= 0) & (heights <= placement.heights_mm[-1])


LEANING = [
    make(),
    make(uneven=0.5),
    make(tilt=0.3),
    make(tilt=-0.35, uneven=0.4, sense=-1.0),
    make(tilt=0.2, slide=-0.15, uneven=0.4),
]


@pytest.mark.parametrize("placement", LEANING)
@pytest.mark.parametrize(("order", "tolerance"), [(1, 5.0), (3, 1.0)])
def test_a_known_scene_is_read_at_the_right_place_in_the_patient(
    placement: Placement, order: int, tolerance: float
) -> None:
    values = scene(pixels(placement)).astype(np.float32)
    found, grid = normalise(values, placement, (1, 1, 1), order=order, antialias=False)
    where = seen(placement, (1, 1, 1), order)
    # beyond its outermost centres a slice goes on as it ends, and splines bend there
    where &= _deep(placement, grid, 0 if order == 1 else 8)
    if order == 3:
        height = (voxels(grid) - placement.origins_mm[0]) @ placement.normal
        where &= (height > 6) & (height < placement.heights_mm[-1] - 6)
    assert where.sum() > 1000
    assert np.abs(found - scene(voxels(grid)))[where].max() < tolerance


def _deep(placement: Placement, grid: Grid, margin: float) -> NDArray[np.bool_]:
    """Voxels ``margin`` pixels inside every slice."""
    offset = voxels(grid) - placement.origins_mm[0]
    row = offset @ DOWN / 0.8
    column = offset @ ACROSS / 0.7
    drift = placement.drift
    return (
        (row > drift[:, 0].max() + margin)
        & (row < drift[:, 0].min() + 59 - margin)
        & (column > drift[:, 1].max() + margin)
        & (column < drift[:, 1].min() + 49 - margin)
    )


def test_a_scene_read_without_the_lean_would_be_far_off() -> None:
    placement = make(tilt=0.3)
    upright = Placement(placement.shape, make().origins_mm, placement.down_mm, placement.across_mm)
    found, grid = normalise(scene(pixels(placement)).astype(np.float32), upright, (1, 1, 1))
    assert np.abs(found - scene(voxels(grid))).max() > 100  # so that the tolerance above says something


@pytest.mark.parametrize("order", [0, 1, 3])
def test_an_even_upright_stack_is_what_resample_gives(order: int) -> None:
    placement = make()
    affine = np.eye(4)
    affine[:3] = np.stack([NORMAL * 1.2, DOWN * 0.8, ACROSS * 0.7, placement.origins_mm[0]], axis=1)
    grid = Grid(placement.shape, affine)
    array = np.random.default_rng(0).integers(-1000, 2000, grid.shape).astype(np.int16)
    expected, expected_grid = resample(array, grid, (1.5, 1.0, 1.1), order=order)
    found, found_grid = normalise(array, placement, (1.5, 1.0, 1.1), order=order)
    np.testing.assert_allclose(found_grid.affine, expected_grid.affine, atol=1e-9)
    assert (found != expected).mean() < 1e-3
    assert np.abs(found.astype(int) - expected).max() <= (1 if order else 3000)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("antialias", [False, True])
def test_gaps_that_are_uneven_by_nothing_to_speak_of_change_nothing_to_speak_of(order: int, antialias: bool) -> None:
    array = scene(pixels(make()))
    even, _ = normalise(array, make(), (1.0, None, None), order=order, antialias=antialias)
    nearly, _ = normalise(array, make(uneven=1e-5), (1.0, None, None), order=order, antialias=antialias)
    np.testing.assert_allclose(nearly[4:-4], even[4:-4], atol=0.05)


def test_a_wave_that_shrinking_cannot_hold_vanishes_along_uneven_gaps() -> None:
    placement = make(200, uneven=0.1)
    wave = np.broadcast_to(1000.0 * (-1.0) ** np.arange(200)[:, None, None], placement.shape).astype(np.float32)
    smooth, _ = normalise(wave, placement, (6.0, None, None))
    rough, _ = normalise(wave, placement, (6.0, None, None), antialias=False)
    assert np.abs(smooth[2:-2]).max() < 60
    assert np.abs(rough[2:-2]).max() > 300


def test_the_field_outside_is_exactly_the_fill_value_and_every_pixel_is_held() -> None:
    placement = make(tilt=0.3)
    found, grid = normalise(np.zeros(placement.shape, np.int16), placement, (1, 1, 1), fill=-1024)
    index = grid.to_index(pixels(placement))
    assert index.min() > -1
    assert (index < np.array(grid.shape)).all()
    beyond = (voxels(grid) - placement.origins_mm[0]) @ DOWN / 0.8
    heights = (voxels(grid) - placement.origins_mm[0]) @ NORMAL
    assert (found[beyond < 0.3 / 0.8 * (heights - 2) - 1] == -1024).all()
    assert (found[(beyond > 0.3 / 0.8 * (heights + 2) + 1) & (beyond < 0.3 / 0.8 * (heights - 2) + 58)] == 0).all()
    assert 0.05 < (found == -1024).mean() < 0.5


def test_nearest_takes_each_voxel_from_the_nearest_pixel_of_the_nearest_slice() -> None:
    placement = make(tilt=0.2, slide=0.1, uneven=0.4)
    labels = np.random.default_rng(0).integers(1, 20, placement.shape).astype(np.uint8)
    found, grid = normalise(labels, placement, (1, 1, 1), order=0, fill=0)
    sample = np.random.default_rng(1).integers(0, grid.shape, (400, 3))
    everything = pixels(placement)
    for index in sample:
        offset = everything - grid.to_patient(index)
        height = np.abs(offset[:, 0, 0] @ NORMAL)
        k = int(np.argmin(height))
        flat = offset[k] - (offset[k] @ NORMAL)[..., None] * NORMAL
        row, column = np.unravel_index(int(np.argmin((flat**2).sum(-1))), placement.shape[1:])
        gap = np.linalg.norm(flat[row, column])
        if np.sort(height)[1] - height[k] < 1e-6 or abs(gap - 0.35) < 0.06 or gap > 0.35:
            continue  # a tie, or near the edge of a pixel or of the field
        assert found[tuple(index)] == labels[k, row, column]


def test_slopes_of_every_slice_are_those_of_scaling_first() -> None:
    placement = make(tilt=0.2, uneven=0.3)
    stored = np.random.default_rng(0).integers(0, 4096, placement.shape).astype(np.uint16)
    slopes, intercepts = np.linspace(0.5, 2, 40), np.linspace(-1024, -1000, 40)
    scaled = stored * slopes[:, None, None] + intercepts[:, None, None]
    expected, _ = normalise(scaled, placement, (1, 1, 1), fill=-1024)
    found, _ = normalise(
        stored, placement, (1, 1, 1), slopes=slopes, intercepts=intercepts, fill=-1024, dtype=np.float32
    )
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_threads_change_no_bit_and_a_turned_view_no_value() -> None:
    placement = make(tilt=0.2, slide=0.1, uneven=0.4)
    array = np.random.default_rng(0).normal(0, 300, placement.shape).astype(np.float32)
    one, _ = normalise(array, placement, (1, 1, 1), fill=-1000)
    many, _ = normalise(array, placement, (1, 1, 1), fill=-1000, threads=5)
    assert one.tobytes() == many.tobytes()
    view = array[:, ::-1, ::-1].copy()[:, ::-1, ::-1]
    np.testing.assert_allclose(normalise(view, placement, (1, 1, 1), fill=-1000)[0], one, atol=1e-3)


def test_a_single_slice_is_as_thick_as_it_says() -> None:
    placement = Placement((1, 6, 5), [[1.0, 2, 3]], DOWN, ACROSS, thickness_mm=4.0)  # type: ignore[arg-type]
    array = np.arange(30, dtype=np.int16).reshape(1, 6, 5)
    found, grid = normalise(array, placement, (1, None, None))
    np.testing.assert_array_equal(found, np.repeat(array, 4, axis=0))
    np.testing.assert_allclose(grid.to_patient((1.5, 0, 0)), [1, 2, 3])


@settings(deadline=None, max_examples=40)
@given(
    tilt=st.floats(-0.5, 0.5), slide=st.floats(-0.5, 0.5), uneven=st.floats(0, 0.8), sense=st.sampled_from([1.0, -1.0])
)
def test_heights_and_drift_put_every_slice_where_it_lies(
    tilt: float, slide: float, uneven: float, sense: float
) -> None:
    placement = make(9, tilt=tilt, slide=slide, uneven=uneven, sense=sense)
    rebuilt = placement.origins_mm[0] + placement.heights_mm[:, None] * placement.normal
    rebuilt = rebuilt + placement.drift[:, :1] * placement.down_mm + placement.drift[:, 1:] * placement.across_mm
    np.testing.assert_allclose(rebuilt, placement.origins_mm, atol=1e-9)
    grid = straighten(placement, (1, 1, 1)).grid
    np.testing.assert_allclose(grid.spacing_mm, (1, 1, 1))
    np.testing.assert_allclose(grid.directions[:, 0], placement.normal, atol=1e-12)


def test_a_sheared_grid_is_a_placement_that_leans() -> None:
    placement = make(12, tilt=0.25)
    affine = np.eye(4)
    step = (placement.origins_mm[-1] - placement.origins_mm[0]) / 11
    affine[:3] = np.stack([step, DOWN * 0.8, ACROSS * 0.7, placement.origins_mm[0]], axis=1)
    found = Placement.of(Grid(placement.shape, affine))
    np.testing.assert_allclose(found.origins_mm, placement.origins_mm, atol=1e-9)
    np.testing.assert_allclose(found.slice_grid(3).to_patient((0, 7, 9)), pixels(placement)[3, 7, 9], atol=1e-9)


def _bad(**changes: Any) -> Placement:
    good: dict[str, Any] = {
        "shape": (3, 4, 5), "origins_mm": [[0, 0, 0], [0, 0, 1], [0, 0, 2]], "down_mm": [0, 1, 0],
        "across_mm": [1, 0, 0],
    }  # fmt: skip
    return Placement(**{**good, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"origins_mm": [[0, 0, 0], [0, 0, 2], [0, 0, 1]]},
        {"origins_mm": [[0, 0, 0], [0, 0, 1], [0, 3, 1]]},
        {"origins_mm": [[0, 0, 0], [0, 0, 1]]},
        {"origins_mm": [[0, 0, 0], [0, 0, 1], [0, 0, np.nan]]},
        {"across_mm": [0, 2, 0]},
        {"down_mm": [0, 0]},
        {"thickness_mm": 0.0},
        {"shape": (3, 0, 5)},
    ],
)
def test_an_impossible_placement_is_refused(changes: dict[str, Any]) -> None:
    assert _bad().shape == (3, 4, 5)
    with pytest.raises(ValueError):
        _bad(**changes)


def test_wrong_requests_are_refused() -> None:
    placement = make(5)
    with pytest.raises(ValueError, match="shape"):
        normalise(np.zeros((2, 2, 2)), placement, (1, 1, 1))
    with pytest.raises(Misconfigured, match="order"):
        normalise(np.zeros(placement.shape), placement, (1, 1, 1), order=2)
    with pytest.raises(Misconfigured, match="spacing"):
        normalise(np.zeros(placement.shape), placement, (1, 0, 1))
    with pytest.raises(ValueError, match="nearest"):
        normalise(np.zeros(placement.shape), placement, (1, 1, 1), order=0, intercepts=3)
