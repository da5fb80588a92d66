"""The lower back: tissues by weighting, and grades that narrow what they should, where they should."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from curate.geometry.grid import Grid
from curate.phantoms.lumbar import CANAL, FIRST_DISC, LEFT_FORAMEN, LEFT_RECESS, RIGHT_RECESS, Back, random_back
from curate.phantoms.planes import disc_mr, sagittal_mr


def back(*graded: tuple[int, int, int], seed: int = 4) -> Back:
    grades = np.zeros((5, 5), dtype=np.int8)
    for condition, level, grade in graded:
        grades[condition, level] = grade
    return random_back(np.random.default_rng(seed), grades)


def disc_planes(patient: Back, level: int, spacing: float = 1.0) -> Grid:
    height = patient.levels.boundaries[FIRST_DISC + level]
    return disc_mr(patient.axis.to_patient([0, 8, height]), patient.axis.frame(height), (80, 80), spacing, 3, 3.0)


def bright_area(patient: Back, condition: int, level: int, weighting: str, radius: float = 6.0) -> float:
    """Share of bright voxels (over half of CSF or fat) around the spot of a condition, on planes along the disc."""
    grid = disc_planes(patient, level)
    values = patient.sample(grid, weighting)
    points = grid.to_patient(np.moveaxis(np.indices(grid.shape), 0, -1))
    near = np.linalg.norm(points - patient.spot_mm(condition, level), axis=-1) < radius
    return float((values[near] > 450).mean())


def test_csf_is_bright_on_t2_and_dark_on_t1_and_fat_is_dark_on_stir_only() -> None:
    patient = back()
    grid = sagittal_mr(patient.spot_mm(CANAL, 2), (9, 9), 1.0, 1, 4.0)
    t1, t2, stir = (patient.sample(grid, weighting)[0, 4, 4] for weighting in ("T1", "T2", "STIR"))
    assert t2 > 3 * t1
    assert stir > 3 * t1
    fat = sagittal_mr(patient.axis.to_patient([0, 75, 0]), (3, 3), 1.0, 1, 4.0)
    assert patient.sample(fat, "T1").mean() > 5 * patient.sample(fat, "STIR").mean()


@pytest.mark.parametrize(
    ("condition", "weighting"), [(CANAL, "T2"), (LEFT_FORAMEN, "T1"), (LEFT_RECESS, "T2"), (RIGHT_RECESS, "T2")]
)
@pytest.mark.parametrize("level", [0, 2, 4])
def test_a_higher_grade_leaves_less_room(condition: int, weighting: str, level: int) -> None:
    areas = [bright_area(back((condition, level, grade)), condition, level, weighting) for grade in range(3)]
    assert areas[0] > areas[1] + 0.08
    assert areas[1] > areas[2] + 0.08


def test_a_grade_on_the_left_leaves_the_right_alone() -> None:
    sound, narrowed = back(), back((LEFT_RECESS, 3, 2))
    assert bright_area(sound, LEFT_RECESS, 3, "T2", 4) > bright_area(narrowed, LEFT_RECESS, 3, "T2", 4) + 0.2
    assert bright_area(sound, RIGHT_RECESS, 3, "T2", 4) == pytest.approx(
        bright_area(narrowed, RIGHT_RECESS, 3, "T2", 4), abs=0.05
    )


def test_left_is_where_lps_x_is_larger() -> None:
    patient = back()
    for level in range(5):
        assert patient.spot_mm(LEFT_RECESS, level)[0] > patient.spot_mm(RIGHT_RECESS, level)[0] + 10


def test_discs_descend_and_every_one_has_an_angle_of_its_own() -> None:
    patient = back()
    discs = np.array([patient.disc_mm(level) for level in range(5)])
    assert (np.diff(discs[:, 2]) < -20).all()
    normals = [patient.axis.frame(patient.levels.boundaries[FIRST_DISC + n])[:, 2] for n in range(5)]
    for upper, lower in itertools.pairwise(normals):
        assert np.degrees(np.arccos(upper @ lower)) > 2


def test_a_disc_is_darker_than_csf_and_a_narrow_level_has_a_dry_one() -> None:
    wet, dry = back(), back((CANAL, 1, 2))
    grid = disc_planes(wet, 1)
    k, j, i = np.rint(grid.to_index(wet.disc_mm(1))).astype(int)
    assert wet.sample(grid, "T2")[k, j, i] > 1.8 * dry.sample(grid, "T2")[k, j, i]
