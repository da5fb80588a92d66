"""Masks of phantoms, turned about in every way that a NIfTI file can be wrong; the right ones pass."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.geometry import Grid, resample
from curate.labels.mask_checks import find_fault, sample_labelled
from curate.labels.masks import CERVICAL_MASK_NAMES
from curate.phantoms.neck_study import make_neck_study
from curate.phantoms.sites import list_sites

SITE = list_sites(1)[0]
NUMBERS = (0, 1, 2, 4, 5, 6)  # every fourth study has no mask


@lru_cache
def neck(number: int) -> tuple[NDArray[np.uint8], NDArray[np.int16], Grid]:
    """Mask, Hounsfield units and the grid of both."""
    study = make_neck_study(11, SITE, number, matrix=64)
    (stack,) = study.series[0].stacks
    assert study.mask is not None
    return study.mask, (stack.pixels.astype(np.int16) + study.series[0].facts.intercept).astype(np.int16), stack.grid


def fault(
    number: int, *, mask: NDArray[np.uint8] | None = None, affine: NDArray[np.float64] | None = None
) -> str | None:
    own, values, grid = neck(number)
    mask_grid = Grid(own.shape, grid.affine if affine is None else affine)
    return find_fault(own if mask is None else mask, mask_grid, values, grid, CERVICAL_MASK_NAMES, is_ct=True)


def moved(grid: Grid, shift_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    affine = grid.affine.copy()
    affine[:3, 3] += shift_mm
    return affine


@pytest.mark.parametrize("number", NUMBERS)
def test_a_mask_as_it_was_drawn_has_no_fault(number: int) -> None:
    assert fault(number) is None


@pytest.mark.parametrize("spacing", [1.0, 3.0])
def test_a_volume_of_other_spacing_makes_no_difference(spacing: float) -> None:
    mask, values, grid = neck(0)
    finer, finer_grid = resample(values, grid, (spacing,) * 3)
    assert find_fault(mask, grid, finer, finer_grid, CERVICAL_MASK_NAMES, is_ct=True) is None


def test_a_mask_in_another_array_order_is_the_same_mask() -> None:
    mask, values, grid = neck(1)
    turned = np.ascontiguousarray(mask.transpose(2, 0, 1)[:, ::-1])
    affine = grid.affine[:, [2, 0, 1, 3]].copy()
    affine[:3, 3] += affine[:3, 1] * (mask.shape[0] - 1)
    affine[:3, 1] *= -1
    assert find_fault(turned, Grid(turned.shape, affine), values, grid, CERVICAL_MASK_NAMES, is_ct=True) is None


@pytest.mark.parametrize("number", NUMBERS)
def test_a_mask_upside_down_runs_the_wrong_way(number: int) -> None:
    mask = neck(number)[0]
    steps = len(np.unique(mask)) - 2
    found = fault(number, mask=mask[::-1].copy())
    assert found is not None
    assert found.endswith(f"{steps} of {steps} steps run upwards")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_mask_whose_left_is_its_right_lies_beside_the_bones(number: int) -> None:
    """The necks lean a little: that is enough."""
    found = fault(number, mask=neck(number)[0][:, :, ::-1].copy())
    assert found is not None
    assert found.startswith(("mirrored left to right", "labelled voxels are only", "shifted by"))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("signs", [(-1, -1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_an_affine_whose_signs_were_lost_is_noticed(number: int, signs: tuple[int, int, int]) -> None:
    """(-1, -1, 1): RAS millimetres taken for LPS."""
    affine = np.diag([*signs, 1.0]) @ neck(number)[2].affine
    assert fault(number, affine=affine) is not None


@pytest.mark.parametrize("number", NUMBERS[:3])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-30.0, -12.0, -4.0, 4.0, 7.0, 17.0])
def test_a_shifted_mask_is_noticed(number: int, axis: int, shift: float) -> None:
    there = np.eye(3)[axis] * shift
    assert fault(number, affine=moved(neck(number)[2], tuple(there))) is not None


def test_a_shift_of_less_than_half_a_cortex_is_not() -> None:
    assert fault(0, affine=moved(neck(0)[2], (1.0, 0.0, 0.0))) is None


def test_the_mask_of_another_patient_mostly_is_noticed() -> None:
    """Where two necks lie alike it is not."""
    mask, _, own = neck(0)
    found = [find_fault(mask, own, *neck(number)[1:], CERVICAL_MASK_NAMES, is_ct=True) for number in NUMBERS[1:]]
    assert sum(one is not None for one in found) >= 4


@pytest.mark.parametrize(
    ("part", "expected"), [(0.95, None), (0.3, "of the labelled voxels lie inside the volume"), (0.02, "lie inside")]
)
def test_a_volume_that_shows_less_than_half_of_the_mask_is_not_its_own(part: float, expected: str | None) -> None:
    mask, values, grid = neck(0)
    kept = values[: round(len(values) * part)]
    found = find_fault(mask, grid, kept, Grid(kept.shape, grid.affine), CERVICAL_MASK_NAMES, is_ct=True)
    assert (found is None) if expected is None else (found is not None and expected in found)


def test_two_labels_that_changed_places_are_named() -> None:
    mask = neck(0)[0].copy()
    third, fourth = mask == 3, mask == 4
    mask[third], mask[fourth] = 4, 3
    assert fault(0, mask=mask) == f"C4 lies above C3; 1 of {len(np.unique(mask)) - 2} steps run upwards"


def test_a_mask_on_soft_tissue_is_not_on_bone() -> None:
    mask, values, grid = neck(0)
    soft = np.minimum(values, 60)
    found = find_fault(mask, grid, soft, grid, CERVICAL_MASK_NAMES, is_ct=True)
    assert found is not None
    assert found.startswith("labelled voxels are only")


def test_a_spine_that_is_its_own_mirror_image_does_not_tell_its_sides() -> None:
    mask, values, grid = neck(0)
    halves = mask.shape[2] // 2
    mask, values = (np.concatenate([a[:, :, :halves], a[:, :, :halves][:, :, ::-1]], axis=2) for a in (mask, values))
    same = Grid(mask.shape, grid.affine)
    for one in (mask, mask[:, :, ::-1].copy()):
        assert find_fault(one, same, values, same, CERVICAL_MASK_NAMES, is_ct=True) is None


def test_in_an_image_without_hounsfield_units_only_places_are_judged() -> None:
    mask, values, grid = neck(0)
    for number in (-values, np.zeros_like(values)):
        assert find_fault(mask, grid, number, grid, CERVICAL_MASK_NAMES, is_ct=False) is None
    upside = mask[::-1].copy()
    assert find_fault(upside, grid, values, grid, CERVICAL_MASK_NAMES, is_ct=False) is not None


def test_an_empty_mask_lies_nowhere() -> None:
    mask = np.zeros_like(neck(0)[0])
    assert fault(0, mask=mask) == "no labelled voxel lies inside the volume"
    assert len(sample_labelled(mask)) == 0


def test_a_large_mask_is_sampled_evenly() -> None:
    found = sample_labelled(np.ones((60, 60, 60), dtype=np.uint8))
    assert 19_000 < len(found) <= 20_000
    assert np.abs(found.mean(axis=0) - 29.5).max() < 0.5


def test_one_labelled_voxel_is_judged_without_a_crash() -> None:
    mask = np.zeros_like(neck(0)[0])
    mask[40, 30, 30] = 3
    assert fault(0, mask=mask) is None or isinstance(fault(0, mask=mask), str)
    everything = np.full_like(mask, 3)
    assert fault(0, mask=everything) is None or isinstance(fault(0, mask=everything), str)
