"""Whole files: what identifies goes, what an image is stays, and everything else raises."""

from __future__ import annotations

import hashlib
import logging
import struct
import traceback
import warnings
from datetime import datetime
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    SecondaryCaptureImageStorage,
)

from curate.deid.elements import read_elements
from curate.deid.engine import Deidentified, deidentify_bytes
from curate.deid.filemeta import open_file
from curate.deid.identifiers import Identifier
from curate.deid.profile import RULES_VERSION, load_profile
from curate.deid.pseudonyms import Keyed, PublicIds
from curate.deid.review.decisions import COLUMNS, Decisions, make_decisions
from curate.deid.verification import check_output
from curate.errors import CurateError, Misconfigured, Quarantined, Rejected
from curate.reasons import Reason
from tests.support.deid_files import (
    FRAME,
    INSTANCE,
    KEY,
    PLANTS,
    SERIES,
    STUDY,
    encode,
    insert_before_pixels,
    item,
    make_ct,
    raw_element,
)

BASIC, PUBLIC, KEYED = load_profile("basic"), load_profile("public"), Keyed(KEY)
GOLDEN = "c6878485b2cc96997c7853ab0b80bcf92079550602ab7a7a88a1111f41f38a21"
NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def clean(raw: bytes, *, site: str = "a", key: Keyed = KEYED) -> Deidentified:
    return deidentify_bytes(raw, BASIC, key, site=site)


def read(result: Deidentified) -> Dataset:
    return dcmread(BytesIO(result.content))


def cleaned(**changes: object) -> Dataset:
    return read(clean(encode(make_ct(**changes))))


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(Rejected) as caught:
        clean(raw)
    return caught.value.reason


def searchable(content: bytes) -> bytes:
    """Output bytes, and the inflated data set where there is one."""
    return content + open_file(content).content


@pytest.mark.parametrize("transfer_syntax", NATIVE)
def test_nothing_planted_is_left_in_any_syntax(transfer_syntax: str) -> None:
    raw = encode(make_ct(), transfer_syntax)
    result = clean(raw + (b"" if transfer_syntax == DeflatedExplicitVRLittleEndian else b"TRAILER Quixotova"))
    found = [plant for plant in PLANTS if plant.encode().lower() in searchable(result.content).lower()]
    assert found == []
    assert read(result).file_meta.TransferSyntaxUID == transfer_syntax
    assert check_output(result.content, "x").findings == ()


@pytest.mark.parametrize("transfer_syntax", NATIVE)
def test_pixels_and_geometry_stay(transfer_syntax: str) -> None:
    source = make_ct()
    if transfer_syntax == ExplicitVRBigEndian:
        source.PixelData = np.frombuffer(source.PixelData, "<u2").astype(">u2").tobytes()
    after = read(clean(encode(source, transfer_syntax)))
    assert after.PixelData == source.PixelData
    for keyword in (
        "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleIntercept",
        "BitsStored", "SliceThickness", "InstanceNumber", "SeriesNumber", "Modality", "ImageType", "Manufacturer",
        "ManufacturerModelName", "ConvolutionKernel", "PatientSex", "PatientAge", "PatientWeight", "StationName",
        "DeviceSerialNumber", "SoftwareVersions", "PatientPosition", "KVP",
    ):  # fmt: skip
        assert after[keyword].value == source[keyword].value, keyword


def test_ids_are_those_of_the_pseudonyms() -> None:
    after = cleaned()
    assert after.StudyInstanceUID == KEYED.uid(STUDY)
    assert after.SeriesInstanceUID == KEYED.uid(SERIES)
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == KEYED.uid(INSTANCE)
    assert after.FrameOfReferenceUID == KEYED.uid(FRAME)
    assert after.PatientID == str(after.PatientName) == KEYED.patient("MRN-554477", site="a")
    assert after.AccessionNumber == KEYED.token("accession", "ACC-998877")


