"""Masks: SimpleITK and nibabel write them, SimpleITK says where each voxel lies, and broken files have a reason."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import Rejected, Unavailable
from curate.geometry import Grid
from curate.labels.masks import CERVICAL_MASK_NAMES, mask_objects, points_objects, read_mask
from curate.manifests import schemas
from curate.reasons import Reason


def drawn(angles: tuple[float, float, float] = (0.3, -0.2, 1.1)) -> sitk.Image:
    """A mask of two blocks in an oblique frame, made by SimpleITK (LPS, index order column, row, slice)."""
    values = np.zeros((6, 7, 8), dtype=np.uint8)
    values[1:3, 2:5, 3:7] = 3
    values[4, 5, 6] = 8
    image = sitk.GetImageFromArray(values)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((0.5, 0.75, 2.0))
    image.SetOrigin((-12.0, 33.0, 140.5))
    return image


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_voxel_lies_where_simpleitk_says(suffix: str, tmp_path: Path) -> None:
    image = drawn()
    path = tmp_path / f"mask{suffix}"
    sitk.WriteImage(image, str(path))
    mask, grid = read_mask(path)
    assert mask.dtype == np.uint8
    assert mask.flags.c_contiguous
    np.testing.assert_array_equal(mask, sitk.GetArrayFromImage(image))
    for k, j, i in [(0, 0, 0), (5, 0, 0), (0, 6, 0), (0, 0, 7), (2, 3, 4)]:
        expected = image.TransformIndexToPhysicalPoint((i, j, k))
        np.testing.assert_allclose(grid.to_patient((k, j, i)), expected, atol=1e-4)  # NIfTI keeps float32


def test_a_mask_stored_in_a_sagittal_frame_lies_on_the_axial_images_all_the_same(tmp_path: Path) -> None:
    """RSNA 2022: the same anatomy, other array axes. The affine decides, never the array order."""
    axial = drawn(angles=(0.0, 0.0, 0.0))
    sagittal = sitk.DICOMOrient(axial, "PIR")
    sitk.WriteImage(axial, str(tmp_path / "axial.nii"))
    sitk.WriteImage(sagittal, str(tmp_path / "sagittal.nii"))
    (first, first_grid), (second, second_grid) = (read_mask(tmp_path / f"{name}.nii") for name in ("axial", "sagittal"))
    assert first.shape != second.shape
    for name in (3, 8):
        mm = [
            sorted(map(tuple, grid.to_patient(np.argwhere(mask == name)).round(3).tolist()))
            for mask, grid in ((first, first_grid), (second, second_grid))
        ]
        assert mm[0] == mm[1]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, np.uint16])
def test_whole_numbers_of_any_type_are_labels(dtype: type, tmp_path: Path) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    mask, grid = read_mask(nifti(tmp_path / "m.nii.gz", values))
    np.testing.assert_array_equal(mask, values.transpose(2, 1, 0))
    assert grid.shape == (4, 3, 2)


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    mask, _ = read_mask(nifti(tmp_path / "m.nii", np.ones((2, 3, 4, 1), dtype=np.uint8)))
    assert mask.shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        (np.full((2, 2, 2), 0.5, dtype=np.float32), "not whole numbers"),
        (np.full((2, 2, 2), np.nan, dtype=np.float32), "not whole numbers"),
        (np.full((2, 2, 2), 256, dtype=np.int16), "outside 0..255"),
        (np.full((2, 2, 2), -1, dtype=np.int16), "outside 0..255"),
        (np.zeros((2, 2, 2, 2), dtype=np.uint8), "expected 3 axes, found 4"),
        (np.zeros((2, 2), dtype=np.uint8), "expected 3 axes, found 2"),
        (np.zeros((2, 2, 2), dtype=np.complex64), "not numbers"),
    ],
)
def test_values_that_are_no_label_map_are_rejected(values: np.ndarray, detail: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=detail) as caught:
        read_mask(nifti(tmp_path / "m.nii", values))
    assert caught.value.reason is Reason.MASK_UNREADABLE


def test_a_label_without_a_name_rejects_the_mask_when_names_are_given(tmp_path: Path) -> None:
    path = nifti(tmp_path / "m.nii", np.array([[[0, 1, 19, 25]]], dtype=np.uint8))
    assert read_mask(path)[0].max() == 25
    with pytest.raises(Rejected, match=r"no name: \[25\]"):
        read_mask(path, names=CERVICAL_MASK_NAMES)


def test_a_mask_without_an_orientation_is_rejected(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 2, 2), dtype=np.uint8), np.eye(4))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "m.nii")
    with pytest.raises(Rejected, match="neither sform nor qform"):
        read_mask(tmp_path / "m.nii")


def test_an_affine_that_spans_no_volume_is_rejected(tmp_path: Path) -> None:
    path = nifti(tmp_path / "m.nii", np.zeros((2, 2, 2), dtype=np.uint8))
    header = bytearray(path.read_bytes())
    header[312:328] = header[296:312]  # srow_z becomes srow_y
    path.write_bytes(header)
    with pytest.raises(Rejected, match="does not span a volume"):
        read_mask(path)


def test_broken_files_are_rejected_and_never_crash(tmp_path: Path) -> None:
    whole = nifti(tmp_path / "whole.nii", np.zeros((20, 20, 20), dtype=np.uint8)).read_bytes()
    packed = gzip.compress(whole, mtime=0)
    broken = {
        "empty.nii": b"",
        "text.nii": b"this is not an image" * 40,
        "cut_header.nii": whole[:200],
        "cut_voxels.nii": whole[:-100],
        "cut.nii.gz": packed[:-20],
        "damaged.nii.gz": packed[:30] + b"\xff\xff\xff\xff" + packed[34:],
        "plain.nii.gz": whole,
    }
    for name, content in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(Rejected) as caught:
            read_mask(path)
        assert caught.value.reason is Reason.MASK_UNREADABLE, name
        assert str(tmp_path) not in str(caught.value)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.integers(0, 351), st.integers(0, 255), min_size=1, max_size=6))
def test_no_damaged_header_raises_anything_but_a_rejection(changes: dict[int, int], tmp_path: Path) -> None:
    path = nifti(tmp_path / "m.nii", np.ones((3, 4, 5), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    for offset, value in changes.items():
        content[offset] = value
    path.write_bytes(content)
    with contextlib.suppress(Rejected):
        mask, grid = read_mask(path)
        assert mask.shape == grid.shape


def test_a_header_that_claims_a_giant_is_rejected_before_memory_is_taken(tmp_path: Path) -> None:
    whole = bytearray(nifti(tmp_path / "m.nii", np.zeros((4, 4, 4), dtype=np.uint8)).read_bytes())
    whole[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], dtype="<i2").tobytes()
    path = tmp_path / "giant.nii.gz"
    path.write_bytes(gzip.compress(bytes(whole), mtime=0))
    with pytest.raises(Rejected, match="larger than any image of a spine"):
        read_mask(path)


def test_a_mask_that_cannot_be_opened_is_unavailable_and_not_rejected(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        read_mask(tmp_path / "Jane-Doe.nii")
    assert "Jane" not in str(caught.value)


def test_the_label_map_of_the_challenge() -> None:
    assert [CERVICAL_MASK_NAMES[n] for n in (1, 7, 8, 19)] == ["C1", "C7", "T1", "T12"]
    assert sorted(CERVICAL_MASK_NAMES) == list(range(1, 20))


def test_objects_are_where_their_voxels_are(tmp_path: Path) -> None:
    image = drawn()
    sitk.WriteImage(image, str(tmp_path / "m.nii"))
    mask, grid = read_mask(tmp_path / "m.nii")
    rows = mask_objects(mask, grid, CERVICAL_MASK_NAMES, study_key="S", series_key="E", stack=1)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    assert [row["object"] for row in rows] == ["C3", "T1"]
    for row, label in zip(rows, (3, 8), strict=True):
        assert (row["study_key"], row["series_key"], row["stack"]) == ("S", "E", 1)
        assert row["voxels"] == statistics.GetNumberOfPixels(label)
        np.testing.assert_allclose(row["centroid_mm"], statistics.GetCentroid(label), atol=1e-4)
        i, j, k, columns, lines, planes = statistics.GetBoundingBox(label)
        assert row["box_low_index"] == [k, j, i]
        assert row["box_high_index"] == [k + planes - 1, j + lines - 1, i + columns - 1]
    assert rows[0]["centroid_index"] == [1.5, 3.0, 4.5]
    assert pa.Table.from_pylist(rows, schema=schemas.OBJECTS).num_rows == 2


def test_touching_labels_of_one_box_are_told_apart_and_unnamed_ones_are_no_objects() -> None:
    mask = np.zeros((3, 3, 3), dtype=np.uint8)
    mask[0], mask[1], mask[2, 0, 0] = 1, 200, 1
    grid = Grid((3, 3, 3), np.eye(4))
    (row,) = mask_objects(mask, grid, CERVICAL_MASK_NAMES)
    assert (row["object"], row["voxels"]) == ("C1", 10)
    assert row["box_high_index"] == [2, 2, 2]
    np.testing.assert_allclose(row["centroid_index"], [0.2, 0.9, 0.9])


def test_an_empty_mask_has_no_objects() -> None:
    assert mask_objects(np.zeros((2, 2, 2), dtype=np.uint8), Grid((2, 2, 2), np.eye(4)), CERVICAL_MASK_NAMES) == []


def test_points_are_objects_without_a_box() -> None:
    row = {
        "study_key": "S",
        "series_key": "E",
        "stack": 2,
        "condition": "left_subarticular_stenosis",
        "level": "l4_l5",
        "point_mm": [1.0, 2.0, 3.0],
        "point_index": [4.0, 5.0, 6.0],
    }
    table = points_objects(pa.Table.from_pylist([row], schema=schemas.POINTS))
    assert table.schema.equals(schemas.OBJECTS)
    assert table.to_pylist() == [
        {
            "study_key": "S",
            "series_key": "E",
            "stack": 2,
            "object": "left_subarticular_stenosis:l4_l5",
            "centroid_mm": [1.0, 2.0, 3.0],
            "centroid_index": [4.0, 5.0, 6.0],
            "box_low_index": None,
            "box_high_index": None,
            "voxels": None,
        }
    ]
