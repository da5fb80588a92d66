"""Crops: where they lie, which way round, and what they hold, against volumes whose values say where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.loading.crops import (
    Augmentation,
    CropReader,
    CropRequest,
    CropShape,
    Jitter,
    axis_directions,
    block_around,
    lattice,
    scale,
)
from curate.volumes import write_volume

PLAIN = Jitter()
SHAPE = CropShape((5, 6, 7), (2.0, 1.5, 1.0))
STEPS = {
    "SPL": [[0, 0, 1.2], [0, 1.1, 0], [2.0, 0, 0]],
    "LIP": [[4.0, 0, 0], [0, 0, 0.9], [0, -0.8, 0]],
    "IAR": [[0, 0, -1.0], [0, -1.0, 0], [-1.0, 0, 0]],
}


def make_grid(codes: str, shape: tuple[int, int, int] = (40, 50, 60)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = STEPS[codes]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + [3, -7, 11]
    grid = Grid(shape=shape, affine=affine)
    assert grid.axis_codes == codes
    return grid


def ramp(grid: Grid, direction: NDArray[np.float64]) -> NDArray[np.float32]:
    """A volume whose value at a point is its coordinate (mm) along a direction: linear, so interpolation is exact."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return (grid.to_patient(index) @ direction).astype(np.float32)


def request(axes: str, *, centre: tuple[float, float, float] = (4, -6, 10), mirrored: bool = False) -> CropRequest:
    return CropRequest("v/0.zarr", centre, axes, -100.0, 100.0, mirrored)


def read(root: Path, grid: Grid, values: NDArray[np.generic], wish: CropRequest, jitter: Jitter = PLAIN) -> object:
    write_volume(root / wish.uri, values, grid)
    reach = Augmentation(shift_mm=4, turn_degrees=10, zoom=0.2)
    return CropReader(str(root), SHAPE, reach).read(wish, jitter)


@pytest.mark.parametrize("codes", STEPS)
@pytest.mark.parametrize(("axes", "way"), [("SPL", (2, 1, 0)), ("LIP", (0, 2, 1))])
def test_a_crop_lies_where_it_was_asked_for_in_millimetres(
    tmp_path: Path, codes: str, axes: str, way: tuple[int, int, int]
) -> None:
    grid = make_grid(codes)
    signs = {"S": 1, "P": 1, "L": 1, "I": -1}
    for n, (letter, coordinate) in enumerate(zip(axes, way, strict=True)):
        direction = np.eye(3)[coordinate]
        found = read(tmp_path / f"{n}", grid, ramp(grid, direction), request(axes))
        away = (np.arange(SHAPE.shape[n]) - (SHAPE.shape[n] - 1) / 2) * SHAPE.spacing_mm[n] * signs[letter]
        wanted = ((4, -6, 10)[coordinate] + away) / 100
        along = np.moveaxis(np.asarray(found), n, 0).reshape(SHAPE.shape[n], -1)
        assert np.allclose(along, wanted[:, None], atol=1e-5)


