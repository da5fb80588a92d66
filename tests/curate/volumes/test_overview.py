"""The coarse level: what it holds, where it lies, and that other readers find it there."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel

from curate.errors import Quarantined
from curate.geometry import Grid
from curate.volumes import open_volume, verify_volume, write_volume
from curate.volumes.overview import make_overview, overview_grid

ANGLE = 0.3
TURN = np.array([[0, 0, 1], [np.sin(ANGLE), np.cos(ANGLE), 0], [np.cos(ANGLE), -np.sin(ANGLE), 0]])


def oblique(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = TURN * spacing
    affine[:3, 3] = -31.1, 17.3, 1 / 3
    return Grid(shape, affine)


GRID = oblique((1.0, 0.5, 0.5), (70, 96, 80))


def ramp(grid: Grid) -> np.ndarray:
    """A value that says where a voxel is: 1000 + 10 x left + 3 x back + 5 x up, millimetres."""
    places = grid.to_patient(np.stack(np.indices(grid.shape), axis=-1))
    return np.rint(1000 + places @ (10, 3, 5)).astype(np.int16)


def halves(grid: Grid) -> np.ndarray:
    mask = np.ones(grid.shape, np.uint8)
    mask[:, grid.shape[1] // 2 :] = 4
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_volume(tmp_path / "0.zarr", ramp(GRID), GRID, modality="CT", units="HU", labels={"spine": halves(GRID)})
    return tmp_path / "0.zarr"


@pytest.mark.parametrize(
    ("spacing", "shape", "coarse", "voxels"),
    [
        ((1.0, 1.0, 1.0), (200, 64, 80), (4.0, 4.0, 4.0), (50, 16, 20)),
        ((1.0, 0.5, 0.5), (100, 512, 512), (2.0, 2.0, 2.0), (50, 128, 128)),
        ((4.4, 0.5, 0.5), (20, 400, 400), (4.4, 2.0, 2.0), (20, 100, 100)),
        ((0.5, 0.5, 4.4), (400, 400, 20), (2.0, 2.0, 4.4), (100, 100, 20)),
        ((3.0, 1.0, 1.0), (3, 64, 3), (4.0, 4.0, 4.0), (2, 16, 1)),
    ],
)
def test_voxels_become_four_times_the_finest_spacing_and_thick_slices_stay(
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
    coarse: tuple[float, float, float],
    voxels: tuple[int, int, int],
) -> None:
    found = overview_grid(oblique(spacing, shape))
    assert found is not None
    np.testing.assert_allclose(found.spacing_mm, coarse)
    assert found.shape == voxels
    middle = [grid.to_patient((np.array(grid.shape) - 1) / 2) for grid in (found, oblique(spacing, shape))]
    np.testing.assert_allclose(*middle, atol=1e-9)


def test_a_volume_that_is_small_along_all_axes_is_its_own_overview(tmp_path: Path) -> None:
    grid = oblique((1.0, 1.0, 1.0), (63, 63, 63))
    written = write_volume(tmp_path / "0.zarr", ramp(grid), grid)
    assert overview_grid(grid) is None
    assert [entry.key for entry in written.objects] == ["0/c/0/0/0", "0/zarr.json", "zarr.json"]
    volume = open_volume(tmp_path / "0.zarr")
    assert volume.overview() is volume
    verify_volume(tmp_path / "0.zarr", ramp(grid), grid)


def test_the_overview_says_the_same_of_the_same_place(folder: Path) -> None:
    overview = open_volume(folder).overview()
    assert overview.grid == overview_grid(GRID)
    assert (overview.modality, overview.units, overview.label_names) == ("CT", "HU", ("spine",))
    inner = (slice(2, -2),) * 3  # the filter leans at the borders
    np.testing.assert_allclose(overview.read()[inner], ramp(overview.grid)[inner], atol=1)
    np.testing.assert_array_equal(overview.label("spine"), halves(overview.grid))


def test_the_overview_may_be_cropped_pickled_and_asked_for_its_own(folder: Path) -> None:
    overview = open_volume(folder).overview()
    whole = overview.read()
    box = pickle.loads(pickle.dumps(overview)).crop((3, 4, 5), (6, 7, 8))  # noqa: S301 - its own bytes
    np.testing.assert_array_equal(box, whole[3:9, 4:11, 5:13])
    assert overview.overview() is overview


def test_what_is_finer_than_the_overview_is_averaged_not_picked() -> None:
    grid = oblique((1.0, 1.0, 1.0), (64, 64, 64))
    stripes = np.zeros(grid.shape, np.int16)
    stripes[:, :, ::2] = 1000
    found = make_overview(stripes, grid)[2:-2, 2:-2, 2:-2]
    assert abs(int(found.min()) - 500) < 50
    assert abs(int(found.max()) - 500) < 50


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "int32", "float32", "float64"])
def test_the_overview_has_the_type_of_the_volume(dtype: str) -> None:
    found = make_overview(np.abs(ramp(GRID)).clip(0, 200).astype(dtype), GRID)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert found.flags.c_contiguous


def test_no_label_is_invented_between_two(folder: Path) -> None:
    assert set(np.unique(open_volume(folder).overview().label("spine"))) == {1, 4}


def test_ome_zarr_models_accepts_both_levels_of_image_and_mask(folder: Path) -> None:
    group = zarr.open_group(folder, mode="r")
    for image in (Image.from_zarr(group), ImageLabel.from_zarr(group["labels/spine"])):
        (multiscale,) = image.ome_attributes.multiscales
        assert [level.path for level in multiscale.datasets] == ["0", "1"]
        for level, spacing in zip(multiscale.datasets, ((1.0, 0.5, 0.5), (2.0, 2.0, 2.0)), strict=True):
            np.testing.assert_allclose(level.coordinateTransformations[0].scale, spacing)


def test_a_stock_reader_sees_the_same_values_on_both_levels(folder: Path) -> None:
    group = zarr.open_group(folder, mode="r")
    whole = open_volume(folder)
    for level, volume in (("0", whole), ("1", whole.overview())):
        np.testing.assert_array_equal(np.asarray(group[level][...]), volume.read())
        np.testing.assert_array_equal(np.asarray(group[f"labels/spine/{level}"][...]), volume.label("spine"))
        assert group[level].metadata.dimension_names == ("z", "y", "x")


@pytest.mark.parametrize("level", ["0", "1"])
def test_spacing_and_orientation_survive_a_reader_that_knows_only_public_metadata(
    folder: Path, tmp_path: Path, level: str
) -> None:
    group = zarr.open_group(folder, mode="r")
    (multiscale,) = Image.from_zarr(group).ome_attributes.multiscales
    dataset = next(one for one in multiscale.datasets if one.path == level)
    scale, shift = (np.array(getattr(t, t.type)) for t in dataset.coordinateTransformations)
    # along the volume's own axes; their directions in the patient stand in our attribute, in plain JSON
    ours = json.loads((folder / "zarr.json").read_text())["attributes"]["spine_curate"]
    directions = np.array(ours["affine"])[:3, :3] / np.linalg.norm(np.array(ours["affine"])[:3, :3], axis=0)
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = directions * scale, directions @ shift
    ras = np.diag([-1.0, -1, 1, 1]) @ lps[:, [2, 1, 0, 3]]
    nib.save(nib.Nifti1Image(np.asarray(group[level][...]).T, ras), tmp_path / "other.nii.gz")

    other = nib.load(tmp_path / "other.nii.gz")
    expected = GRID if level == "0" else overview_grid(GRID)
    assert expected is not None
    np.testing.assert_allclose(other.header.get_zooms(), expected.spacing_mm[::-1], rtol=1e-6)
    assert "".join(nib.aff2axcodes(other.affine)) == "LPS"  # towards which side i, j and k grow
    index = np.array([5, 7, 9])
    place = (other.affine @ [*index[::-1], 1])[:3] * (-1, -1, 1)
    np.testing.assert_allclose(place, expected.to_patient(index), atol=1e-4)
    assert other.get_fdata()[tuple(index[::-1])] == pytest.approx(1000 + place @ (10, 3, 5), abs=1)


@pytest.mark.parametrize("key", ["1/zarr.json", "1/c/0/0/0", "labels/spine/1/zarr.json", "labels/spine/1/c/0/0/0"])
def test_a_missing_object_of_the_overview_is_found(folder: Path, key: str) -> None:
    verify_volume(folder, ramp(GRID), GRID, labels={"spine": halves(GRID)})
    (folder / key).unlink()
    with pytest.raises(Quarantined):
        verify_volume(folder, ramp(GRID), GRID, labels={"spine": halves(GRID)})


@pytest.mark.parametrize(("group", "detail"), [("", "overview differs"), ("labels/spine/", "mask 'spine' differs")])
def test_an_overview_of_something_else_is_found(folder: Path, tmp_path: Path, group: str, detail: str) -> None:
    mask = halves(GRID)
    write_volume(tmp_path / "other.zarr", ramp(GRID) + 7, GRID, labels={"spine": np.where(mask == 4, 5, mask)})
    for name in ("c/0/0/0", "zarr.json"):
        (folder / f"{group}1" / name).write_bytes((tmp_path / "other.zarr" / f"{group}1" / name).read_bytes())
    with pytest.raises(Quarantined, match=detail):
        verify_volume(folder, ramp(GRID), GRID, labels={"spine": mask})


def test_a_volume_from_before_there_were_overviews_opens(folder: Path) -> None:
    root = json.loads((folder / "zarr.json").read_text())
    del root["attributes"]["spine_curate"]["overview"]
    (folder / "zarr.json").write_text(json.dumps(root))
    volume = open_volume(folder)
    assert volume.overview() is volume
