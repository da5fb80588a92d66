"""Every voxel, box and point lies where the analytic scene says, to less than half a voxel."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel as nib
import numpy as np
import pyarrow.compute as pc
import pytest

from curate.dicom import read_series
from curate.geometry import Grid
from curate.labels import source_of
from curate.volumes import open_volume
from tests.support.curated import Curated


def affine_of(row: dict[str, Any], name: str) -> np.ndarray:
    return np.array(row[name]).reshape(4, 4)


def truth_of(curated: Curated) -> dict[tuple[str, int], dict[str, Any]]:
    key = curated.workspace.pseudonyms.uid
    return {(key(row["series"]), row["stack"]): row for row in curated.truth("series")}


def test_the_acquired_grid_is_the_one_that_the_scene_was_sampled_on(curated: Curated) -> None:
    truth = truth_of(curated)
    sound = {series for series, _ in truth}
    volumes = [row for row in curated.manifest("volumes").to_pylist() if row["series_key"] in sound]
    assert len(volumes) == len(truth)
    for row in volumes:
        shape, affine = row["source_shape"], affine_of(row, "source_affine")
        matches = [
            one
            for (series, _), one in truth.items()
            if series == row["series_key"]
            and one["shape"] == shape
            and np.allclose(affine_of(one, "affine"), affine, atol=1e-3)
        ]
        assert len(matches) == 1, row["series_key"]


def test_boxes_lie_where_they_were_drawn_and_lead_back_to_their_pixels(cervical: Curated) -> None:
    key = cervical.workspace.pseudonyms.uid
    planted: dict[tuple[str, int], list[np.ndarray]] = {}
    for row in cervical.truth("landmarks"):
        if row["kind"] == "box":
            planted.setdefault((key(row["study"]), row["instance_number"]), []).append(np.array(row["point_mm"]))
    sound = {series for series, _ in truth_of(cervical)}
    boxes = [box for box in cervical.manifest("boxes").to_pylist() if box["series_key"] in sound]
    assert boxes
    volumes = cervical.by_series("volumes")
    slices = cervical.manifest("slices")
    for box in boxes:
        volume = volumes[box["series_key"]]
        grid = Grid(tuple(volume["shape"]), affine_of(volume, "affine"))
        corners = np.array(box["corners_mm"]).reshape(4, 3)
        indices = np.array(box["corners_index"]).reshape(4, 3)
        truth = np.array(planted[box["study_key"], box["instance_number"]])
        nearest = np.abs(corners[[0, 2], None] - truth[None]).max(axis=2).min(axis=1)  # upper left, lower right
        assert nearest.max() < 0.5 * min(grid.spacing_mm)
        assert np.abs(grid.to_index(corners) - indices).max() < 1e-6
        back = source_of(indices[0].tolist(), volume, slices)
        assert (back.instance_key, back.instance_number) == (box["instance_key"], box["instance_number"])
        assert (back.column, back.row) == pytest.approx((box["column"], box["row"]), abs=1e-6)


def test_points_lie_where_they_were_set_and_lead_back_to_their_pixels(lumbar: Curated) -> None:
    key = lumbar.workspace.pseudonyms.uid
    planted = {
        (key(row["study"]), row["name"]): np.array(row["point_mm"])
        for row in lumbar.truth("landmarks")
        if row["kind"] == "point"
    }
    sound = {series for series, _ in truth_of(lumbar)}
    points = [point for point in lumbar.manifest("points").to_pylist() if point["series_key"] in sound]
    assert len(points) > 50
    volumes = {(row["series_key"], row["stack"]): row for row in lumbar.manifest("volumes").to_pylist()}
    slices = lumbar.manifest("slices")
    for point in points:
        volume = volumes[point["series_key"], point["stack"]]
        grid = Grid(tuple(volume["shape"]), affine_of(volume, "affine"))
        truth = planted[point["study_key"], f"{point['condition']}_{point['level']}"]
        assert np.abs(np.array(point["point_mm"]) - truth).max() < 0.5 * min(grid.spacing_mm)
        assert np.abs(grid.to_index(truth) - point["point_index"]).max() < 0.5
        back = source_of(point["point_index"], volume, slices)
        assert (back.instance_key, back.instance_number) == (point["instance_key"], point["instance_number"])
        assert (back.column, back.row) == pytest.approx((point["column"], point["row"]), abs=1e-6)


def test_vertebrae_in_the_masks_lie_where_the_scene_has_them(cervical: Curated) -> None:
    key = cervical.workspace.pseudonyms.uid
    planted = {
        (key(row["study"]), row["name"]): np.array(row["anatomy_mm"])
        for row in cervical.truth("landmarks")
        if row["kind"] == "vertebra"
    }
    objects = [row for row in cervical.manifest("objects").to_pylist() if (row["study_key"], row["object"]) in planted]
    assert len(objects) >= 7
    for row in objects:
        # the mask is the whole vertebra with its arch, the landmark the centre of the structure
        offset = np.array(row["centroid_mm"]) - planted[row["study_key"], row["object"]]
        assert abs(offset[0]) < 3.0
        assert np.abs(offset).max() < 20.0


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
