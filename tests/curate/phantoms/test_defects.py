"""Each planted defect is what its name says, seen by pydicom."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest

from curate.phantoms import PhantomSummary
from curate.phantoms.defects import directory_file

Images = list[pydicom.Dataset]


@pytest.fixture(scope="module")
def raw(hostile: PhantomSummary) -> dict[str, bytes]:
    """Name in the archive -> bytes, of all three sites."""
    files = {str(p.relative_to(hostile.folder)): p.read_bytes() for p in _files(hostile.folder / "site-a")}
    with zipfile.ZipFile(hostile.folder / "site-b.zip") as source:
        files |= {name: source.read(name) for name in source.namelist()}
    with tarfile.open(hostile.folder / "site-c.tar.gz") as tar:
        files |= {one.name: tar.extractfile(one).read() for one in tar.getmembers()}  # type: ignore[union-attr]
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def defect(hostile: PhantomSummary, raw: dict[str, bytes]) -> dict[str, Images]:
    """Images of the series that each defect struck, in the order of their positions where they have one."""
    by_series: defaultdict[str, Images] = defaultdict(list)
    for name, content in raw.items():
        if content and not name.endswith(("notes.dcm", "DICOMDIR", "outside.dcm")) and "again_" not in name:
            image = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            by_series[str(image.SeriesInstanceUID)].append(image)
    rows = pq.read_table(hostile.folder / "truth" / "expected.parquet").to_pylist()
    found = {row["defect"]: by_series[row["series"]] for row in rows if row["defect"] and row["series"]}
    for images in found.values():
        images.sort(key=lambda image: tuple(map(float, image.get("ImagePositionPatient", [0, 0, 0])))[::-1])
    return found


def steps(images: Images) -> np.ndarray:
    return np.diff([np.array(image.ImagePositionPatient, dtype=float) for image in images], axis=0)


def test_one_slice_is_missing(defect: dict[str, Images]) -> None:
    heights = steps(defect["missing_slice"])[:, 2]
    assert (np.rint(heights / np.median(heights)) == 2).sum() == 1
    numbers = sorted(int(image.InstanceNumber) for image in defect["missing_slice"])
    assert len(numbers) == numbers[-1] - 1


def test_one_file_is_cut_short(defect: dict[str, Images], raw: dict[str, bytes]) -> None:
    series = defect["truncated_file"][0].SeriesInstanceUID
    sizes = sorted(len(c) for c in raw.values() if str(series).encode() in c[:4000])
    assert sizes[0] < sizes[1] - 900


def test_two_matrix_sizes_stand_in_one_series(defect: dict[str, Images]) -> None:
    assert len({(image.Rows, image.Columns) for image in defect["mixed_matrix"]}) == 2


def test_positions_drift_across_tilted_planes(defect: dict[str, Images]) -> None:
    images = defect["gantry_tilt"]
    planes = np.array(images[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(planes[:3], planes[3:])
    step = steps(images).mean(axis=0)
    assert np.degrees(np.arccos(step @ normal / np.linalg.norm(step))) == pytest.approx(14, abs=0.1)


def test_the_header_admits_text_in_the_pixels(defect: dict[str, Images]) -> None:
    assert {image.BurnedInAnnotation for image in defect["burned_in_annotation"]} == {"YES"}


def test_two_different_images_share_one_uid(defect: dict[str, Images]) -> None:
    images = defect["conflicting_instance"]
    uids = [image.SOPInstanceUID for image in images]
    assert len(set(uids)) == len(uids) - 1


def test_every_position_occurs_twice(defect: dict[str, Images]) -> None:
    images = defect["repeated_position"]
    assert len({tuple(image.ImagePositionPatient) for image in images}) * 2 == len(images)


def test_positions_are_missing(defect: dict[str, Images]) -> None:
    assert not any("ImagePositionPatient" in image for image in defect["missing_position"])


def test_the_distance_changes_half_way(defect: dict[str, Images]) -> None:
    heights = steps(defect["irregular_spacing"])[:, 2]
    low, high = np.unique(np.round(heights, 4))
    assert high == pytest.approx(1.5 * low, rel=1e-3)


def test_stray_series_say_what_they_are(defect: dict[str, Images]) -> None:
    assert "LOCALIZER" in defect["localizer"][0].ImageType
    assert defect["secondary_capture"][0].SOPClassUID.name == "Secondary Capture Image Storage"
    assert {image.Modality for image in defect["wrong_modality"]} == {"MR"}


def test_stray_files_are_what_they_seem(raw: dict[str, bytes]) -> None:
    def one(ending: str) -> bytes:
        (found,) = [content for name, content in raw.items() if name.endswith(ending)]
        return found

    assert one("empty.dcm") == b""
    with pytest.raises(pydicom.errors.InvalidDicomError):
        pydicom.dcmread(io.BytesIO(one("notes.dcm")))
    assert "PixelData" not in pydicom.dcmread(io.BytesIO(one("DICOMDIR")))
    assert [name for name in raw if name.startswith("..")] == ["../../outside.dcm"]
    (copy,) = [name for name in raw if "again_" in name]
    assert list(raw.values()).count(raw[copy]) == 2


def test_a_directory_file_is_dicom() -> None:
    listing = pydicom.dcmread(io.BytesIO(directory_file(1)))
    assert listing.file_meta.MediaStorageSOPClassUID.name == "Media Storage Directory Storage"
