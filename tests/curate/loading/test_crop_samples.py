"""Where the crops of other trainings lie, and that nothing but tables is read to place them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.geometry import Grid
from curate.loading import Augmentation, CropShape
from curate.loading.crop_samples import foreground_crops, object_crops, one_by_one, random_crops
from curate.loading.dataset import Draw, StudyDataset
from curate.loading.orders import Balanced
from curate.loading.samples import cervical_samples, digest_samples, lumbar_samples
from tests.support.training_store import cervical_store, lumbar_store

Manifests = Mapping[str, pa.Table]
SHAPE = CropShape((20, 8, 12), (1.5, 2.0, 1.5))
WINDOW = (-200.0, 1000.0)


@pytest.fixture(scope="module")
def neck(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifests]:
    root = tmp_path_factory.mktemp("neck")
    made = cervical_store(root, studies=3)
    rows = made["objects"].to_pylist()
    grids = {row["study_key"]: grid_of(row) for row in made["volumes"].to_pylist()}
    for row in rows:
        index = grids[row["study_key"]].to_index(row["centroid_mm"])
        row |= {
            "centroid_index": index.tolist(),
            "box_low_index": (index - 3).tolist(),
            "box_high_index": (index + 3).tolist(),
        }
    return root, {**made, "objects": pa.Table.from_pylist(rows, schema=made["objects"].schema)}


def grid_of(row: Mapping[str, object]) -> Grid:
    return Grid(tuple(row["shape"]), np.reshape(row["affine"], (4, 4)))  # type: ignore[arg-type, call-overload]


def test_random_crops_lie_in_the_volume_and_reach_its_ends(neck: tuple[Path, Manifests]) -> None:
    samples = random_crops(neck[1], SHAPE, axes="SPL", window=WINDOW, per_volume=2)
    assert len(samples) == 6
    assert samples[0].crops == samples[1].crops  # told apart by their index alone
    grid = grid_of(neck[1]["volumes"].to_pylist()[0])
    (request,) = samples[0].crops
    assert request is not None
    half = (np.array(SHAPE.shape) - 1) / 2 * SHAPE.spacing_mm / np.array(grid.spacing_mm)
    centres = np.array([grid.to_index(request.drawn(np.random.default_rng(n).random(3)).centre_mm) for n in range(500)])
    assert (centres - half >= -1e-6).all()
    assert (centres + half <= np.array(grid.shape) - 1 + 1e-6).all()
    assert np.abs(centres.min(axis=0) - half).max() < 1
    assert np.abs(centres.max(axis=0) + half - (np.array(grid.shape) - 1)).max() < 1


def test_a_crop_longer_than_the_volume_lies_in_its_middle(neck: tuple[Path, Manifests]) -> None:
    long = CropShape((400, 8, 12), (1.5, 2.0, 1.5))
    (request,) = random_crops(neck[1], long, axes="SPL", window=WINDOW)[0].crops
    assert request is not None
    assert request.region is not None
    assert np.allclose(request.region[0], 0)
    assert not np.allclose(request.region[1], 0)


def test_foreground_crops_have_their_centres_where_something_is_labelled(neck: tuple[Path, Manifests]) -> None:
    rows = neck[1]["objects"].to_pylist()
    own = [row for row in rows if row["study_key"] == "s00"]
    low = np.min([row["box_low_index"] for row in own], axis=0)
    high = np.max([row["box_high_index"] for row in own], axis=0)
    grid = grid_of(neck[1]["volumes"].to_pylist()[0])
    (request,) = foreground_crops(neck[1], SHAPE, axes="SPL", window=WINDOW)[0].crops
    assert request is not None
    ends = [grid.to_index(request.drawn(np.full(3, n)).centre_mm) for n in (0.0, 1.0)]
    assert np.allclose(ends, [low, high])


def test_without_objects_the_foreground_is_the_whole_volume(neck: tuple[Path, Manifests]) -> None:
    bare = {**neck[1], "objects": neck[1]["objects"].slice(0, 0)}
    found = foreground_crops(bare, SHAPE, axes="SPL", window=WINDOW)
    assert found == random_crops(bare, SHAPE, axes="SPL", window=WINDOW)


def test_each_visit_of_a_random_crop_is_at_its_own_place_and_always_the_same(neck: tuple[Path, Manifests]) -> None:
    root, manifests = neck
    samples = random_crops(manifests, SHAPE, axes="SPL", window=WINDOW, per_volume=2)
    dataset = StudyDataset(str(root), samples, SHAPE, augmentation=Augmentation(), seed=1)
    visits = [Draw(0, 0), Draw(1, 0), Draw(0, 1), Draw(0, 0, visit=1), Draw(0, None), Draw(1, None)]
    found = [dataset[visit].crops.numpy().tobytes() for visit in visits]
    assert len(set(found)) == len(found)
    assert found == [dataset[visit].crops.numpy().tobytes() for visit in visits]
    assert dataset[visits[0]].targets.shape == (1, 0)


def test_every_object_has_a_crop_with_its_label(neck: tuple[Path, Manifests]) -> None:
    samples = object_crops(neck[1], axes="SPL", window=WINDOW)
    assert len(samples) == 21
    labels = {row["study_key"]: row for row in neck[1]["samples"].to_pylist()}
    places = {(row["study_key"], row["object"]): row["centroid_mm"] for row in neck[1]["objects"].to_pylist()}
    for sample, (key, name) in zip(samples, sorted(places), strict=True):
        assert sample.study_key == key
        assert sample.targets == (labels[key][name],)
        (request,) = sample.crops
        assert request is not None
        assert list(request.centre_mm) == places[key, name]


def test_vertebrae_stand_one_by_one_with_their_own_labels(neck: tuple[Path, Manifests]) -> None:
    studies = cervical_samples(neck[1])
    alone = one_by_one(studies)
    assert len(alone) == 21
    for n, sample in enumerate(alone):
        study = studies[n // 7]
        assert (sample.crops, sample.targets) == ((study.crops[n % 7],), (study.targets[1 + n % 7],))
        assert sample.marks == (study.marks[n % 7],)
        assert sample.crops[0] is not None
        assert sample.crops[0].label == n % 7 + 1


def test_levels_and_sides_stand_one_by_one_without_those_that_are_missing(tmp_path: Path) -> None:
    studies = lumbar_samples(lumbar_store(tmp_path, studies=2, without_axial=(1,)))
    alone = one_by_one(studies)
    assert len(alone) == 25 + 15
    assert [sample.targets[0] for sample in alone] == [*studies[0].targets, *studies[1].targets[:15]]


def test_rare_labels_can_be_shown_as_often_as_others_without_reading_a_voxel(neck: tuple[Path, Manifests]) -> None:
    alone = one_by_one(cervical_samples(neck[1]))
    labels = [sample.targets[0] for sample in alone]
    order = Balanced(labels, {0: 1, 1: 1}, length=40)
    assert sum(labels[index] for index in order.epoch(seed=0, epoch=0)) == 20


def test_the_digest_follows_regions_and_labels(neck: tuple[Path, Manifests]) -> None:
    several = [
        random_crops(neck[1], SHAPE, axes="SPL", window=WINDOW),
        foreground_crops(neck[1], SHAPE, axes="SPL", window=WINDOW),
        random_crops(neck[1], SHAPE, axes="SPL", window=WINDOW, per_volume=2),
    ]
    assert len({digest_samples(samples) for samples in several}) == 3


def test_no_crop_a_volume_is_refused(neck: tuple[Path, Manifests]) -> None:
    with pytest.raises(ValueError, match="per_volume"):
        random_crops(neck[1], SHAPE, axes="SPL", window=WINDOW, per_volume=0)
