"""Every voxel, box and point lies where the analytic scene says, to less than half a voxel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pyarrow.compute as pc

from curate.dicom import read_series
from curate.volumes import open_volume
from tests.support.curated import Curated
from tests.support.places import check_boxes, check_points, check_vertebrae, matching_truth


def test_the_acquired_grid_is_the_one_that_the_scene_was_sampled_on(curated: Curated) -> None:
    assert matching_truth(curated)


def test_boxes_lie_where_they_were_drawn_and_lead_back_to_their_pixels(cervical: Curated) -> None:
    assert check_boxes(cervical)


def test_points_lie_where_they_were_set_and_lead_back_to_their_pixels(lumbar: Curated) -> None:
    assert len(check_points(lumbar)) > 50


def test_vertebrae_in_the_masks_lie_where_the_scene_has_them(cervical: Curated) -> None:
    assert len(check_vertebrae(cervical)) >= 7


def test_left_and_right_are_the_patients(lumbar: Curated) -> None:
    sides: dict[tuple[str, str, str], float] = {}
    for point in lumbar.manifest("points").to_pylist():
        side, _, rest = point["condition"].partition("_")
        if side in ("left", "right"):
            sides[point["study_key"], f"{rest}_{point['level']}", side] = point["point_mm"][0]
    pairs = {(study, name) for study, name, _ in sides}
    assert pairs
    for study, name in pairs:
        if (study, name, "left") in sides and (study, name, "right") in sides:
            assert sides[study, name, "left"] > sides[study, name, "right"]


def test_bone_is_bright_at_every_vertebra_and_the_canal_is_not(cervical: Curated) -> None:
    volumes = cervical.by_series("volumes")
    whole = [row for row in cervical.manifest("objects").to_pylist() if row["voxels"] > 500]
    assert len(whole) >= 7
    for row in whole:
        volume = open_volume(Path(cervical.workspace.store.url, volumes[row["series_key"]]["uri"]))
        voxels, mask = volume.read(), volume.label("vertebrae")
        low, high = (np.array(row[name], dtype=int) for name in ("box_low_index", "box_high_index"))
        box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
        inside = voxels[box][mask[box] > 0]
        outside = voxels[box][mask[box] == 0]
        assert inside.mean() > outside.mean() + 100


def test_volumes_are_what_dcm2niix_makes_of_the_same_files(curated: Curated, tmp_path: Path) -> None:
    """An independent oracle, right for upright stacks: before resampling, voxel for voxel and affine to 1e-3 mm."""
    compared = 0
    slices = curated.manifest("slices")
    for row in curated.manifest("volumes").to_pylist():
        if compared >= 6 or row["series_type"] == "Axial T2" or row["flags"]:
            continue
        chosen = slices.filter((pc.field("series_key") == row["series_key"]) & (pc.field("stack") == row["stack"]))
        files = [Path(curated.workspace.store.url, key) for key in chosen["dicom"].to_pylist()]
        (ours,) = read_series(files, modality=row["modality"])
        out = tmp_path / str(compared)
        out.mkdir()
        folder = tmp_path / f"{compared}-in"
        folder.mkdir()
        for number, file in enumerate(files):
            (folder / f"{number}.dcm").symlink_to(file)
        command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "o", "-o", str(out), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        (path,) = out.glob("*.nii")
        image = nib.Nifti1Image.from_filename(path)
        theirs = np.asarray(image.dataobj)
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
        indices = np.stack(np.meshgrid(*[[0, n - 1] for n in ours.array.shape], indexing="ij"), axis=-1).reshape(-1, 3)
        there = (np.linalg.inv(lps) @ np.c_[ours.grid.to_patient(indices), np.ones(8)].T).T[:, :3]
        assert np.abs(there - np.rint(there)).max() < 1e-3
        everywhere = np.stack(np.indices(ours.array.shape), axis=-1).reshape(-1, 3)
        place = np.rint((np.linalg.inv(lps) @ np.c_[ours.grid.to_patient(everywhere), np.ones(len(everywhere))].T).T)
        i, j, k = place[:, :3].astype(int).T
        assert np.array_equal(theirs[i, j, k].reshape(ours.array.shape), ours.array)
        compared += 1
    assert compared >= 4