def test_the_object_says_what_was_done_to_it() -> None:
    after = cleaned()
    assert after.PatientIdentityRemoved == "YES"
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    assert "2026d" in after.DeidentificationMethod
    codes = [row.CodeValue for row in after.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107", "113108", "113109"]
    assert {row.CodingSchemeDesignator for row in after.DeidentificationMethodCodeSequence} == {"DCM"}


def test_intervals_between_dates_survive() -> None:
    after = cleaned()
    days = KEYED.shift_days(after.PatientID)
    before = datetime(2020, 2, 29)
    assert (datetime.strptime(after.StudyDate, "%Y%m%d") - before).days == days
    assert (datetime.strptime(after.ContentDate, "%Y%m%d") - datetime.strptime(after.StudyDate, "%Y%m%d")).days == 1
    assert after.AcquisitionDateTime[8:] == "235959.250000+0100"
    assert after.StudyTime == "235959.25"


def test_all_studies_of_a_patient_move_together() -> None:
    first, second = cleaned(PatientID="mrn-554477 "), cleaned(StudyInstanceUID="1.2.3.4")
    assert (first.PatientID, first.StudyDate) == (second.PatientID, second.StudyDate)


def test_the_same_number_at_another_site_is_another_patient() -> None:
    raw = encode(make_ct())
    assert read(clean(raw, site="a")).PatientID != read(clean(raw, site="b")).PatientID


def test_references_follow_within_and_across_files() -> None:
    source = make_ct()
    source.RequestAttributesSequence = None
    group = item(FrameContentSequence=Sequence([item(FrameAcquisitionDateTime="20200229120000")]))
    group.DerivationImageSequence = Sequence(
        [item(ReferencedSOPInstanceUID=f"{STUDY}.9", DerivationDescription="Quixotova")]
    )
    source.PerFrameFunctionalGroupsSequence = Sequence([group])
    after = read(clean(encode(source)))
    nested = after.PerFrameFunctionalGroupsSequence[0]
    assert nested.DerivationImageSequence[0].ReferencedSOPInstanceUID == KEYED.uid(f"{STUDY}.9")
    assert "DerivationDescription" not in nested.DerivationImageSequence[0]
    assert nested.FrameContentSequence[0].FrameAcquisitionDateTime[8:] == "120000"
    assert nested.FrameContentSequence[0].FrameAcquisitionDateTime[:8] == after.StudyDate


def test_several_uids_in_one_element_are_all_renamed() -> None:
    source = make_ct()
    source.add_new(0x00081195, "UI", f"{STUDY}.1")  # TransactionUID
    source.add_new(0x0020000E, "UI", [SERIES, STUDY])
    after = read(clean(encode(source)))
    assert list(after[0x0020000E].value) == [KEYED.uid(SERIES), KEYED.uid(STUDY)]


def test_private_elements_go_at_every_depth() -> None:
    source = make_ct()
    inner = item(CodeValue="T-1")
    inner.private_block(0x0011, "OKONKWO", create=True).add_new(1, "LO", "Quixotova")
    source.AnatomicRegionSequence = Sequence([inner])
    after = read(clean(encode(source)))
    assert after.AnatomicRegionSequence[0].CodeValue == "T-1"
    assert not [element for element in after.iterall() if element.tag.is_private]


def test_overlays_curves_icons_and_group_lengths_go() -> None:
    icon = item(Rows=1, BitsAllocated=8, PixelRepresentation=0, PixelData=b"\0\0")
    source = make_ct(IconImageSequence=Sequence([icon]))
    source.add_new(0x60000022, "LO", "Quixotova")
    source.add_new(0x60003000, "OW", b"\1\2")
    source.add_new(0x50003000, "OW", b"\1\2")
    after = read(clean(encode(source)))
    assert "IconImageSequence" not in after
    assert not [tag for tag in after.keys() if tag.group in (0x5000, 0x6000)]  # noqa: SIM118


def test_tags_that_no_dictionary_knows_go() -> None:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00481FF0, b"LO", b"Quixotova "))
    result = clean(raw)
    assert b"Quixotova" not in result.content
    assert dict(result.audit.counts)["unknown removed"] == 1


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280030, b"LO", b"Quixotova "),  # PixelSpacing as text
        (0x00280030, b"DS", b"Quixotova "),
        (0x00180060, b"DS", b"MRN-554477"),
        (0x00281050, b"PN", b"Quixotova "),
        (0x00181151, b"UN", b"Quixotova "),
        (0x00180022, b"CS", b"FOR QUIXOTOVA "),
        (0x00180015, b"CS", b"this is a sentence, as nobody should write"),
        (0x00080070, b"LO", b"seen by Almudena"),
        (0x00080070, b"LO", b"x@hospital.org"),
        (0x00080070, b"LO", b"long " * 40),
        (0x00101010, b"AS", b"Quixotova "),
        (0x00080012, b"DA", b"Quixotova "),
        (0x00280107, b"UN", b"Quixotova "),
        (0x00189073, b"FD", b"Doe^John"),
        (0x00201040, b"LO", b"born 1959-02-14 "),
        (0x00181210, b"SH", b"MRN-554477"),
    ],
)
def test_a_value_that_is_not_what_its_tag_says_goes(tag: int, vr: bytes, value: bytes) -> None:
    source = make_ct()
    if tag in source:
        del source[tag]
    after = clean(insert_before_pixels(encode(source), raw_element(tag, vr, value)))
    assert value.strip() not in after.content
    assert tag not in read(after) or not read(after)[tag].value


