"""The neck: anatomy where it should be, whatever the planes, and fractures that show."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from curate.geometry.grid import Grid
from curate.phantoms.cervical import NAMES, Neck, random_neck
from curate.phantoms.planes import axial_ct, plane_grid


def neck(*broken: int, seed: int = 5) -> Neck:
    return random_neck(np.random.default_rng(seed), broken)


def scan(patient: Neck, spacing: float = 1.5) -> Grid:
    count = round(160 / spacing)
    return axial_ct(np.add(patient.centre_mm(3), (0, -14, 0)), (count, count), 160.0, spacing, 165.0)


@pytest.fixture(scope="module")
def sound() -> tuple[Neck, Grid, np.ndarray, np.ndarray]:
    patient = neck()
    grid = scan(patient)
    values, labels, _ = patient.sample(grid)
    return patient, grid, values, labels


def test_hounsfield_units_are_those_of_air_soft_tissue_and_bone(
    sound: tuple[Neck, Grid, np.ndarray, np.ndarray],
) -> None:
    _, _, values, labels = sound
    assert values.dtype == np.float32
    assert values.min() >= -1000.5
    assert 600 < values.max() < 1100
    assert np.median(values[0, 0, :3]) == pytest.approx(-1000, abs=1)
    assert 200 < np.median(values[(labels > 2) & (labels < 8)]) < 900


def test_seven_cervical_vertebrae_lie_below_each_other(sound: tuple[Neck, Grid, np.ndarray, np.ndarray]) -> None:
    _, grid, _, labels = sound
    heights = [grid.to_patient(np.argwhere(labels == n).mean(axis=0))[2] for n in range(1, 8)]
    assert all(upper > lower + 5 for upper, lower in itertools.pairwise(heights))


def test_a_vertebra_is_labelled_around_its_true_centre(sound: tuple[Neck, Grid, np.ndarray, np.ndarray]) -> None:
    patient, grid, _, labels = sound
    for level in range(1, 7):
        k, j, i = np.rint(grid.to_index(patient.centre_mm(level))).astype(int)
        assert labels[k, j, i] == level + 1, NAMES[level]


def test_every_vertebra_has_a_canal_with_cord_in_it(sound: tuple[Neck, Grid, np.ndarray, np.ndarray]) -> None:
    patient, grid, values, labels = sound
    for level in range(7):
        spot = patient.axis.to_patient([0, 7.6 * patient.size, patient.levels.centres[level]])
        k, j, i = np.rint(grid.to_index(spot)).astype(int)
        assert labels[k, j, i] == 0
        assert values[k, j, i] == pytest.approx(42, abs=20)


def test_the_same_point_has_the_same_value_on_any_planes(sound: tuple[Neck, Grid, np.ndarray, np.ndarray]) -> None:
    patient, grid, values, _ = sound
    oblique = plane_grid(patient.centre_mm(4), (0.8, 0.6, 0), (0, 0, -1), (9, 15, 15), (1.0, 1.0, 1.0))
    other, _, _ = patient.sample(oblique)
    points = grid.to_index(oblique.to_patient(np.moveaxis(np.indices(oblique.shape), 0, -1)))
    seen = ndimage.map_coordinates(values, np.moveaxis(points, -1, 0), order=1)
    assert np.corrcoef(seen.ravel(), other.ravel())[0, 1] > 0.93


@pytest.mark.parametrize("level", range(7))
def test_a_fracture_darkens_its_vertebra_and_no_other(level: int) -> None:
    whole, broken = neck(), neck(level)
    grid = scan(whole)
    before, labels, none = whole.sample(grid)
    after, _, cleft = broken.sample(grid)
    assert none.max() == 0
    assert set(np.unique(cleft)) == {0, level + 1}
    inside = cleft > 0
    assert inside.sum() > 25
    assert (before[inside].mean() - after[inside].mean()) > 150
    far = ndimage.binary_dilation((labels == level + 1) | inside, iterations=4)
    assert np.abs(before - after)[~far].max() < 1e-3


def test_a_fracture_centre_lies_in_its_cleft() -> None:
    patient = neck(4)
    _, _, cleft = patient.sample(grid := scan(patient, 1.0))
    where = grid.to_patient(np.argwhere(cleft == 5))
    for fracture in patient.fractures:
        assert np.linalg.norm(where - patient.fracture_mm(fracture), axis=1).min() < 3


def test_patients_differ() -> None:
    first, second = neck(seed=1), neck(seed=2)
    assert np.linalg.norm(first.centre_mm(6) - second.centre_mm(6)) > 1
    assert first.size != second.size
