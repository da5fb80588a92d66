"""Masks are found by the key of their study, and a bad one never takes its volume along."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from curate.errors import Misconfigured
from curate.geometry import Grid
from pipelines.masks import list_masks, masks_by_study
from pipelines.spec import read_spec
from pipelines.volumes import MASK, mask_on
from pipelines.workspace import open_workspace
from tests.support.curated import Curated, copy_archive, curate

GRID = Grid((10, 12, 14), np.diag([1.0, 1.0, 1.0, 1.0]))


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
    labels, fault = mask_on(grid, tmp_path / "mask.nii")
    assert fault is None
    assert np.argwhere(labels[MASK] == 4).tolist() == [[7, 2, 5]]
    assert labels[MASK].sum() == 4


def test_a_mask_that_lies_elsewhere_is_a_fault_and_no_label(tmp_path: Path) -> None:
    far = np.eye(4)
    far[:3, 3] = 500.0
    assert mask_on(GRID, write_mask(tmp_path / "far.nii", far)) == ({}, "no labelled voxel lies inside the volume")


def test_a_mask_that_is_no_nifti_is_a_fault_and_no_label(tmp_path: Path) -> None:
    (tmp_path / "bad.nii").write_bytes(b"not a mask at all" * 100)
    labels, fault = mask_on(GRID, tmp_path / "bad.nii")
    assert labels == {}
    assert fault


def test_a_label_value_without_a_name_is_a_fault(tmp_path: Path) -> None:
    labels, fault = mask_on(GRID, write_mask(tmp_path / "odd.nii", np.eye(4), value=77))
    assert labels == {}
    assert fault is not None
    assert "77" in fault


def test_a_study_without_a_mask_has_no_fault() -> None:
    assert mask_on(GRID, None) == ({}, None)


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