def test_names_in_text_that_would_stay_are_found_whatever_the_order_of_elements() -> None:
    result = clean(encode(make_ct(Manufacturer="Built for wunderlich", ConvolutionKernel="BONE")))
    after = read(result)
    assert not after.Manufacturer
    assert after.ConvolutionKernel == "BONE"
    assert dict(result.audit.counts)["identifier found in kept text"] == 1


def test_a_patient_named_like_a_word_of_the_trade_costs_nothing() -> None:
    after = cleaned(PatientName="Primary^Axial", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    assert list(after.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]


@pytest.mark.parametrize(("age", "expected"), [("091Y", "090Y"), ("104Y", "090Y"), ("089Y", "089Y")])
def test_great_ages_are_capped(age: str, expected: str) -> None:
    assert cleaned(PatientAge=age).PatientAge == expected


def test_a_nested_id_of_another_patient_is_another_key() -> None:
    source = make_ct(SourceImageSequence=None)
    source.GroupOfPatientsIdentificationSequence = Sequence([item(PatientID="OTHER-1", PatientName="Zephyrine^Y")])
    result = clean(encode(source))
    assert b"OTHER-1" not in result.content
    assert b"Zephyrine" not in result.content


def test_names_in_other_alphabets_go_and_are_remembered() -> None:
    source = make_ct(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎")
    for keyword in ("StudyDescription", "SeriesDescription"):
        source[keyword].value = "spine"
    result = clean(encode(source))
    assert "山田".encode("iso2022_jp")[3:-3] not in result.content
    assert any("山田" in identifier.value for identifier in result.identifiers if identifier.kind == "name")


def test_identifiers_are_handed_back_by_kind() -> None:
    found = {(identifier.kind, identifier.value) for identifier in clean(encode(make_ct())).identifiers}
    assert {
        ("name", "Quixotova^Almudena"),
        ("name", "Wunderlich^Zephyrine"),
        ("name", "Okonkwo^Bo"),
        ("patient_id", "MRN-554477"),
        ("patient_id", "OLD-112233"),
        ("accession", "ACC-998877"),
        ("birth_date", "19590214"),
        ("date", "20200229"),
        ("phone", "555-0142"),
        ("address", "Elmstreet 17"),
        ("institution", "Saint Elsewhere"),
        ("uid", STUDY),
        ("uid", f"{STUDY}.9"),
    } <= found
    assert CTImageStorage not in {value for _, value in found}


def test_the_audit_counts_and_tells_nothing() -> None:
    raw = encode(make_ct())
    result = clean(raw)
    text = str(result.audit) + str(result.audit.record()) + repr(result.identifiers)
    assert not [plant for plant in PLANTS if plant in text]
    assert result.audit.output_sha256 == hashlib.sha256(result.content).hexdigest()
    assert result.audit.source_digest == KEYED.digest(raw, "source")
    assert result.audit.source_digest != hashlib.sha256(raw).hexdigest()
    assert (result.audit.profile, result.audit.edition) == ("basic", "2026d")
    assert dict(result.audit.counts)["private removed: other creators"] == 2


def test_equal_input_and_key_give_equal_bytes_and_another_key_nothing_in_common() -> None:
    raw = encode(make_ct())
    assert clean(raw).content == clean(raw).content
    other = read(clean(raw, key=Keyed(bytes(range(1, 33)))))
    ours = read(clean(raw))
    for keyword in ("StudyInstanceUID", "PatientID", "AccessionNumber", "StudyDate"):
        assert ours[keyword].value != other[keyword].value


def test_a_second_pass_over_the_output_changes_ids_only() -> None:
    once = clean(encode(make_ct()))
    twice = clean(once.content)
    assert read(twice).PixelData == read(once).PixelData
    assert len(read(twice)) == len(read(once))


def test_encapsulated_pixels_pass_bit_for_bit() -> None:
    scan = b"\xff\xda\0\x08\1\1\0\1\0\0"
    stream = b"\xff\xd8" + scan + bytes(range(200)) * 3 + b"\xff\xd9"
    source = make_ct(PixelData=encapsulate([stream, b"\xff\xd8" + scan + bytes(90) + b"\xff\xd9"]), NumberOfFrames="2")
    source["PixelData"].is_undefined_length = True
    source["PixelData"].VR = "OB"
    after = read(clean(encode(source, JPEGLosslessSV1) + b"TRAILER"))
    assert after.PixelData == source.PixelData


def test_padding_and_hidden_bits_of_native_pixels_are_cleared_and_counted() -> None:
    pixels = (np.arange(24, dtype="<u2") | 0x4000).tobytes()
    result = clean(encode(make_ct(PixelData=pixels + b"Quixotova ")))
    assert read(result).PixelData == np.arange(24, dtype="<u2").tobytes()
    counts = dict(result.audit.counts)
    assert counts["pixels: unused bits cleared"] == counts["pixels: bytes after the last pixel cut"] == 1


def test_a_missing_sop_class_is_taken_from_the_meta_information_or_the_modality() -> None:
    source = make_ct()
    raw = encode(source)
    element = raw_element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
    assert raw.count(element) == 1
    assert read(clean(raw.replace(element, b""))).SOPClassUID == CTImageStorage
    whole = open_file(raw.replace(element, b""))
    assert read(clean(whole.content[whole.start :])).SOPClassUID == CTImageStorage


def test_enhanced_images_are_let_in_and_other_classes_are_not() -> None:
    assert cleaned(SOPClassUID=EnhancedMRImageStorage).SOPClassUID == EnhancedMRImageStorage
    assert reason_of(encode(make_ct(SOPClassUID=SecondaryCaptureImageStorage))) is Reason.SECONDARY_CAPTURE
    assert reason_of(encode(make_ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))) is Reason.UNKNOWN_SOP_CLASS
    assert reason_of(encode(make_ct(SOPClassUID="1.2.840.113619.4.26"))) is Reason.UNKNOWN_SOP_CLASS


@pytest.mark.parametrize(
    "changes", [{"BurnedInAnnotation": "YES"}, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}]
)
def test_burned_in_text_is_quarantined(changes: dict[str, object]) -> None:
    with pytest.raises(Quarantined) as caught:
        clean(encode(make_ct(**changes)))
    assert caught.value.reason is Reason.BURNED_IN_ANNOTATION


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_object_without_ids_is_rejected(keyword: str) -> None:
    assert reason_of(encode(make_ct(**{keyword: None}))) is Reason.MISSING_IDENTIFIERS


