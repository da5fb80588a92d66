"""The recipes' networks: mirrors, neighbours, places from chances, encoders by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from curate.errors import Misconfigured
from curate.loading import CropShape
from pipelines.recipes.cervical import WINNERS as CERVICAL_WINNERS
from pipelines.recipes.cervical import FractureSettings, Neck
from pipelines.recipes.levels import SWAP, LevelNetwork, LevelSettings, heat_places
from pipelines.recipes.lumbar import WINNERS as LUMBAR_WINNERS
from pipelines.recipes.lumbar import Back, GradeSettings
from pipelines.recipes.networks import ENCODERS, SliceEncoder, centres_of_mass, lattice_points, log_mean, neighbours
from pipelines.recipes.vertebrae import VertebraNetwork, VertebraSettings, vertebra_places

AFFINE = torch.tensor([[0.0, 0, 4, -30], [0, 3, 0, 10], [5, 0, 0, 100], [0, 0, 0, 1]])  # axes S, P, L
CONSTANTS = np.array([[0.4, 0.6]] + [[0.8, 0.2]] * 7)
GRADES = np.tile([0.5, 0.3, 0.2], (25, 1))
SMALL_NECK = VertebraSettings((16, 12, 12), (5, 5, 5), (4, 4, 8))
SMALL_BACK = LevelSettings((6, 12, 8), (5, 5, 5), (4, 4, 8))


def lump(index: tuple[float, float, float], size: float = 1.5) -> torch.Tensor:
    points = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in (12, 14, 16)], indexing="ij"), dim=-1)
    return torch.exp(-(points - torch.tensor(index)).square().sum(-1) / (2 * size**2))


def test_lattice_points_are_where_the_affine_says() -> None:
    points = lattice_points((2, 3, 4), AFFINE[None])[0]
    assert points.shape == (24, 3)
    assert points[1 * 12 + 2 * 4 + 3].tolist() == [-30 + 12, 10 + 6, 100 + 5]


def test_the_centre_of_a_lump_is_found_whatever_else_lies_far_away() -> None:
    alone = lump((6, 7, 8))
    with_another = alone + 0.3 * lump((2, 2, 2), 0.8)
    centres = centres_of_mass(torch.stack([alone, with_another])[None].double(), AFFINE[None].double(), reach_mm=10)[0]
    truth = [-30 + 32, 10 + 21, 100 + 30]
    assert centres[0].tolist() == pytest.approx(truth, abs=0.05)
    assert centres[1].tolist() == pytest.approx(truth, abs=1.5)


def test_no_mass_is_the_middle_and_no_number_that_is_none() -> None:
    centre = centres_of_mass(torch.zeros(1, 1, 3, 3, 3).double(), AFFINE[None].double(), reach_mm=10)[0, 0]
    assert centre.tolist() == pytest.approx([-30 + 4, 10 + 3, 100 + 5])


def test_chances_become_places_with_confidence() -> None:
    chances = torch.full((1, 9, 12, 14, 16), 1e-6)
    chances[0, 3] = lump((6, 7, 8), 2.0)
    places = vertebra_places(chances, AFFINE[None], torch.ones(1, dtype=torch.bool))[0]
    assert places[2, :3].tolist() == pytest.approx([2, 31, 130], abs=0.1)
    assert places[2, 3] > 0.7
    assert (places[[0, 1, 3, 4, 5, 6], 3] < 0.1).all()
    assert not vertebra_places(chances, AFFINE[None], torch.zeros(1, dtype=torch.bool))[0, :, 3].any()


def test_a_sharp_heat_map_is_trusted_and_a_flat_one_is_not() -> None:
    maps = torch.stack([lump((6, 7, 8)), torch.ones(12, 14, 16)])
    maps = maps / maps.sum(dim=(1, 2, 3), keepdim=True)
    affines = AFFINE.expand(1, 2, 4, 4)
    places = heat_places(maps[None], affines, torch.tensor([[True, True]]))[0]
    assert places[0, :3].tolist() == pytest.approx([2, 31, 130], abs=0.1)
    assert places[0, 3] > 0.8
    assert places[1, 3] < 0.5
    assert heat_places(maps[None], affines, torch.tensor([[False, True]]))[0, 0, 3] == 0


def test_a_mirrored_neck_gives_mirrored_chances_and_places() -> None:
    torch.manual_seed(0)
    network = VertebraNetwork(SMALL_NECK).eval()
    views, present = torch.randn(2, 1, 16, 12, 12), torch.ones(2, 1, dtype=torch.bool)
    middle = torch.eye(4)
    middle[0, 0], middle[2, 2], middle[0, 2], middle[2, 0] = 0, 0, 5, 5
    middle[1, 1], middle[0, 3] = 5, -5 * 11 / 2  # x = 0 in the middle of the view
    affines = middle.expand(2, 1, 4, 4)
    with torch.no_grad():
        logs, places = network(views, affines, present)
        turned, mirrored = network(views.flip(4), affines, present)
    assert torch.allclose(turned.flip(4), logs, atol=1e-5)
    assert torch.allclose(mirrored * torch.tensor([-1.0, 1, 1, 1]), places, atol=1e-3)


def test_a_mirrored_back_swaps_left_and_right() -> None:
    torch.manual_seed(0)
    network = LevelNetwork(SMALL_BACK).eval()
    views, present = torch.randn(1, 2, 6, 12, 8), torch.ones(1, 2, dtype=torch.bool)
    own = torch.eye(4) * 5
    own[3, 3], own[0, 3] = 1, -5 * 5 / 2
    affines = own.expand(1, 2, 4, 4)
    with torch.no_grad():
        places = network(views, affines, present)[3]
        mirrored = network(views.flip(2), affines, present)[3]
    turned = (mirrored * torch.tensor([-1.0, 1, 1, 1]))[:, list(SWAP)]
    assert torch.allclose(turned[:, :15], places[:, :15], atol=1e-3)
    assert (places[:, 15:, 3] == -1).all()  # recesses are never looked for


def test_swapping_twice_changes_nothing() -> None:
    assert [SWAP[n] for n in SWAP] == list(range(25))
    assert list(SWAP[:5]) == [0, 1, 2, 3, 4]
    assert list(SWAP[5:15]) == [*range(10, 15), *range(5, 10)]


@pytest.mark.parametrize("encoder", ["3d", "resnet10"])
def test_a_mirrored_crop_gets_the_same_fractures(encoder: str) -> None:
    torch.manual_seed(0)
    settings = FractureSettings(encoder, (9, 16, 16), width=4)
    if encoder == "3d":
        settings = replace(settings, planes=(12, 16, 16))
    network = Neck(CONSTANTS, settings, has_mask=True).eval()
    crops, present = torch.randn(1, 7, 2, *settings.planes), torch.ones(1, 7, dtype=torch.bool)
    with torch.no_grad():
        logits, looks = network(crops, present)
        turned, other = network(crops.flip(5), present)
    assert torch.allclose(logits, turned, atol=1e-5)
    assert torch.allclose(looks.exp().sum(dim=2), torch.ones(1, 7), atol=1e-5)
    if encoder == "resnet10":
        assert looks.shape[2] == 3  # (9 - 4 - 1) / 2 + 1 slices
        assert torch.allclose(looks, other, atol=1e-5)


@pytest.mark.parametrize("encoder", ["3d", "resnet10"])
def test_a_mirrored_canal_gets_the_same_grade(encoder: str) -> None:
    torch.manual_seed(0)
    settings = GradeSettings(encoder, (3, 16, 16), width=4)
    network = Back(GRADES, settings).eval()
    crops, present = torch.randn(1, 25, 3, 16, 16), torch.ones(1, 25, dtype=torch.bool)
    with torch.no_grad():
        logs, _ = network(crops, present)
        turned, _ = network(crops.flip(2), present)
    assert torch.allclose(logs[:, :5], turned[:, :5], atol=1e-5)
    assert not torch.allclose(logs[:, 5:15], turned[:, 5:15], atol=1e-5)  # a side is seen as it is
    assert torch.allclose(logs.exp().sum(dim=2), torch.ones(1, 25), atol=1e-5)


def test_the_patient_is_never_less_suspicious_than_a_vertebra() -> None:
    torch.manual_seed(0)
    network = Neck(CONSTANTS, FractureSettings(planes=(12, 16, 16))).eval()
    for slope, bias in ((1.0, 0.0), (-3.0, -9.0), (0.2, -20.0)):
        with torch.no_grad():
            network.slope.fill_(slope)
            network.bias.fill_(bias)
            logits, _ = network(3 * torch.randn(3, 7, 12, 16, 16), torch.ones(3, 7, dtype=torch.bool))
        assert (logits[:, 0] >= logits[:, 1:].amax(dim=1) - 1e-6).all()


def test_neighbours_are_the_slices_beside() -> None:
    planes = torch.arange(9.0)[None, :, None, None].expand(1, 9, 2, 2)
    found = neighbours(planes, reach=2, step=2)
    assert found.shape == (1, 3, 5, 2, 2)
    assert found[0, :, :, 0, 0].tolist() == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [4, 5, 6, 7, 8]]


def test_the_winners_crops_are_what_they_say() -> None:
    """RSNA 2022: 15 slices with 2 neighbours a side; RSNA 2024: 50 x 50 mm of five slices."""
    planes = CERVICAL_WINNERS.planes[0]
    assert (planes - 2 * CERVICAL_WINNERS.reach - 1) // CERVICAL_WINNERS.step + 1 == 15
    assert LUMBAR_WINNERS.shape[0] == 5
    for settings in (LUMBAR_WINNERS, GradeSettings()):
        shape = CropShape(settings.shape, settings.spacing_mm)
        assert (shape.shape[1] - 1) * shape.spacing_mm[1] == pytest.approx(50, abs=2)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_weighs_its_slices(encoder: str) -> None:
    network = SliceEncoder(encoder, 6, width=4).eval()
    found, looks = network(torch.randn(2, 5, 6, 16, 16))
    assert found.shape == (2,)
    assert torch.allclose(looks.exp().sum(dim=1), torch.ones(2), atol=1e-5)


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(Misconfigured, match="expected resnet10, resnet18, resnet34, got 'vgg'"):
        SliceEncoder("vgg", 3)


def test_a_study_is_answered_alike_whoever_shares_its_batch() -> None:
    torch.manual_seed(0)
    network = SliceEncoder("resnet10", 3, width=4)
    slices = torch.randn(4, 3, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(network(slices)[0][:1], network(slices[:1])[0], atol=1e-5)


def test_log_mean_is_the_logarithm_of_the_mean() -> None:
    first, second = torch.tensor([0.2, 1e-30]).log(), torch.tensor([0.4, 1e-30]).log()
    assert log_mean(first, second).exp().tolist() == pytest.approx([0.3, 1e-30], rel=1e-4)
