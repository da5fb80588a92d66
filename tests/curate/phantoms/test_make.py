"""A whole archive: complete, deterministic, and read back by other people's tools."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest

from curate.errors import Misconfigured
from curate.phantoms import PhantomSummary, make_phantoms
from tests.support.archives import contents


def series_of(summary: PhantomSummary) -> dict[str, list[pydicom.Dataset]]:
    """Every image of an archive by its SeriesInstanceUID, read by pydicom."""
    found: dict[str, list[pydicom.Dataset]] = defaultdict(list)
    for archive in sorted(summary.folder.glob("site-*")):
        for content in contents(archive):
            image = pydicom.dcmread(io.BytesIO(content))
            found[str(image.SeriesInstanceUID)].append(image)
    return found


def truth(summary: PhantomSummary, name: str) -> pd.DataFrame:
    return pq.read_table(summary.folder / "truth" / f"{name}.parquet").to_pandas()


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_two_runs_with_one_seed_give_the_same_bytes(task: str, tmp_path: Path) -> None:
    trees = []
    for name in ("one", "two"):
        out = tmp_path / name
        make_phantoms(out, task=task, sites=3, studies=3, seed=9, defects=True, identifiers=True, matrix=32)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        trees.append({str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) > 20


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from curate.phantoms import make_phantoms;"
        "make_phantoms(Path(sys.argv[1]), task='lumbar', sites=11, studies=11, seed=2, matrix=32)"
    )
    digests = []
    for name, seed in (("one", "1"), ("two", "77")):
        out = tmp_path / name
        subprocess.run([sys.executable, "-c", code, str(out)], check=True, env={"PYTHONHASHSEED": seed})
        digests.append([hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*")) if p.is_file()])
    assert digests[0] == digests[1]


def test_more_studies_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    few = make_phantoms(tmp_path / "few", task="cervical", sites=2, studies=2, seed=1, matrix=32)
    many = make_phantoms(tmp_path / "many", task="cervical", sites=2, studies=4, seed=1, matrix=32)
    before, after = truth(few, "series"), truth(many, "series")
    assert set(before.pixel_sha256) < set(after.pixel_sha256)


def test_the_summary_counts_what_lies_there(cervical: PhantomSummary) -> None:
    sizes = [len(content) for archive in sorted(cervical.folder.glob("site-*")) for content in contents(archive)]
    assert (cervical.files, cervical.size_bytes) == (len(sizes), sum(sizes))
    assert cervical.studies == cervical.series == 6
    assert cervical.sites == ("site-a", "site-b", "site-c", "site-d", "site-e")


@pytest.mark.parametrize("name", ["cervical", "lumbar"])
def test_pixels_and_places_read_by_pydicom_are_those_of_the_truth(name: str, request: pytest.FixtureRequest) -> None:
    summary: PhantomSummary = request.getfixturevalue(name)
    rows = truth(summary, "series")
    wanted = {row.pixel_sha256: np.array(row.affine).reshape(4, 4) for row in rows.itertuples()}
    assert len(wanted) == len(rows)
    for images in series_of(summary).values():
        for digest, affine in list(wanted.items()):
            if _digest_on(affine, images) == digest:
                del wanted[digest]
    assert not wanted


def _digest_on(affine: np.ndarray, images: list[pydicom.Dataset]) -> str:
    """Digest of the modality values of those images of a series that lie on the planes of an affine, in its order."""
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    members = [image for image in images if np.allclose(_step(image, 0), affine[:3, 2]) and _belongs(image, affine)]
    if not members:
        return ""
    members.sort(key=lambda image: float(np.dot(image.ImagePositionPatient, normal)))
    pixels = np.stack([image.pixel_array for image in members])
    if "RescaleIntercept" in members[0]:
        pixels = (pixels.astype(np.int32) + int(members[0].RescaleIntercept)).astype(np.int16)
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _step(image: pydicom.Dataset, axis: int) -> np.ndarray:
    planes = np.array(image.ImageOrientationPatient, dtype=float)[3 * axis : 3 * axis + 3]
    return planes * float(image.PixelSpacing[1 - axis])


def _belongs(image: pydicom.Dataset, affine: np.ndarray) -> bool:
    index = np.linalg.solve(affine, [*map(float, image.ImagePositionPatient), 1])
    return bool(np.abs(index[1:3]).max() < 1e-4 and abs(index[0] - round(index[0])) < 1e-4 and -1 < index[0] < 200)


def test_sites_differ_as_real_ones_do(cervical: PhantomSummary) -> None:
    first = [members[0] for members in series_of(cervical).values()]
    assert len({str(image.file_meta.TransferSyntaxUID) for image in first}) == 5
    assert {image.PixelRepresentation for image in first} == {0, 1}
    assert len({image.get("Manufacturer") for image in first}) == 5
    assert len({tuple(image.PixelSpacing) for image in first}) >= 3
    assert len({(image.Rows, image.Columns) for image in first}) >= 3


def test_every_file_is_an_image_under_a_uid_of_its_own(lumbar: PhantomSummary) -> None:
    images = [image for members in series_of(lumbar).values() for image in members]
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert all(image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID for image in images)


def test_labels_name_what_the_archive_holds(lumbar: PhantomSummary) -> None:
    labels = lumbar.folder / "labels"
    points = pd.read_csv(labels / "train_label_coordinates.csv", dtype=str)
    described = pd.read_csv(labels / "train_series_descriptions.csv", dtype=str)
    assert set(points.series_id) <= set(described.series_id)
    assert set(described.series_id) == set(truth(lumbar, "series").series)
    assert set(pd.read_csv(labels / "train.csv", dtype=str).study_id) == set(truth(lumbar, "studies").study)


def test_every_labelled_point_is_in_the_truth_in_millimetres(lumbar: PhantomSummary) -> None:
    points = pd.read_csv(lumbar.folder / "labels" / "train_label_coordinates.csv", dtype={"series_id": str})
    marks = truth(lumbar, "landmarks").query("kind == 'point'")
    assert len(points) == len(marks)
    left, right = (
        frame.sort_values(list(frame.columns)).to_numpy()
        for frame in (
            points[["series_id", "instance_number", "x", "y"]].astype({"series_id": str}),
            marks[["series", "instance_number", "column", "row"]].astype({"instance_number": "int64"}),
        )
    )
    assert (left[:, :2] == right[:, :2]).all()
    np.testing.assert_allclose(left[:, 2:].astype(float), right[:, 2:].astype(float), atol=1e-6)


def test_masks_lie_on_the_bones_of_their_study(cervical: PhantomSummary) -> None:
    masks = sorted((cervical.folder / "labels" / "segmentations").glob("*.nii"))
    marks = truth(cervical, "landmarks").query("kind == 'vertebra'")
    assert len(masks) == 5  # three studies in four have one
    for path in masks:
        image = nibabel.load(path)
        array = np.asanyarray(image.dataobj)
        for row in marks[marks.study == path.stem].itertuples():
            number = int(row.name[1:])
            found = np.argwhere(array == number)
            ras = nibabel.affines.apply_affine(image.affine, found)
            away = np.linalg.norm(ras * [-1, -1, 1] - np.array(row.point_mm), axis=1)
            assert away.min() < (20 if number == 1 else 3)
            assert np.median(away) < 30


def test_dcm2niix_agrees_with_the_truth(cervical: PhantomSummary, tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("dcm2niix")
    site = cervical.folder / "site-a"
    study = truth(cervical, "series").query("site == 'site-a'").iloc[0]
    folder = next(p for p in sorted(site.rglob("S002")) if study.series in {
        str(pydicom.dcmread(f, stop_before_pixels=True).SeriesInstanceUID) for f in sorted(p.iterdir())[:1]
    })  # fmt: skip
    subprocess.run([tool, "-o", tmp_path, "-f", "out", "-b", "n", folder], check=True, capture_output=True)
    image = nibabel.load(tmp_path / "out.nii")
    array = np.asanyarray(image.dataobj)
    affine = np.array(study.affine).reshape(4, 4)
    index = np.array([3, 20, 40, 1.0])
    ras = (affine @ index)[:3] * [-1, -1, 1]
    i, j, k = np.rint(np.linalg.solve(image.affine, [*ras, 1])[:3]).astype(int)
    np.testing.assert_allclose((image.affine @ [i, j, k, 1])[:3], ras, atol=1e-3)
    flipped = array.transpose(2, 1, 0)[:, ::-1]  # dcm2niix turns rows about
    assert hashlib.sha256(np.ascontiguousarray(flipped).astype("<i2").tobytes()).hexdigest() == study.pixel_sha256


@pytest.mark.parametrize(
    "change", [{"task": "brain"}, {"sites": 0}, {"sites": 27}, {"studies": 0}, {"matrix": 8}, {"matrix": 4096}]
)
def test_an_argument_out_of_range_is_refused(change: dict[str, object], folder: Path) -> None:
    arguments: dict[str, object] = {"task": "cervical", "sites": 1, "studies": 1, "seed": 0, **change}
    with pytest.raises(Misconfigured):
        make_phantoms(folder, **arguments)  # type: ignore[arg-type]
    assert not folder.exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(Misconfigured):
        make_phantoms(tmp_path, task="cervical", sites=1, studies=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_some_patients_come_twice(tmp_path: Path) -> None:
    summary = make_phantoms(tmp_path / "x", task="cervical", sites=1, studies=6, seed=0, matrix=32)
    assert truth(summary, "studies").patient.nunique() == 5