def test_an_image_without_pixels_is_rejected() -> None:
    assert reason_of(encode(make_ct(PixelData=None))) is Reason.TRUNCATED_FILE
    assert reason_of(encode(make_ct(PixelData=None, Rows=None))) is Reason.NOT_AN_IMAGE


def test_pixels_that_contradict_the_transfer_syntax_are_quarantined() -> None:
    raw = encode(make_ct())
    lie = raw.replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.4.70", 1)
    with pytest.raises(Quarantined) as caught:
        clean(lie)
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_cut_or_changed_anywhere_is_refused_or_clean(data: st.DataObject) -> None:
    raw = bytearray(encode(make_ct()))
    place = data.draw(st.integers(132, len(raw) - 1))
    if data.draw(st.booleans()):
        del raw[place:]
    else:
        raw[place] = data.draw(st.integers(0, 255))
    try:
        result = clean(bytes(raw))
    except CurateError as error:
        refusal = str(error)
    else:
        refusal = ""
        dcmread(BytesIO(result.content))
    assert not [plant for plant in PLANTS if plant in refusal]


def test_no_refusal_says_what_it_saw(caplog: pytest.LogCaptureFixture) -> None:
    raw = encode(make_ct())
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for broken in (raw[:700], raw[:400] + b"\xff" * 500, encode(make_ct(SOPClassUID="1.2.3")), b"Quixotova"):
            with pytest.raises(CurateError) as caught:
                clean(broken)
            told = "".join(traceback.format_exception(caught.value, chain=True))
            assert not [plant for plant in PLANTS if plant in str(caught.value)]
            assert caught.value.__cause__ is None
            assert "Quixotova" not in told
    assert not caplog.records
    assert not warned


