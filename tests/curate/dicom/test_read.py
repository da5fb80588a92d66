from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from curate.dicom import read_series
from curate.errors import Misconfigured, Rejected
from curate.geometry import orient, resample
from curate.reasons import Reason
from tests.support.dicom_files import SERIES_UID, compress, make_file, write_stack

DCM2NIIX = Path(sys.executable).with_name("dcm2niix")
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
CORONAL = (1, 0, 0, 0, 0, -1)
OBLIQUE = (0.98480775, 0.17364818, 0, -0.16317591, 0.92541658, 0.34202014)


def make_volume(slices: int, dtype: type = np.int16) -> NDArray[Any]:
    values = np.random.default_rng(slices).integers(0, 3000, (slices, 20, 28))
    return np.ascontiguousarray(values.astype(dtype))


def along_normal(orientation: tuple[float, ...], start: tuple[float, ...], steps: list[float]) -> list[Any]:
    normal = np.cross(orientation[:3], orientation[3:])
    return [[round(float(x), 4) for x in np.array(start) + step * normal] for step in steps]


def read_with_dcm2niix(folder: Path, out: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """(array in index order i, j, k; affine to LPS millimetres) of the only volume."""
    out.mkdir()
    command = [str(DCM2NIIX), "-z", "n", "-b", "n", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (file,) = sorted(out.glob("*.nii"))
    image: Any = nibabel.load(file)
    return np.asarray(image.dataobj), RAS_FROM_LPS @ image.affine


def assert_same_world(array: NDArray[Any], affine: NDArray[np.float64], theirs: tuple[Any, Any]) -> None:
    """Every voxel of theirs is one of ours: same value, same place within 1e-3 mm."""
    their_array, their_affine = theirs
    indices = np.indices(their_array.shape).reshape(3, -1)
    points = their_affine[:3, :3] @ indices + their_affine[:3, 3:]
    ours = np.linalg.inv(affine[:3, :3]) @ (points - affine[:3, 3:])
    nearest = np.rint(ours).astype(int)
    assert np.abs(affine[:3, :3] @ (ours - nearest)).max() < 1e-3
    assert sorted(their_array.shape) == sorted(array.shape)
    np.testing.assert_array_equal(array[tuple(nearest)], their_array.reshape(-1))


@pytest.mark.parametrize(
    ("orientation", "steps", "attributes"),
    [
        (AXIAL, [0, 2, 4, 6, 8], {}),
        (AXIAL, [8, 6, 4, 2, 0], {"RescaleSlope": "2", "RescaleIntercept": "-1000"}),
        (OBLIQUE, [0, 1.5, 3, 4.5, 6, 7.5], {}),
        (SAGITTAL, [0, 4, 8, 12, 16], {"modality": "MR"}),
        (SAGITTAL, [16, 12, 8, 4, 0], {"modality": "MR"}),
        (CORONAL, [0, 3, 6, 9], {"modality": "MR"}),
    ],
)
def test_voxels_and_places_agree_with_dcm2niix(
    tmp_path: Path, orientation: tuple[float, ...], steps: list[float], attributes: dict[str, Any]
) -> None:
    volume = make_volume(len(steps))
    write_stack(
        tmp_path / "dicom",
        volume,
        along_normal(orientation, (-30.0, 12.5, -400.25), steps),
        ImageOrientationPatient=list(orientation),
        **attributes,
    )
    (ours,) = read_series(tmp_path / "dicom")
    assert_same_world(ours.array, ours.grid.affine, read_with_dcm2niix(tmp_path / "dicom", tmp_path / "nii"))
    assert ours.units == ("stored" if "modality" in attributes else "HU")


def test_the_numbers_behind_it_are_those_that_were_planted(tmp_path: Path) -> None:
    volume = make_volume(4, np.uint16)
    write_stack(tmp_path / "dicom", volume, [[-30, 10, z] for z in (6, 4, 2, 0)])
    (found,) = read_series(tmp_path / "dicom")
    np.testing.assert_array_equal(found.array, volume[::-1].astype(np.int32) - 1024)
    np.testing.assert_allclose(found.grid.to_patient([1, 3, 5]), [-30 + 5 * 0.4, 10 + 3 * 0.5, 2])


def test_a_compressed_series_in_a_zip_is_the_same_volume(tmp_path: Path) -> None:
    volume = make_volume(3, np.uint16)
    paths = write_stack(tmp_path / "dicom", volume, [[0, 0, z] for z in (0, 2, 4)])
    (plain,) = read_series(tmp_path / "dicom")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in paths:
            archive.writestr(path.name, compress(path.read_bytes(), "1.2.840.10008.1.2.4.70", tmp_path))
    (packed,) = read_series(tmp_path / "a.zip")
    np.testing.assert_array_equal(packed.array, plain.array)
    assert packed.grid == plain.grid


def test_several_series_come_in_the_order_of_their_uids_and_rejected_ones_are_left_out(tmp_path: Path) -> None:
    for tail, heights in [("9", (0, 2, 4)), ("2", (0, 2, 4, 6)), ("5", (0, 11, 28, 33))]:
        uid = f"{SERIES_UID}.{tail}"
        write_stack(tmp_path / tail, make_volume(len(heights)), [[0, 0, z] for z in heights], SeriesInstanceUID=uid)
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert [volume.array.shape[0] for volume in read_series(tmp_path)] == [4, 3]
    with pytest.raises(Rejected) as caught:
        read_series([tmp_path / "5"])
    assert caught.value.reason is Reason.IRREGULAR_SPACING


def test_a_copy_of_a_file_changes_nothing(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, make_volume(3), [[0, 0, z] for z in (0, 2, 4)])
    (before,) = read_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[0].read_bytes())
    (after,) = read_series(tmp_path)
    np.testing.assert_array_equal(before.array, after.array)


def test_headers_without_modality_are_what_the_caller_says(tmp_path: Path) -> None:
    write_stack(tmp_path, make_volume(3), [[0, 0, z] for z in (0, 2, 4)], Modality=None, SOPClassUID=None)
    with pytest.raises(Rejected) as caught:
        read_series(tmp_path)
    assert caught.value.reason is Reason.WRONG_MODALITY
    (volume,) = read_series(tmp_path, modality="CT")
    assert volume.units == "HU"


def test_a_truncated_slice_rejects_its_series(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, make_volume(3), [[0, 0, z] for z in (0, 2, 4)])
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    with pytest.raises(Rejected) as caught:
        read_series(tmp_path)
    assert caught.value.reason is Reason.TRUNCATED_FILE


def test_no_images_at_all_have_the_first_files_reason(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text, and a lot of it, but no image anywhere")
    with pytest.raises(Rejected) as caught:
        read_series(tmp_path)
    assert caught.value.reason is Reason.NOT_DICOM
    with pytest.raises(Misconfigured):
        read_series(tmp_path / "missing")


def test_a_file_without_series_uid_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(make_file(make_volume(1)[0], SeriesInstanceUID=None))
    with pytest.raises(Rejected) as caught:
        read_series(tmp_path)
    assert caught.value.reason is Reason.MISSING_IDENTIFIERS


@pytest.mark.parametrize("orientation", [None, "radiological", "IAR"])
def test_spacing_and_orientation_in_one_call_are_what_the_parts_give(tmp_path: Path, orientation: str | None) -> None:
    write_stack(tmp_path, make_volume(6), [[-30, 10, z] for z in (10, 8, 6, 4, 2, 0)])
    (plain,) = read_series(tmp_path)
    turned = (plain.array, plain.grid) if orientation is None else orient(plain.array, plain.grid, orientation)
    spacing = (1.5, None, 0.9)
    wanted, grid = resample(*turned, spacing, antialias=False)
    (found,) = read_series(tmp_path, spacing_mm=spacing, orientation=orientation, antialias=False, threads=2)
    np.testing.assert_array_equal(found.array, wanted)
    assert found.grid == grid
    (smooth,) = read_series(tmp_path, spacing_mm=spacing, orientation=orientation)
    np.testing.assert_array_equal(smooth.array, resample(*turned, spacing)[0])


def test_a_spacing_that_is_none_is_refused(tmp_path: Path) -> None:
    write_stack(tmp_path, make_volume(3), [[0, 0, z] for z in (0, 2, 4)])
    with pytest.raises(Misconfigured):
        read_series(tmp_path, spacing_mm=(1.0, -1.0, 1.0))
    with pytest.raises(Misconfigured):
        read_series(tmp_path, orientation="upright")
