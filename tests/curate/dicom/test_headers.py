from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from curate.dicom.archives import BadFile, FileRef
from curate.dicom.headers import HEADER_SCHEMA, read_header, read_source_header, scan_headers, unreadable_row
from curate.dicom.sources import SourceReader, list_archive
from curate.errors import Misconfigured
from curate.reasons import Reason
from tests.support.dicom_files import SERIES_UID, STUDY_UID, compress, encode, make_dataset, make_file

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
EVERY_SYNTAX = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
FULL: dict[str, Any] = {
    "ConversionType": "WSD",
    "BurnedInAnnotation": "NO",
    "Manufacturer": "GE MEDICAL",
    "ManufacturerModelName": "Model",
    "ConvolutionKernel": "BONE",
    "AcquisitionNumber": 3,
    "EchoTime": "12.5",
    "TemporalPositionIdentifier": 4,
    "TriggerTime": "33.5",
    "InversionTime": "150",
    "FlipAngle": "8.5",
    "DiffusionBValue": 800.25,
    "GantryDetectorTilt": "-18.5",
    "PatientSex": "F",
    "PatientAge": "070Y",
    "IssuerOfPatientID": "Hospital",
    "FrameOfReferenceUID": "1.2.3",
    "NumberOfFrames": 1,
}


def read(raw: bytes) -> dict[str, object]:
    return read_header(raw, len(raw))


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_every_value_of_the_schema_is_read_in_every_encoding(syntax: str) -> None:
    row = read(make_file(PIXELS, syntax=syntax, **FULL))
    expected = {
        "reason": None,
        "transfer_syntax_uid": syntax,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uid": f"{SERIES_UID}.1",
        "study_instance_uid": STUDY_UID,
        "series_instance_uid": SERIES_UID,
        "frame_of_reference_uid": "1.2.3",
        "patient_id": "patient-1",
        "issuer_of_patient_id": "Hospital",
        "patient_sex": "F",
        "patient_age": "070Y",
        "modality": "CT",
        "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
        "conversion_type": "WSD",
        "burned_in_annotation": "NO",
        "manufacturer": "GE MEDICAL",
        "manufacturer_model_name": "Model",
        "convolution_kernel": "BONE",
        "instance_number": 1,
        "acquisition_number": 3,
        "temporal_position": 4,
        "echo_time_ms": 12.5,
        "trigger_time_ms": 33.5,
        "inversion_time_ms": 150.0,
        "flip_angle_deg": 8.5,
        "b_value": 800.25,
        "rows": 3,
        "columns": 4,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 16,
        "bits_stored": 16,
        "pixel_representation": 0,
        "pixel_spacing_mm": [0.5, 0.4],
        "slice_thickness_mm": 2.0,
        "gantry_tilt_deg": -18.5,
        "image_position_mm": [-10.0, -20.0, 0.0],
        "image_orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "rescale_slope": 1.0,
        "rescale_intercept": -1024.0,
        "has_pixels": True,
    }
    assert {name: row[name] for name in expected} == expected
    assert set(row) == set(HEADER_SCHEMA.names)


@pytest.mark.parametrize("syntax", EVERY_SYNTAX[:3])
def test_a_file_without_preamble_and_meta_has_the_same_values(syntax: str) -> None:
    with_meta = read(make_file(PIXELS, syntax=syntax))
    bare = read(encode(make_dataset(PIXELS), syntax, bare=True))
    differing = {name for name in bare if bare[name] != with_meta[name]}
    assert differing == {"size_bytes", "header_bytes", "transfer_syntax_uid"}
    assert bare["transfer_syntax_uid"] is None


def test_the_header_ends_where_the_pixel_data_element_starts() -> None:
    raw = make_file(PIXELS)
    end = read(raw)["header_bytes"]
    assert isinstance(end, int)
    assert raw[end : end + 4] == b"\xe0\x7f\x10\x00"


def test_the_header_of_a_compressed_file_is_read(tmp_path: Path) -> None:
    row = read(compress(make_file(PIXELS), JPEGLosslessSV1, tmp_path))
    assert (row["reason"], row["transfer_syntax_uid"], row["rows"]) == (None, JPEGLosslessSV1, 3)


def test_a_public_challenge_header_without_modality_and_class_is_readable() -> None:
    dataset = make_dataset(PIXELS, Modality=None, SOPClassUID=None, ImageType=None, PatientID="")
    row = read(encode(dataset, bare=True))
    assert (row["reason"], row["modality"], row["sop_class_uid"], row["patient_id"]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"patient,name\n1,Smith\n" * 20, Reason.NOT_DICOM),
        (make_file(PIXELS)[:200], Reason.TRUNCATED_FILE),
        (make_file(PIXELS)[:500], Reason.TRUNCATED_FILE),
        (make_file(PIXELS, PixelData=None), Reason.TRUNCATED_FILE),
        (make_file(PIXELS, PixelData=None, Rows=None, SOPClassUID=REPORT), Reason.NOT_AN_IMAGE),
        (make_file(PIXELS, PixelData=None, Rows=None, SOPClassUID=STRUCTURE_SET), Reason.NOT_AN_IMAGE),
        (make_file(PIXELS, PixelData=None, Rows=None), Reason.TRUNCATED_FILE),
    ],
)
def test_what_cannot_be_read_has_a_reason_and_no_values(raw: bytes, reason: Reason) -> None:
    row = read(raw)
    assert row["reason"] == reason.value
    assert {name for name, value in row.items() if value is not None} <= {"size_bytes", "reason", "detail"}