def kaggle_slice(**changes: object) -> Dataset:
    """About the two dozen elements of the public downloads: no Modality, no SOPClassUID."""
    source = make_ct()
    keep = {
        "SOPInstanceUID", "ContentDate", "ContentTime", "PatientID", "SliceThickness", "StudyInstanceUID",
        "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
        "FrameOfReferenceUID", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "PixelSpacing",
        "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleIntercept", "RescaleSlope",
        "PixelData",
    }  # fmt: skip
    slim = Dataset()
    for element in source:
        if element.keyword in keep:
            slim.add(element)
    slim.PatientID = "4003253"
    slim.PatientName = "4003253"
    for keyword, value in changes.items():
        setattr(slim, keyword, value)
    return slim


def test_public_headers_pass_with_their_ids_and_dates() -> None:
    result = deidentify_bytes(encode(kaggle_slice()), PUBLIC, PublicIds())
    after = read(result)
    assert (after.PatientID, str(after.PatientName)) == ("4003253", "4003253")
    assert (after.StudyInstanceUID, after.ContentDate) == (STUDY, "20200301")
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert "DeidentificationMethodCodeSequence" not in after
    assert b"SECRETAPP" not in result.content
    assert result.audit.key_fingerprint == "0" * 16
    assert check_output(result.content, "x").findings == ()


def test_a_public_object_without_any_class_passes() -> None:
    whole = open_file(encode(kaggle_slice()))
    after = read(deidentify_bytes(whole.content[whole.start :], PUBLIC, PublicIds()))
    assert "SOPClassUID" not in after
    assert after.Rows == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientName": "Quixotova^Almudena"},
        {"PatientBirthDate": "19590214"},
        {"PatientAddress": "Elmstreet 17"},
        {"PatientTelephoneNumbers": "555-0142"},
        {"ReferringPhysicianName": "Wunderlich^Zephyrine"},
        {"OperatorsName": "Okonkwo"},
        {"OtherPatientIDsSequence": Sequence([item(PatientID="OLD-112233")])},
        {"InstitutionAddress": "Elmstreet 17"},
        {"SourceImageSequence": Sequence([item(PatientName="Quixotova")])},
    ],
)
def test_a_public_object_in_which_something_else_identifies_is_quarantined(changes: dict[str, object]) -> None:
    with pytest.raises(Quarantined) as caught:
        deidentify_bytes(encode(kaggle_slice(**changes)), PUBLIC, PublicIds())
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED
    assert not [plant for plant in PLANTS if plant in str(caught.value)]


def test_empty_names_and_dates_do_not_make_a_public_object_private() -> None:
    raw = encode(kaggle_slice(PatientBirthDate="", ReferringPhysicianName="", OtherPatientIDsSequence=Sequence([])))
    assert read(deidentify_bytes(raw, PUBLIC, PublicIds())).Rows == 4


def test_profile_and_pseudonyms_must_go_together() -> None:
    raw = encode(make_ct())
    with pytest.raises(Misconfigured):
        deidentify_bytes(raw, BASIC, PublicIds())
    with pytest.raises(Misconfigured):
        deidentify_bytes(raw, PUBLIC, KEYED)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("transfer_syntax", NATIVE)
def test_nested_identifiers_go_however_their_sequences_are_written(transfer_syntax: str, undefined: bool) -> None:
    deepest = item(
        ReferencedSOPInstanceUID=f"{STUDY}.5", InstitutionName="Saint Elsewhere", CodeMeaning="for Almudena", KVP="100"
    )
    middle = item(ReferencedImageSequence=Sequence([deepest]), DerivationImageSequence=Sequence([deepest]))
    source = make_ct(SharedFunctionalGroupsSequence=Sequence([item(PixelMeasuresSequence=Sequence([middle]))]))
    for element in source.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for part in element.value:
                part.is_undefined_length_sequence_item = undefined
    result = clean(encode(source, transfer_syntax))
    assert not [plant for plant in PLANTS if plant.encode() in searchable(result.content)]
    measured = read(result).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    kept = measured.DerivationImageSequence[0]
    assert (kept.KVP, kept.ReferencedSOPInstanceUID) == (100, KEYED.uid(f"{STUDY}.5"))
    assert "CodeMeaning" not in kept