def test_mirroring_turns_left_and_right_round_and_nothing_else(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    values = ramp(grid, np.array([1.0, 10.0, 0.1]))
    plain = np.asarray(read(tmp_path / "a", grid, values, request("SPL")))
    turned = np.asarray(read(tmp_path / "b", grid, values, request("SPL", mirrored=True)))
    assert np.allclose(turned, plain[:, :, ::-1], atol=1e-5)
    twice = np.asarray(read(tmp_path / "c", grid, values, request("SPL", mirrored=True), Jitter(mirrored=True)))
    assert np.allclose(twice, plain, atol=1e-5)


def test_a_shift_moves_the_crop_by_millimetres(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    values = ramp(grid, np.array([1.0, 0, 0]))
    plain = np.asarray(read(tmp_path / "a", grid, values, request("SPL")))
    moved = np.asarray(read(tmp_path / "b", grid, values, request("SPL"), Jitter(shift_mm=(3.0, 1.0, -2.0))))
    assert np.allclose(moved - plain, 0.03, atol=1e-5)


def test_a_zoom_stretches_around_the_centre(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    values = ramp(grid, np.array([1.0, 0, 0]))
    zoomed = np.asarray(read(tmp_path, grid, values, request("SPL"), Jitter(zoom=1.2)))
    assert np.allclose(zoomed[0, 0] - zoomed[0, 0, 3], (np.arange(7) - 3) * 1.2 / 100, atol=1e-5)


def test_a_turn_keeps_distances() -> None:
    grid = make_grid("LIP")
    matrix, first = lattice(grid, request("LIP"), SHAPE, Jitter(turn_degrees=(7.0, -4.0, 3.0)))
    steps_mm = np.stack([grid.to_patient(first + matrix[:, n]) - grid.to_patient(first) for n in range(3)])
    assert np.linalg.norm(steps_mm, axis=1) == pytest.approx(SHAPE.spacing_mm)
    assert abs(steps_mm[0] @ steps_mm[1]) < 1e-9
    centre = grid.to_patient(first + matrix @ ((np.array(SHAPE.shape) - 1) / 2))
    assert centre == pytest.approx((4, -6, 10))


def test_outside_the_volume_lies_the_darkest_value(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    found = np.asarray(read(tmp_path, grid, np.full(grid.shape, 100, np.int16), request("SPL", centre=(900, 0, 0))))
    assert (found == -1).all()


def test_half_outside_is_padded_from_the_edge_on(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    edge = float(grid.to_patient([0, 0, grid.shape[2] - 1])[0])
    values = np.full(grid.shape, 100, np.int16)
    found = np.asarray(read(tmp_path, grid, values, request("SPL", centre=(edge, -6.0, 10.0))))
    assert (found[:, :, :4] == 1).all()
    assert (found[:, :, 6:] == -1).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_a_window_below_what_the_type_can_hold_is_no_trouble(tmp_path: Path, dtype: type[np.generic]) -> None:
    grid = make_grid("SPL")
    found = np.asarray(read(tmp_path, grid, np.full(grid.shape, 50, dtype), request("SPL", centre=(900, 0, 0))))
    assert found.dtype == np.float32
    assert found.max() <= 0


@pytest.mark.parametrize("codes", STEPS)
def test_the_block_that_is_read_holds_every_jittered_crop(codes: str) -> None:
    grid = make_grid(codes)
    reach = Augmentation(shift_mm=4, turn_degrees=10, zoom=0.2, mirror=True)
    start, size = block_around(grid, request("SPL"), SHAPE, reach)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in SHAPE.shape])).reshape(3, -1).T
    draw = np.random.default_rng(0)
    for _ in range(200):
        extreme = np.where(draw.uniform(size=Augmentation.DRAWS) < 0.5, 0.0, 1 - 1e-9)
        matrix, first = lattice(grid, request("SPL"), SHAPE, reach.jitter(extreme))
        index = first + corners @ matrix.T
        assert (index >= np.array(start)).all()
        assert (index <= np.array(start) + np.array(size) - 1).all()


def test_the_cache_changes_nothing_and_forgets(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    write_volume(tmp_path / "v/0.zarr", ramp(grid, np.array([1.0, 2.0, 3.0])), grid)
    wishes = [request("SPL", centre=(4.0 + n, -6.0, 10.0)) for n in range(5)]
    keeps, forgets = CropReader(str(tmp_path), SHAPE), CropReader(str(tmp_path), SHAPE, cache_bytes=0)
    for _ in range(2):
        for wish in wishes:
            assert np.array_equal(keeps.read(wish), forgets.read(wish))
    assert len(keeps._blocks) == 5
    assert not forgets._blocks
    assert forgets._kept == 0


def test_a_missing_volume_is_named_by_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CropReader(str(tmp_path), SHAPE).read(request("SPL"))


def test_values_are_mapped_to_minus_one_and_one_and_clipped() -> None:
    values = np.array([-1000.0, -200.0, 400.0, 1000.0, 3000.0], dtype=np.float32)
    assert scale(values, -200, 1000).tolist() == pytest.approx([-1, -1, 0, 1, 1])
    assert scale(values, 5, 5).tolist() == [-1, -1, 1, 1, 1]  # a flat image must not divide by zero
    assert scale(values[2:3], -200, 1000, gain=2, offset=0.25).tolist() == [0.25]


def test_jitter_stays_within_reach_and_can_be_nothing() -> None:
    reach = Augmentation(shift_mm=3, turn_degrees=5, zoom=0.1, gain=0.2, offset=0.3, mirror=True)
    lowest, highest = reach.jitter(np.zeros(10)), reach.jitter(np.ones(10))
    assert lowest == Jitter((-3, -3, -3), (-5, -5, -5), 0.9, 0.8, -0.3, True)
    assert highest == Jitter((3, 3, 3), (5, 5, 5), 1.1, 1.2, 0.3, False)
    assert Augmentation().jitter(np.random.default_rng(0).uniform(size=10)) == Jitter()


def test_oblique_volumes_keep_their_own_directions() -> None:
    turn = np.deg2rad(20)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array(STEPS["SPL"])
    directions = axis_directions(Grid(shape=(4, 4, 4), affine=affine), "LIP")
    assert directions[:, 0] == pytest.approx(rotation @ [1, 0, 0])
    assert directions[:, 1] == pytest.approx([0, 0, -1])
    assert directions[:, 2] == pytest.approx(rotation @ [0, 1, 0])