def test_pixels_that_are_cut_do_not_make_the_header_unreadable() -> None:
    raw = make_file(np.zeros((64, 64), np.uint16))
    assert read(raw[:-1000])["reason"] is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ImagePositionPatient": [1, 2]}, "image_position_mm"),
        ({"PixelSpacing": None}, "pixel_spacing_mm"),
        ({"RescaleSlope": None}, "rescale_slope"),
    ],
)
def test_a_value_that_is_missing_or_of_the_wrong_count_is_null(changes: dict[str, Any], name: str) -> None:
    assert read(make_file(PIXELS, **changes))[name] is None


def test_bytes_changed_at_random_never_raise_and_always_fit_the_schema() -> None:
    whole = make_file(PIXELS, syntax=ExplicitVRLittleEndian, **FULL)
    implicit = make_file(PIXELS, syntax=ImplicitVRLittleEndian, **FULL)
    chance = random.Random(0)
    rows = []
    for raw in [whole, implicit] * 300:
        hostile = bytearray(raw)
        for _ in range(chance.randint(1, 12)):
            hostile[chance.randrange(128, len(hostile))] = chance.choice([0, 0xFF, chance.randrange(256)])
        rows.append(read(bytes(hostile)))
    table = pa.Table.from_pylist(rows, schema=HEADER_SCHEMA)
    assert table.num_rows == 600
    assert set(table["reason"].to_pylist()) <= {None, *(reason.value for reason in Reason)}


def test_a_header_longer_than_the_first_read_is_read_on(tmp_path: Path) -> None:
    dataset = make_dataset(PIXELS)
    dataset.add_new(0x00091010, "UN", b"x" * 900_000)
    raw = encode(dataset)
    (tmp_path / "1.dcm").write_bytes(raw)
    (ref,) = list_archive(tmp_path)
    assert isinstance(ref, FileRef)
    with SourceReader() as reader:
        row, header = read_source_header(reader, ref)
    assert (row["reason"], row["rows"], row["member"]) == (None, 3, "1.dcm")
    assert header == raw[: raw.index(b"\xe0\x7f\x10\x00OW")]


def test_a_deflated_file_is_its_own_header(tmp_path: Path) -> None:
    raw = make_file(
        np.random.default_rng(0).integers(0, 60000, (300, 300)).astype(np.uint16), syntax=DeflatedExplicitVRLittleEndian
    )
    (tmp_path / "1.dcm").write_bytes(raw)
    (ref,) = list_archive(tmp_path)
    assert isinstance(ref, FileRef)
    with SourceReader() as reader:
        row, header = read_source_header(reader, ref)
    assert (row["reason"], row["rows"], header) == (None, 300, raw)


def test_a_folder_a_zip_and_a_file_are_scanned_in_order_into_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(make_file(PIXELS))
    (folder / "2.dcm").write_bytes(b"")
    (folder / "3.dcm").write_bytes(b"just text, nothing else, in a file named .dcm")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.dcm", make_file(PIXELS, InstanceNumber=7))
        archive.writestr("../y.dcm", b"evil")
    (tmp_path / "single.dcm").write_bytes(make_file(PIXELS, InstanceNumber=9))
    table = scan_headers([folder, tmp_path / "a.zip", tmp_path / "single.dcm"], threads=2)
    assert table.schema == HEADER_SCHEMA
    assert table["member"].to_pylist() == ["1.dcm", "2.dcm", "3.dcm", "x.dcm", "../y.dcm", ""]
    assert table["reason"].to_pylist() == [None, "empty_file", "not_dicom", None, "unsafe_name", None]
    assert table["instance_number"].to_pylist() == [1, None, None, 7, None, 9]
    assert scan_headers([folder, tmp_path / "a.zip", tmp_path / "single.dcm"], threads=1).equals(table)


def test_a_scan_of_nothing_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        scan_headers([tmp_path / "missing"])


def test_a_bad_file_has_a_row_of_its_own() -> None:
    row = unreadable_row(BadFile(FileRef("a.zip", "../x", 5, 0, 0), Reason.UNSAFE_NAME))
    assert (row["path"], row["member"], row["size_bytes"], row["reason"]) == ("a.zip", "../x", 5, "unsafe_name")


def test_values_inside_sequences_are_not_the_images_own() -> None:
    inner = Dataset()
    inner.Rows, inner.Modality = 999, "PT"
    dataset = make_dataset(PIXELS)
    dataset.SourceImageSequence = [inner]
    row = read(encode(dataset, ImplicitVRLittleEndian))
    assert (row["rows"], row["modality"]) == (3, "CT")