def test_a_sequence_written_as_un_is_cleaned_and_stays_readable() -> None:
    inner = struct.pack("<HHI", 0x0008, 0x0080, 16) + b"Saint Elsewhere "
    inner += struct.pack("<HHI", 0x0018, 0x0060, 4) + b"100 "
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    result = clean(insert_before_pixels(encode(make_ct()), raw_element(0x00289110, b"UN", value)))
    assert b"Elsewhere" not in result.content
    assert read(result).PixelMeasuresSequence[0].KVP == 100


def test_an_un_of_unknown_length_is_cleaned_like_a_sequence() -> None:
    inner = struct.pack("<HHI", 0x0008, 0x0080, 16) + b"Saint Elsewhere "
    value = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    value += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    for group, number in ((0x0028, 0x9110), (0x0029, 0x1077), (0x0008, 0x0070)):
        header = struct.pack("<HH2s2xI", group, number, b"UN", 0xFFFFFFFF)
        source = make_ct(Manufacturer=None)
        result = clean(insert_before_pixels(encode(source), header + value))
        assert b"Elsewhere" not in result.content
        assert read(result).Rows == 4


def test_a_station_named_after_someone_in_the_header_goes() -> None:
    assert "StationName" not in cleaned(StationName="WUNDERL_CT1")
    assert cleaned(StationName="CT-ROOM-2").StationName == "CT-ROOM-2"


def test_names_are_renamed_injectively_over_many_patients_and_studies() -> None:
    patients, studies = set(), set()
    for number in range(60):
        after = cleaned(PatientID=f"MRN-{number}", StudyInstanceUID=f"{STUDY}.{number}")
        patients.add(after.PatientID)
        studies.add(after.StudyInstanceUID)
    assert len(patients) == len(studies) == 60


def test_objects_without_a_patient_id_are_patients_of_their_study() -> None:
    first, again = cleaned(PatientID=""), cleaned(PatientID="", SOPInstanceUID=f"{INSTANCE}.2")
    other = cleaned(PatientID="", StudyInstanceUID=f"{STUDY}.7")
    assert first.PatientID == again.PatientID != other.PatientID
    assert len(first.PatientID) == 16


def test_statements_of_an_earlier_de_identification_are_replaced() -> None:
    after = cleaned(
        PatientIdentityRemoved="NO",
        DeidentificationMethod="by Okonkwo",
        DeidentificationMethodCodeSequence=Sequence([item(CodeValue="113111", CodingSchemeDesignator="DCM")]),
        LongitudinalTemporalInformationModified="UNMODIFIED",
    )
    assert after.PatientIdentityRemoved == "YES"
    assert "Okonkwo" not in after.DeidentificationMethod
    assert "113111" not in {row.CodeValue for row in after.DeidentificationMethodCodeSequence}
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"


def test_private_options_of_the_standard_are_not_claimed() -> None:
    codes = {row.CodeValue for row in cleaned().DeidentificationMethodCodeSequence}
    assert not codes & {"113101", "113105", "113111", "113112", "113106", "113110"}


def test_elements_out_of_order_come_out_in_order() -> None:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00180022, b"CS", b"HELICAL "))
    result = clean(raw)
    file = open_file(result.content)
    tags = [element.tag for element in read_elements(file.content, file.start, file.syntax)]
    assert tags == sorted(set(tags))
    assert read(result).ScanOptions == "HELICAL"


def test_signed_pixels_in_several_frames_pass() -> None:
    pixels = np.linspace(-2048, 2047, 48).astype("<i2").tobytes()
    after = cleaned(PixelRepresentation=1, NumberOfFrames="2", PixelData=pixels)
    assert after.PixelData == pixels


def test_colour_in_an_image_that_has_none_is_a_picture_of_a_screen() -> None:
    changes = {"Rows": 3, "Columns": 3, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "HighBit": 7}
    source = make_ct(**changes, BitsAllocated=8, BitsStored=8, PixelData=bytes(range(27)) + b"\x7f")
    assert reason_of(encode(source)) is Reason.BURNED_IN_ANNOTATION


def test_pixels_shorter_than_promised_are_a_truncated_file() -> None:
    assert reason_of(encode(make_ct(Rows=400))) is Reason.TRUNCATED_FILE


