"""Crops: where they lie, which way round, and how far they may be moved."""

from __future__ import annotations

import numpy as np
import pytest

from curate.geometry import Grid
from curate.loading.crops import (
    Augmentation,
    CropRequest,
    Jitter,
    axis_directions,
    lattice,
    scale,
)
from tests.support.grids import SHAPE, STEPS, make_grid


def request(axes: str, *, centre: tuple[float, float, float] = (4, -6, 10), mirrored: bool = False) -> CropRequest:
    return CropRequest("v/0.zarr", centre, axes, -100.0, 100.0, mirrored)


def test_a_turn_keeps_distances() -> None:
    grid = make_grid("LIP")
    matrix, first = lattice(grid, request("LIP"), SHAPE, Jitter(turn_degrees=(7.0, -4.0, 3.0)))
    steps_mm = np.stack([grid.to_patient(first + matrix[:, n]) - grid.to_patient(first) for n in range(3)])
    assert np.linalg.norm(steps_mm, axis=1) == pytest.approx(SHAPE.spacing_mm)
    assert abs(steps_mm[0] @ steps_mm[1]) < 1e-9
    centre = grid.to_patient(first + matrix @ ((np.array(SHAPE.shape) - 1) / 2))
    assert centre == pytest.approx((4, -6, 10))


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
