"""Masks are found by the key of their study, and a bad one never takes its volume along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import pytest

from curate.dicom import Volume
from curate.dicom.stacks import Stack
from curate.errors import Misconfigured
from curate.geometry import Grid
from curate.reasons import Reason
from pipelines.masks import list_masks, masks_by_study
from pipelines.spec import read_spec
from pipelines.volumes import MASK, mask_on
from pipelines.workspace import open_workspace
from tests.support.curated import Curated, copy_archive, curate

GRID = Grid((10, 12, 14), np.diag([1.0, 1.0, 1.0, 1.0]))


def image(grid: Grid) -> Volume:
    """A volume of an MR: of it only the place is judged."""
    stack = cast(Stack, None)  # which slices it was made of does not matter here
    return Volume(np.zeros(grid.shape, np.int16), grid, "MR", "stored", stack)


def write_mask(path: Path, affine: np.ndarray, value: int = 3) -> Path:
    array = np.zeros((14, 12, 10), dtype=np.uint8)
    array[4:8, 4:8, 4:8] = value
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def ras(lps: np.ndarray) -> np.ndarray:
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def test_every_mask_is_listed_under_the_key_of_its_study(cervical: Curated) -> None:
    assert cervical.spec.labels is not None
    folder = cervical.folder / "labels/segmentations"
    key, stamps = list_masks(cervical.spec, cervical.workspace)
    found = masks_by_study(cervical.workspace, key)
    uid = cervical.workspace.pseudonyms.uid
    assert found == {uid(path.name.removesuffix(".nii")): path for path in folder.glob("*.nii")}
    assert set(stamps) == set(found)
    assert key is not None
    assert cervical.workspace.private.exists(key)


def test_no_masks_are_no_fault_and_a_missing_folder_is(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    spec = folder / "spec.toml"
    text = spec.read_text()
    spec.write_text(text.replace('segmentations = "labels/segmentations"\n', ""))
    read = read_spec(spec)
    assert list_masks(read, open_workspace(read)) == (None, {})
    assert masks_by_study(open_workspace(read), None) == {}
    spec.write_text(text.replace('"labels/segmentations"', '"labels/none"'))
    read = read_spec(spec)
    with pytest.raises(Misconfigured, match=r"labels\.segmentations: .* is not a folder"):
        list_masks(read, open_workspace(read))


def test_a_mask_is_brought_onto_the_grid_by_its_affine(tmp_path: Path) -> None:
    # stored with other axis order and direction than the volume: (x reversed, z, y)
    lps = np.array([[-1.0, 0, 0, 13], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    array = np.zeros((14, 10, 12), dtype=np.uint8)
    array[13 - 5, 7, 2] = 4  # x = 5, z = 7, y = 2
    nib.save(nib.Nifti1Image(array, ras(lps)), tmp_path / "mask.nii")
    grid = Grid((10, 12, 14), np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]]))
    labels, fault = mask_on(image(grid), tmp_path / "mask.nii")
    assert fault is None
    assert np.argwhere(labels[MASK] == 4).tolist() == [[7, 2, 5]]
    assert labels[MASK].sum() == 4


def test_a_mask_that_lies_elsewhere_is_a_fault_and_no_label(tmp_path: Path) -> None:
    far = np.eye(4)
    far[:3, 3] = 500.0
    labels, fault = mask_on(image(GRID), write_mask(tmp_path / "far.nii", far))
    assert labels == {}
    assert fault is not None
    assert (fault.reason, fault.detail) == (Reason.MASK_MISPLACED, "no labelled voxel lies inside the volume")


def test_a_mask_that_is_no_nifti_is_a_fault_and_no_label(tmp_path: Path) -> None:
    (tmp_path / "bad.nii").write_bytes(b"not a mask at all" * 100)
    labels, fault = mask_on(image(GRID), tmp_path / "bad.nii")
    assert labels == {}
    assert fault is not None
    assert fault.reason is Reason.MASK_UNREADABLE


def test_a_label_value_without_a_name_is_a_fault(tmp_path: Path) -> None:
    labels, fault = mask_on(image(GRID), write_mask(tmp_path / "odd.nii", np.eye(4), value=77))
    assert labels == {}
    assert fault is not None
    assert "77" in fault.detail


def test_a_study_without_a_mask_has_no_fault() -> None:
    assert mask_on(image(GRID), None) == ({}, None)


def test_a_damaged_mask_is_named_among_the_label_issues_and_its_volume_is_built(
    cervical: Curated, tmp_path: Path
) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    keys = {cervical.workspace.pseudonyms.uid(row["study"]): row["study"] for row in cervical.truth("series")}
    masked = {row["study_key"] for row in cervical.manifest("objects").to_pylist()}
    study = next(study for key, study in keys.items() if key in masked)
    path = folder / f"labels/segmentations/{study}.nii"
    path.write_bytes(path.read_bytes()[:2000])
    found = curate(folder)
    assert found.balance.done == cervical.balance.done
    issues = [row for row in found.manifest("label_issues").to_pylist() if row["table"] == "masks"]
    assert [(row["reason"], keys[row["study_key"]]) for row in issues] == [("mask_unreadable", study)]
    assert study not in {keys.get(row["study_key"]) for row in found.manifest("objects").to_pylist()}


def upside_down(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return array[:, ::-1], affine  # phantoms store (row, slice, column)


def left_for_right(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return array[:, :, ::-1], affine


def ras_for_lps(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return array, ras(affine)


def shifted(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = affine.copy()
    moved[2, 3] += 17.0  # about a vertebra
    return array, moved


@pytest.fixture(scope="module")
def spoilt(cervical: Curated, tmp_path_factory: pytest.TempPathFactory) -> tuple[Curated, dict[str, str]]:
    """A run over masks of which some were spoilt, and how, by study."""
    folder = copy_archive(cervical.folder, tmp_path_factory.mktemp("spoilt") / "copy")
    used = {row["study_key"] for row in cervical.manifest("objects").to_pylist()}
    uid = cervical.workspace.pseudonyms.uid
    paths = [path for path in sorted(folder.glob("labels/segmentations/*.nii")) if uid(path.stem) in used]
    ways: list[Callable[..., tuple[np.ndarray, np.ndarray]]] = [upside_down, left_for_right, ras_for_lps, shifted]
    done = {}
    for path, way in zip(paths[:-1], ways, strict=False):
        stored = nib.Nifti1Image.from_filename(path, mmap=False)
        array, affine = way(np.asanyarray(stored.dataobj), stored.affine)
        nib.save(nib.Nifti1Image(np.ascontiguousarray(array), affine), path)
        done[uid(path.stem)] = way.__name__
    return curate(folder), done


def test_a_mask_that_was_turned_about_is_named_and_not_used(
    spoilt: tuple[Curated, dict[str, str]], cervical: Curated
) -> None:
    found, done = spoilt
    assert set(done.values()) == {"upside_down", "left_for_right", "ras_for_lps", "shifted"}
    issues = [row for row in found.manifest("label_issues").to_pylist() if row["table"] == "masks"]
    assert {row["study_key"]: row["reason"] for row in issues} == dict.fromkeys(done, "mask_misplaced")
    assert all(row["detail"] for row in issues)
    assert found.balance.done == cervical.balance.done
    masked = {row["study_key"] for row in found.manifest("objects").to_pylist()}
    assert masked == {row["study_key"] for row in cervical.manifest("objects").to_pylist()} - set(done)
