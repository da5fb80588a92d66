"""A batch mirrored is the batch of the mirrored patients: read from volumes turned round, with swapped labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from curate.geometry import Grid
from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import Draw, StudyBatch, StudyDataset
from curate.loading.mirroring import CERVICAL_MIRRORING, LUMBAR_MIRRORING, Mirroring, mirror, mirror_points
from curate.loading.samples import cervical_samples, lumbar_samples
from curate.manifests.schemas import LUMBAR_TARGETS
from curate.volumes import open_volume, write_volume
from tests.support.training_store import cervical_store, lumbar_store, table

Manifests = Mapping[str, pa.Table]


def other_side(name: str) -> str:
    return name.replace("left", "?").replace("right", "left").replace("?", "right")


def mirror_store(root: Path, target: Path, manifests: Manifests) -> dict[str, pa.Table]:
    """The same patients mirrored: x becomes -x. Voxels are stored in the same order, at mirrored places."""
    turn = np.diag([-1.0, 1, 1, 1])
    volumes = manifests["volumes"].to_pylist()
    for row in volumes:
        volume = open_volume(root / row["uri"])
        # affines are right-handed here, so the array is turned round along its left-right axis instead
        axis = next(n for n, code in enumerate(volume.grid.axis_codes) if code in "LR")
        flip = np.eye(4)
        flip[axis, axis] = -1
        flip[axis, 3] = volume.shape[axis] - 1
        grid = Grid(volume.shape, turn @ volume.grid.affine @ flip)
        row |= {"affine": grid.affine.ravel().tolist(), "source_affine": grid.affine.ravel().tolist()}
        write_volume(target / row["uri"], np.ascontiguousarray(np.flip(volume.read(), axis)), grid)
    objects = manifests["objects"].to_pylist()
    for row in objects:
        row |= {"object": other_side(row["object"]), "centroid_mm": [-row["centroid_mm"][0], *row["centroid_mm"][1:]]}
    samples: list[dict[str, Any]] = [
        {other_side(name): value for name, value in row.items()} for row in manifests["samples"].to_pylist()
    ]
    boxes = manifests["boxes"].to_pylist()
    for row in boxes:
        corners = np.reshape(row["corners_mm"], (4, 3)) * [-1, 1, 1]
        row["corners_mm"] = corners.ravel().tolist()
    found = {"volumes": volumes, "objects": objects, "samples": samples, "boxes": boxes}
    return {name: table(rows, manifests[name].schema) for name, rows in found.items()}


def read(root: Path, samples: list[StudySample], shape: CropShape, stride: int | None = None) -> StudyBatch:
    dataset = StudyDataset(str(root), samples, shape, augmentation=Augmentation(), seed=0, mark_stride=stride)
    return StudyBatch.join([dataset[Draw(n, None)] for n in range(len(samples))])


def same(batch: StudyBatch, other: StudyBatch) -> bool:
    assert torch.equal(batch.targets, other.targets)
    assert torch.equal(batch.present, other.present)
    assert torch.equal(batch.marks, other.marks)
    return torch.allclose(batch.crops, other.crops, atol=2e-4)


ALL = np.array([True, True])


@pytest.fixture(scope="module")
def backs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[StudySample], Path, list[StudySample]]:
    root, turned = tmp_path_factory.mktemp("back"), tmp_path_factory.mktemp("turned")
    manifests = lumbar_store(root, studies=2, without_axial=(1,))
    return root, lumbar_samples(manifests), turned, lumbar_samples(mirror_store(root, turned, manifests))


@pytest.mark.parametrize(
    "shape",
    [
        CropShape((3, 16, 14), (4.0, 1.5, 1.5)),
        CropShape((3, 8, 10), (4.0, 1.5, 1.5), neighbours=1, neighbour_mm=2.0),
        CropShape((3, 8, 10), (4.0, 1.5, 1.5), neighbours=1, neighbour_mm=2.0, mask="none"),
    ],
)
def test_a_mirrored_back_is_the_back_of_the_mirrored_patient(
    backs: tuple[Path, list[StudySample], Path, list[StudySample]], shape: CropShape
) -> None:
    root, samples, turned, others = backs
    plain, wanted = read(root, samples, shape), read(turned, others, shape)
    assert same(mirror(plain, ALL, LUMBAR_MIRRORING), wanted)
    assert not torch.allclose(plain.crops, wanted.crops, atol=0.1)
    assert not torch.equal(plain.targets, wanted.targets)


def test_a_mirrored_neck_keeps_its_labels_and_turns_its_marks(tmp_path: Path) -> None:
    shape, stride = CropShape((8, 12, 12), (1.5, 1.5, 1.5)), 2
    manifests = cervical_store(tmp_path / "a", studies=2)
    plain = read(tmp_path / "a", cervical_samples(manifests), shape, stride)
    others = cervical_samples(mirror_store(tmp_path / "a", tmp_path / "b", manifests))
    wanted = read(tmp_path / "b", others, shape, stride)
    found = mirror(plain, ALL, CERVICAL_MIRRORING, cells=(4, 6, 6))
    assert same(found, wanted)
    assert plain.marks.any()
    assert torch.equal(found.targets, plain.targets)


def test_only_the_studies_chosen_are_mirrored_and_twice_is_as_before(
    backs: tuple[Path, list[StudySample], Path, list[StudySample]],
) -> None:
    root, samples, *_ = backs
    plain = read(root, samples, CropShape((3, 8, 8), (4.0, 1.5, 1.5)))
    first = mirror(plain, np.array([True, False]), LUMBAR_MIRRORING)
    assert not torch.equal(first.crops[0], plain.crops[0])
    assert torch.equal(first.crops[1], plain.crops[1])
    assert torch.equal(first.targets[1], plain.targets[1])
    twice = mirror(mirror(plain, ALL, LUMBAR_MIRRORING), ALL, LUMBAR_MIRRORING)
    assert torch.equal(twice.crops, plain.crops)
    assert torch.equal(twice.targets, plain.targets)
    assert torch.equal(first.index, plain.index)


def test_targets_change_places_by_their_names() -> None:
    for n, name in enumerate(LUMBAR_TARGETS):
        assert LUMBAR_TARGETS[LUMBAR_MIRRORING.targets[n]] == other_side(name)
    assert CERVICAL_MIRRORING.targets == tuple(range(8))
    assert CERVICAL_MIRRORING.axes == (2,) * 7
    assert LUMBAR_MIRRORING.axes == (0,) * 5 + (None,) * 20


def test_points_move_and_change_places_too() -> None:
    points = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]).repeat(2, 1, 1)
    moved = mirror_points(points, np.array([True, False]), axis=2, size=10, partners=[1, 0])
    assert moved[0].tolist() == [[4.0, 5.0, 3.0], [1.0, 2.0, 6.0]]
    assert torch.equal(moved[1], points[1])


def test_marks_need_to_know_their_cells(tmp_path: Path) -> None:
    plain = read(tmp_path, cervical_samples(cervical_store(tmp_path, studies=2)), CropShape((4, 4, 4), (1, 1, 1)), 2)
    with pytest.raises(ValueError, match="cells"):
        mirror(plain, ALL, CERVICAL_MIRRORING)


def test_without_sides_every_crop_is_turned() -> None:
    plan = Mirroring.of([], [])
    assert plan == Mirroring((), (), ())
