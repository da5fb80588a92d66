"""Where crops go: labels of training studies, finds of all others, and nowhere where nothing says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.loading import CropRequest, CropShape, StudySample
from curate.loading.crops import Augmentation
from curate.loading.dataset import Draw, StudyDataset
from curate.loading.places import Place
from curate.loading.samples import CERVICAL_SLOTS, cervical_samples
from pipelines.recipes.located import CoarseChances, Finds, about_places, volume_for, where_seen, with_found_objects
from pipelines.recipes.masked import MaskedCrops, MaskedStudy
from pipelines.recipes.template import Located
from pipelines.recipes.vertebrae import VERTEBRAE
from tests.support.training_store import cervical_store

FOUND = Located(np.full((7, 3), 50.0), np.ones(7, dtype=bool), np.zeros(7, dtype=bool))


def place(uri: str, low_z: float, *, series_type: str = "Axial T2", slices: int = 5) -> Place:
    affine = np.array([[0, 0, 1.0, -20], [0, 1, 0, -20], [4, 0, 0, low_z], [0, 0, 0, 1]])
    return Place(uri, uri, 0, series_type, Grid((slices, 41, 41), affine), 0, 1)


def located(n: int, *, found: NDArray[np.bool_] | None = None) -> Located:
    places = np.full((n, 3), 1.0)
    return Located(places, np.ones(n, dtype=bool) if found is None else found, np.zeros(n, dtype=bool))


def test_a_level_is_shown_by_the_stack_that_holds_it_in_its_middle() -> None:
    stacks = [place("a", 0), place("b", 12), place("c", 40)]  # 0..16, 12..28, 40..56
    chosen = [volume_for(stacks, np.array([0.0, 0, z]), "Axial T2") for z in (2, 13.5, 15, 45)]
    assert [one.uri if one else None for one in chosen] == ["a", "a", "b", "c"]
    assert volume_for(stacks, np.array([0.0, 0, 22]), "Axial T2") == stacks[1]


def test_a_place_outside_of_every_stack_has_no_volume() -> None:
    stacks = [place("a", 0), place("c", 40)]
    assert volume_for(stacks, np.array([0.0, 0, 28]), "Axial T2") is None
    assert volume_for(stacks, np.array([0.0, 0, 8]), "Sagittal T1") is None
    assert volume_for([], np.array([0.0, 0, 8]), None) is None


def test_the_order_of_stacks_does_not_matter() -> None:
    stacks = [place("a", 0), place("b", 0)]
    point = np.array([0.0, 0, 8])
    assert volume_for(stacks, point, None) == volume_for(stacks[::-1], point, None) == stacks[0]


def test_only_training_studies_keep_their_labels(tmp_path: Path) -> None:
    manifests = cervical_store(tmp_path, studies=5, without_masks=(1,))
    split_of = {row["study_key"]: row["split"] for row in manifests["samples"].to_pylist()}
    finds = Finds(dict.fromkeys(split_of, FOUND), {})
    rows = with_found_objects(manifests, finds, VERTEBRAE, CERVICAL_SLOTS)["objects"].to_pylist()
    by_study = {key: [row for row in rows if row["study_key"] == key] for key in split_of}
    for key, split in split_of.items():
        has_label = split == "train" and key != "s01"
        assert all((row["centroid_mm"] != [50.0] * 3) == has_label for row in by_study[key])
        assert len(by_study[key]) in (0, 7)
    assert len(by_study["s00"]) == 7


def test_a_mean_place_is_no_place_and_an_estimated_one_is_named() -> None:
    crop = CropRequest("v", (1.0, 1.0, 1.0), "SPL", 0, 1)
    mean = replace(crop, centre_mm=(9.0, 9.0, 9.0), is_estimated=True)
    labelled = replace(crop, centre_mm=(4.0, 4.0, 4.0))
    sample = StudySample("s", "train", (0,) * 8, (crop, crop, mean, labelled, None), ((),) * 5)
    seen = np.array([True, False, True, False, True])
    crops = where_seen(sample, located(5, found=seen)).crops
    assert crops == (crop, replace(crop, is_estimated=True), None, labelled, None)
    assert where_seen(sample, None).crops == (crop, crop, None, labelled, None)


def test_what_is_guessed_or_missing_is_counted() -> None:
    places = np.full((4, 3), 1.0)
    places[3] = np.nan
    one = Located(places, np.array([True, False, False, False]), np.array([False, False, True, False]))
    assert about_places([one, located(4)], "places") == (
        "1 of 8 places were not recognised and were placed by their neighbours",
        "1 of 8 places were seen where they cannot be and were placed by their neighbours",
        "1 of 8 places have no place: answered from the prior",
    )
    assert about_places([located(4)], "places") == ()


def test_packed_chances_are_what_was_packed() -> None:
    draw = np.random.default_rng(0)
    chances = draw.uniform(size=(7, 5, 6, 4)).astype(np.float32)
    grid = Grid((5, 6, 4), np.diag([2.0, 3.0, 4.0, 1.0]))
    packed = CoarseChances.of(chances, grid)
    assert packed.read() / 255 == pytest.approx(chances, abs=0.5 / 255 + 1e-6)
    assert packed.grid == grid


def test_the_mask_channel_lies_on_the_image(tmp_path: Path) -> None:
    """A mask that is made of the image itself shows the same blocks, jitter and mirror included."""
    manifests = cervical_store(tmp_path, studies=2)
    sample = cervical_samples(manifests)[0]
    from curate.volumes import open_volume

    volume = open_volume(tmp_path / manifests["volumes"]["uri"][0].as_py())
    bright = (volume.read() > 350).astype(np.float32)
    masked = MaskedStudy.of(sample, CoarseChances.of(np.stack([bright] * 7), volume.grid))
    shape, augmentation = CropShape((12, 16, 16), (1.5, 1.5, 1.5)), Augmentation(5, 6, 0.1, mirror=True)
    plain = StudyDataset(str(tmp_path), [sample], shape, augmentation=augmentation, seed=1)
    both = MaskedCrops(str(tmp_path), [masked], shape, augmentation=augmentation, seed=1)
    for epoch in (None, 0, 1, 2):
        image, mask = both[Draw(0, epoch)].crops[0].unbind(1)
        assert (image == plain[Draw(0, epoch)].crops[0]).all()
        assert (((image > 0) == (mask > 0.5)).float().mean()) > 0.97
        assert mask.amax() == pytest.approx(1, abs=0.01)


def test_without_a_segmentation_the_mask_channel_is_empty(tmp_path: Path) -> None:
    manifests = cervical_store(tmp_path, studies=1)
    shape = CropShape((4, 8, 8), (2.0, 2.0, 2.0))
    sample = MaskedStudy.of(cervical_samples(manifests)[0], None)
    batch = MaskedCrops(str(tmp_path), [sample], shape, augmentation=Augmentation(), seed=0)[Draw(0, None)]
    assert batch.crops.shape == (1, 7, 2, 4, 8, 8)
    assert not batch.crops[:, :, 1].any()
