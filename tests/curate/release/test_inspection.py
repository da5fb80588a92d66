"""What is kept and found of single files."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from curate.deid.leaks import LeakScanner
from curate.release import Kind, ReleaseSummary
from curate.release.inspection import ABOUT, Inspector, start_readers
from curate.release.leakage import LeakCheck
from tests.support.release_store import Made


def inspected(root: Path, *paths: str, leaks: LeakCheck | None = None) -> Inspector:
    with start_readers(needed=True) as readers:
        inspector = Inspector(root, leaks or LeakCheck(None), readers)
        for path in paths:
            inspector.inspect(path)
        readers.finish()
    return inspector


def test_each_kind_of_file_leaves_what_later_checks_need(built_cervical: ReleaseSummary, made_cervical: Made) -> None:
    leaks = LeakCheck(LeakScanner(made_cervical.identifiers))
    image = sorted(built_cervical.path.glob("train_images/**/*.dcm"))[0].relative_to(built_cervical.path).as_posix()
    wanted = (ABOUT, image, "manifests/slices.parquet", "train.csv", "README.md", "SHA256SUMS")
    inspector = inspected(built_cervical.path, *wanted, leaks=leaks)
    assert inspector.findings == []
    assert inspector.about["name"] == "six-cervical"
    assert list(inspector.instances) == [image]
    assert inspector.tables["slices"].num_rows == 12
    assert set(inspector.texts) == {"train.csv", "README.md", "SHA256SUMS"}
    assert inspector.files[image][1] == (built_cervical.path / image).stat().st_size


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.dcm", b"no image"),
        ("x.json", b"{"),
        ("manifests/x.parquet", b"no table"),
        ("release.json", b"[]"),
        ("volumes/s/r/0.zarr/0/c/0/0/0", b"no shard"),
    ],
)
def test_what_cannot_be_read_is_one_finding(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    inspector = inspected(tmp_path, name)
    assert [(finding.path, finding.kind) for finding in inspector.findings] == [(name, Kind.UNREADABLE)]
    assert name in inspector.files


@pytest.mark.parametrize("statement", [None, {}, {"profile": "unheard-of"}, "basic"])
def test_a_release_that_does_not_say_its_profile_is_a_finding(tmp_path: Path, statement: object) -> None:
    (tmp_path / ABOUT).write_text(json.dumps({"deidentification": statement}))
    inspector = inspected(tmp_path, ABOUT)
    assert [finding.kind for finding in inspector.findings] == [Kind.HEADER]


def test_a_file_that_went_away_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        inspected(tmp_path, "gone.csv")


def image_of(built: ReleaseSummary) -> Path:
    return sorted(built.path.glob("train_images/**/*.dcm"))[0]


def test_ids_are_those_that_pydicom_reads_whether_or_not_the_release_says_its_profile(
    built_cervical: ReleaseSummary,
) -> None:
    path = image_of(built_cervical)
    name, image = path.relative_to(built_cervical.path).as_posix(), pydicom.dcmread(path)
    for paths in ((name,), (ABOUT, name)):
        ids = inspected(built_cervical.path, *paths).instances[name]
        assert (ids.patient_id, ids.study_uid) == (image.PatientID, image.StudyInstanceUID)
        assert (ids.series_uid, ids.instance_uid) == (image.SeriesInstanceUID, image.SOPInstanceUID)
        assert ids.study_uid == path.parent.name


def test_a_header_that_says_nothing_gives_empty_ids(built_cervical: ReleaseSummary, tmp_path: Path) -> None:
    image = pydicom.dcmread(image_of(built_cervical))
    del image.PatientID
    image.StudyInstanceUID = None
    image.save_as(tmp_path / "x.dcm")
    ids = inspected(tmp_path, "x.dcm").instances["x.dcm"]
    assert (ids.patient_id, ids.study_uid) == ("", "")


@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 50])
def test_what_is_not_dicom_is_unreadable_and_gives_no_ids(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(content)
    inspector = inspected(tmp_path, "x.dcm")
    assert [finding.kind for finding in inspector.findings] == [Kind.UNREADABLE]
    assert inspector.instances == {}


def test_an_image_that_says_its_ids_were_public_is_none_of_a_keyed_release(
    built_cervical: ReleaseSummary, tmp_path: Path
) -> None:
    """Neither it nor the release states any option, so that these agree."""
    about = json.loads((built_cervical.path / ABOUT).read_text())
    about["deidentification"]["options"] = []
    (tmp_path / ABOUT).write_text(json.dumps(about))
    image = pydicom.dcmread(image_of(built_cervical))
    del image.DeidentificationMethodCodeSequence
    image.DeidentificationMethod = "spine-curate public: public source, ids and dates kept"
    image.LongitudinalTemporalInformationModified = "UNMODIFIED"
    image.save_as(tmp_path / "x.dcm")
    findings = inspected(tmp_path, ABOUT, "x.dcm").findings
    assert any("states other options" in finding.detail for finding in findings)
