from pathlib import Path

import pydicom
import pytest

from curate.release import ReleaseSummary
from curate.release.instances import read_ids


def image_of(built: ReleaseSummary) -> Path:
    return sorted(built.path.glob("train_images/**/*.dcm"))[0]


def test_ids_are_those_that_pydicom_reads(built_cervical: ReleaseSummary) -> None:
    path = image_of(built_cervical)
    ids, image = read_ids(path.read_bytes()), pydicom.dcmread(path)
    assert (ids.patient_id, ids.study_uid, ids.instance_uid) == (
        image.PatientID,
        image.StudyInstanceUID,
        image.SOPInstanceUID,
    )
    assert ids.study_uid == path.parent.name


def test_a_header_that_says_nothing_gives_empty_ids(built_cervical: ReleaseSummary, tmp_path: Path) -> None:
    image = pydicom.dcmread(image_of(built_cervical))
    del image.PatientID
    image.StudyInstanceUID = None
    image.save_as(tmp_path / "x.dcm")
    ids = read_ids((tmp_path / "x.dcm").read_bytes())
    assert (ids.patient_id, ids.study_uid) == ("", "")


@pytest.mark.filterwarnings("ignore:End of file reached")
@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 50])
def test_what_is_not_dicom_is_a_value_error_or_says_nothing(content: bytes) -> None:
    try:
        ids = read_ids(content)
    except ValueError:
        return
    assert (ids.patient_id, ids.study_uid, ids.instance_uid) == ("", "", "")


def test_a_file_cut_at_any_length_never_raises_anything_else(built_cervical: ReleaseSummary) -> None:
    content = image_of(built_cervical).read_bytes()
    for length in range(0, len(content), 37):
        try:
            read_ids(content[:length])
        except ValueError:
            continue
