"""Transforms move things by what they say, and give a sample the same whatever batch it is in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from curate.loading.order import visit_key
from curate.loading.transforms import Transform, add_noise, as_windows, change_gamma, move, scale_percentiles
from curate.volumes.statistics import measure

SPACING = (1.0, 0.5, 0.25)
SHAPE = (24, 48, 96)  # 24 mm along every axis
EVERYTHING = Transform(SPACING, shift_mm=2, turn_degrees=10, zoom=0.1, gamma=0.3, noise=0.1)


def keys(*numbers: int) -> NDArray[np.int64]:
    return np.array([visit_key(seed=1, epoch=n % 3, index=n) for n in numbers])


def millimetres() -> torch.Tensor:
    """(3, D, H, W): where each voxel lies from the middle."""
    axes = [(torch.arange(n) - (n - 1) / 2) * step for n, step in zip(SHAPE, SPACING, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def ball(centre_mm: tuple[float, float, float], radius_mm: float) -> torch.Tensor:
    away = (millimetres() - torch.tensor(centre_mm)[:, None, None, None]).square().sum(dim=0)
    return (2 * torch.exp(-away / radius_mm**2) - 1)[None, None]


def centre(values: torch.Tensor) -> list[float]:
    weights = values[0, 0] + 1
    return [float(n) for n in (millimetres() * weights).sum(dim=(1, 2, 3)) / weights.sum()]


def spread(values: torch.Tensor) -> float:
    """Root mean square distance from its centre, mm."""
    weights = values[0, 0] + 1
    away = millimetres() - torch.tensor(centre(values))[:, None, None, None]
    return float(((away.square().sum(dim=0) * weights).sum() / weights.sum()).sqrt())


@pytest.mark.parametrize("values", [torch.rand(5, 2, 12, 16, 20) * 2 - 1])
def test_a_sample_is_changed_alike_in_every_batch(values: torch.Tensor) -> None:
    together = EVERYTHING(values, keys(0, 1, 2, 3, 4))
    turned = EVERYTHING(values.flip(0), keys(4, 3, 2, 1, 0)).flip(0)
    alone = torch.cat([EVERYTHING(values[n : n + 1], keys(n)) for n in range(5)])
    assert torch.equal(together, turned)
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(EVERYTHING(values, keys(5, 6, 7, 8, 9)), together, atol=0.1)
    assert together.min() >= -1
    assert together.max() <= 1


def test_zero_everywhere_changes_nothing() -> None:
    values = torch.rand(2, 1, *SHAPE)
    assert torch.equal(Transform(SPACING)(values, keys(1, 2)), values)


def test_a_shift_moves_by_millimetres_along_every_axis() -> None:
    spot = ball((0, 0, 0), 3)
    for axis in range(3):
        matrix = torch.eye(3, 4, dtype=torch.float64)[None].clone()
        matrix[0, axis, 3] = 3 / 12  # of half the crop, which is 12 mm
        moved = centre(move(spot, matrix))
        assert moved == pytest.approx([-3.0 if n == axis else 0.0 for n in range(3)], abs=0.05)


def test_turns_keep_distances_in_millimetres() -> None:
    """Voxels are four times as long along one axis as along another; a turn that forgot it would squash the ball."""
    turner = Transform(SPACING, turn_degrees=30)
    spot = ball((4, 3, -5), 2)
    for n in range(3):
        moved = turner(spot, keys(n))
        assert np.linalg.norm(centre(moved)) == pytest.approx(math.sqrt(50), abs=0.25)
        assert spread(moved) == pytest.approx(spread(spot), rel=0.06)


def test_a_zoom_changes_the_size_as_it_says() -> None:
    spot = ball((0, 0, 0), 3)
    zoomer = Transform(SPACING, zoom=0.3)
    for n in range(4):
        factor = 1 + 0.3 * float(zoomer._draws(spot, keys(n))[0, 3])
        assert spread(zoomer(spot, keys(n))) == pytest.approx(spread(spot) / factor, rel=0.03)


def test_shifts_of_a_transform_stay_within_reach_and_fill_it() -> None:
    shifter, spot = Transform(SPACING, shift_mm=3), ball((0, 0, 0), 2)
    found = np.array([centre(shifter(spot, keys(n))) for n in range(12)])
    assert np.abs(found).max() <= 3.05
    assert (np.abs(found).max(axis=0) > 1.8).all()


def test_labels_move_with_the_values() -> None:
    spot = ball((3, -2, 4), 4)
    labels = (spot > 0).to(torch.uint8) * 5
    mover = Transform(SPACING, shift_mm=2, turn_degrees=15, zoom=0.1, gamma=0.3, noise=0.1)
    for n in range(2):
        moved = mover.move_labels(labels, keys(n))
        still = Transform(SPACING, shift_mm=2, turn_degrees=15, zoom=0.1)(spot, keys(n))
        assert moved.dtype == torch.uint8
        assert set(np.unique(moved.numpy()).tolist()) <= {0, 5}
        overlap = ((moved > 0) & (still > 0)).sum() / ((moved > 0) | (still > 0)).sum()
        assert overlap > 0.85


def test_gamma_keeps_the_ends_and_bends_the_middle() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 1, 1, 1, 3).repeat(2, 1, 1, 1, 1)
    bent = change_gamma(values, torch.tensor([2.0, 1.0]))
    assert bent[0].flatten().tolist() == pytest.approx([-1, -0.5, 1])
    assert torch.allclose(bent[1], values[1])


def test_noise_has_the_deviation_asked_for() -> None:
    noisy = add_noise(torch.zeros(2, 1, 40, 40, 40), torch.tensor([0.05, 0.2]), keys(1, 2))
    assert noisy.std(dim=(1, 2, 3, 4)).tolist() == pytest.approx([0.05, 0.2], rel=0.02)
    assert abs(float(noisy.mean())) < 0.002


def test_windows_stand_as_channels_in_hounsfield_units() -> None:
    hounsfield = torch.tensor([-1000.0, -200.0, 400.0, 1000.0, 2000.0]).reshape(1, 1, 1, 1, 5)
    windows = [(-200.0, 1000.0), (300.0, 500.0)]
    seen = as_windows(hounsfield, windows)
    assert seen.shape == (1, 2, 1, 1, 5)
    assert seen[0, 0].flatten().tolist() == pytest.approx([-1, -1, 0, 1, 1])
    assert seen[0, 1].flatten().tolist() == pytest.approx([-1, -1, 0, 1, 1])
    read = (hounsfield + 1000) / 1500 - 1  # as crops come with low -1000 and high 2000
    assert torch.allclose(as_windows(read, windows, scaled_from=(-1000.0, 2000.0)), seen, atol=1e-5)
    several = as_windows(torch.cat([hounsfield, -hounsfield], dim=1), windows)
    assert torch.equal(several[:, :2], seen)
    assert several.shape[1] == 4


def test_percentiles_are_those_of_the_tables() -> None:
    values = np.random.default_rng(0).gamma(2, 100, (3, 20, 21, 22)).astype(np.float32)
    scaled = scale_percentiles(torch.from_numpy(values)[None])
    for channel, array in zip(scaled[0], values, strict=True):
        found = measure(array)
        wanted = np.clip((array - found.p01) / (found.p99 - found.p01) * 2 - 1, -1, 1)
        assert np.abs(channel.numpy() - wanted).max() < 1e-5
    assert scale_percentiles(torch.full((1, 1, 2, 2, 2), 7.0)).tolist() == [[[[[-1.0] * 2] * 2] * 2]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: EVERYTHING(torch.zeros(2, 3, 4, 5), keys(1, 2)),
        lambda: EVERYTHING(torch.zeros(2, 1, 3, 4, 5), keys(1)),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="values: expected"):
        call()


def test_keys_differ_by_seed_epoch_index_and_visit() -> None:
    found = {
        visit_key(seed=seed, epoch=epoch, index=index, visit=visit)
        for seed in (0, 1)
        for epoch in (-1, 0, 1)
        for index in range(5)
        for visit in (0, 1)
    }
    assert len(found) == 60
    assert all(0 <= key < 2**63 for key in found)