def test_the_bytes_of_a_known_file_never_change_unnoticed() -> None:
    """Another digest means another result for the same file: RULES_VERSION goes up with it."""
    assert (RULES_VERSION, clean(encode(make_ct())).audit.output_sha256) == (3, GOLDEN)


def decided(*rows: tuple[str, str, str, str]) -> Decisions:
    return make_decisions([dict(zip(COLUMNS, row, strict=True)) for row in rows])


def marked(profile: str, source: Dataset, *rows: tuple[str, str, str, str]) -> Dataset:
    result = deidentify_bytes(encode(source), load_profile(profile), KEYED, site="a", decisions=decided(*rows))
    return read(result)


STATION = ("(0008,1010)", "SH", "CT-ROOM-2")


def test_a_value_that_a_person_marked_is_kept_cleaned_or_removed() -> None:
    source = make_ct(SeriesDescription="bone 2020-02-29", ProtocolName="C-SPINE")
    keep = ("(0008,103e)", "LO", "bone 2020-02-29")
    assert marked("basic", source, (*keep, "keep")).SeriesDescription == "bone 2020-02-29"
    assert marked("basic", source, (*keep, "clean")).SeriesDescription == "bone"
    assert "SeriesDescription" not in marked("mira", source, (*keep, "remove"))
    assert "StationName" not in marked("basic", source, (*STATION, "remove"))
    assert "ProtocolName" not in marked("basic", source, (*keep, "keep"))


def test_a_mark_speaks_of_one_value_at_one_place() -> None:
    other = ("(0008,103e)", "LO", "bone")
    source = make_ct(
        SeriesDescription="bone", RequestAttributesSequence=Sequence([item(RequestedProcedureDescription="x")])
    )
    assert "SeriesDescription" in marked("basic", source, (*other, "keep"))
    assert "SeriesDescription" not in marked("basic", source, ("(0008,103e)", "LO", "lung", "keep"))
    nested = marked("mira", source, ("(0040,0275)/(0032,1060)", "LO", "x", "remove"))
    assert "RequestedProcedureDescription" not in nested.RequestAttributesSequence[0]


def test_a_marked_value_with_a_name_of_the_object_in_it_is_not_kept() -> None:
    source = make_ct(SeriesDescription="Almudena, 1 mm bone")
    row = ("(0008,103e)", "LO", "Almudena, 1 mm bone", "keep")
    assert "SeriesDescription" not in marked("basic", source, row)


def test_what_the_owner_knows_of_a_patient_is_taken_out_too() -> None:
    raw, mira = encode(make_ct(SeriesDescription="bone, Dionisia", StudyDescription="CT")), load_profile("mira")
    assert read(deidentify_bytes(raw, mira, KEYED)).SeriesDescription == "bone, Dionisia"
    known = [Identifier("name", "Dionisia")]
    assert read(deidentify_bytes(raw, mira, KEYED, known=known)).SeriesDescription == "bone"


def test_descriptors_keep_what_does_not_identify_under_mira() -> None:
    result = deidentify_bytes(encode(make_ct()), load_profile("mira"), KEYED, site="a")
    after = read(result)
    assert after.StudyDescription == "CT spine for"
    assert after.SeriesDescription == "1 mm bone"
    assert check_output(result.content, "x").findings == ()
    harmless = ("comment on the patient", "private note about")
    assert not [plant for plant in PLANTS if plant not in harmless and plant.encode() in result.content]


@pytest.mark.parametrize(
    ("charset", "text"), [("ISO_IR 192", "für Quixotova größer"), ("ISO_IR 100", "für Quixotova Ärzte")]
)
def test_cleaned_text_stays_in_its_character_set(charset: str, text: str) -> None:
    source = make_ct(SpecificCharacterSet=charset, SeriesDescription=text)
    after = read(deidentify_bytes(encode(source), load_profile("mira"), KEYED))
    assert after.SeriesDescription == text.replace("Quixotova ", "")


def test_text_that_its_character_set_cannot_read_goes() -> None:
    raw = encode(make_ct(SpecificCharacterSet="ISO_IR 192", SeriesDescription="bone Xrgensmeier "))
    raw = raw.replace(b"bone Xrgensmeier", b"bone \xfcrgensmeier")
    assert "SeriesDescription" not in read(deidentify_bytes(raw, load_profile("mira"), KEYED))


def test_full_dates_stay_and_no_dates_go() -> None:
    raw = encode(make_ct())
    full = read(deidentify_bytes(raw, load_profile("basic", options=["retain_longitudinal_full_dates"]), KEYED))
    none = read(deidentify_bytes(raw, load_profile("basic", options=[]), KEYED))
    assert (full.StudyDate, full.LongitudinalTemporalInformationModified) == ("20200229", "UNMODIFIED")
    assert (none.StudyDate, none.LongitudinalTemporalInformationModified) == ("", "REMOVED")
    assert b"20200301" not in deidentify_bytes(raw, load_profile("basic", options=[]), KEYED).content


def test_kept_uids_are_kept_everywhere() -> None:
    after = read(deidentify_bytes(encode(make_ct()), load_profile("basic", options=["retain_uids"]), KEYED))
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == INSTANCE
    assert after.StudyInstanceUID == STUDY
    assert after.PatientID != "MRN-554477"


def test_an_institution_is_kept_where_the_profile_keeps_it() -> None:
    after = read(
        deidentify_bytes(encode(make_ct()), load_profile("basic", options=["retain_institution_identity"]), KEYED)
    )
    assert after.InstitutionName == "Saint Elsewhere"
    assert str(after.ReferringPhysicianName) == ""


def test_visual_features_need_a_function_that_hides_them() -> None:
    raw, profile = encode(make_ct()), load_profile("basic", options=["clean_recognizable_visual_features"])
    with pytest.raises(Misconfigured, match="needs a function"):
        deidentify_bytes(raw, profile, KEYED)
    after = read(deidentify_bytes(raw, profile, KEYED, hide_features=lambda pixels, layout: bytes(len(pixels))))
    assert after.PixelData == bytes(48)
    assert [row.CodeValue for row in after.DeidentificationMethodCodeSequence] == ["113100", "113102"]
    with pytest.raises(Quarantined):
        deidentify_bytes(raw, profile, KEYED, hide_features=lambda pixels, layout: pixels + b"\0\0")


def test_a_meaning_without_its_code_goes() -> None:
    regions = Sequence([item(CodeMeaning="seen by Bertoldo"), item(CodeValue="T-1", CodeMeaning="Spine")])
    after = cleaned(AnatomicRegionSequence=regions)
    assert [row.get("CodeMeaning") for row in after.AnatomicRegionSequence] == [None, "Spine"]


def test_reserved_bytes_of_long_headers_are_made_zero() -> None:
    raw = encode(make_ct())
    dirty = raw.replace(b"\xe0\x7f\x10\0OW\0\0", b"\xe0\x7f\x10\0OWQX")
    assert dirty != raw
    assert clean(dirty).content == clean(raw).content


def test_pixels_below_the_top_level_go() -> None:
    inner = item(CodeValue="T-1", PixelData=b"\1\2")
    inner["PixelData"].VR = "OW"
    after = cleaned(AnatomicRegionSequence=Sequence([inner]))
    assert "PixelData" not in after.AnatomicRegionSequence[0]
    assert after.AnatomicRegionSequence[0].CodeValue == "T-1"


def test_explicit_items_in_an_unknown_sequence_are_entered() -> None:
    body = raw_element(0x00080100, b"SH", b"T-1 ") + raw_element(0x00080104, b"LO", b"Quixotova ")
    value = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body
    result = clean(insert_before_pixels(encode(make_ct()), raw_element(0x00082218, b"UN", value)))
    assert b"Quixotova" not in result.content
    assert b"T-1" in result.content


def test_an_element_that_stands_twice_is_refused_since_two_readers_would_see_two_objects() -> None:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00081030, b"LO", b"again "))
    assert reason_of(raw) is Reason.DEIDENTIFICATION_FAILED


def test_a_delimiter_of_compressed_pixels_with_a_length_is_damage() -> None:
    source = make_ct(PixelData=encapsulate([b"\xff\xd8\xff\xd9"]))
    source["PixelData"].is_undefined_length = True
    source["PixelData"].VR = "OB"
    raw = encode(source, JPEGLosslessSV1)
    delimiter = b"\xfe\xff\xdd\xe0"
    assert raw.endswith(delimiter + bytes(4))
    assert reason_of(raw[:-4] + b"XZWQ") is Reason.UNREADABLE_HEADER
