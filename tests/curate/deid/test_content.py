"""Structured reports: every content item by its concept."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from curate.deid.content import letter_of
from curate.deid.engine import Deidentified, deidentify_bytes
from curate.deid.profile import Profile, load_profile
from curate.deid.pseudonyms import Keyed
from curate.deid.verification import check_output
from curate.errors import Quarantined
from curate.reasons import Reason
from tests.support.deid_files import INSTANCE, KEY, STUDY, encode, item, make_ct

COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
KEYED = Keyed(KEY)
REPORTS = load_profile("mira", options=[*load_profile("mira").options, "clean_structured_content"])
_IMAGE = (
    "PixelData", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "StudyDescription",
    "SeriesDescription", "RequestAttributesSequence", "PatientComments",
)  # fmt: skip


def coded(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def content_item(kind: str, concept: Dataset, **values: object) -> Dataset:
    return item(RelationshipType="CONTAINS", ValueType=kind, ConceptNameCodeSequence=Sequence([concept]), **values)


def report(*items: Dataset) -> Dataset:
    source = make_ct(Modality="SR", SOPClassUID=COMPREHENSIVE, **dict.fromkeys(_IMAGE))
    source.ValueType = "CONTAINER"
    source.ContentSequence = Sequence(items)
    return source


def clean(source: Dataset, profile: Profile = REPORTS) -> Deidentified:
    return deidentify_bytes(encode(source), profile, KEYED, site="a")


def kept(*items: Dataset, profile: Profile = REPORTS) -> list[Dataset]:
    return list(dcmread(BytesIO(clean(report(*items), profile).content)).get("ContentSequence", []))


FINDING = coded("121071", "Finding")


def test_reports_are_refused_where_the_profile_does_not_clean_them() -> None:
    with pytest.raises(Quarantined) as caught:
        clean(report(), load_profile("mira"))
    assert caught.value.reason is Reason.UNKNOWN_SOP_CLASS


@pytest.mark.parametrize(
    ("scheme", "code", "letter"),
    [("DCM", "121022", "X"), ("DCM", "121008", "D"), ("DCM", "111060", "C"), ("99X", "121022", "C"), ("DCM", "0", "C")],
)
def test_the_letter_is_that_of_the_concept_under_the_options(scheme: str, code: str, letter: str) -> None:
    assert letter_of(REPORTS, (scheme, code)) == letter
    assert letter_of(REPORTS, None) == "C"


def test_an_item_that_the_table_removes_goes_with_all_below_it() -> None:
    accession = content_item("TEXT", coded("121022", "Accession Number"), TextValue="ACC-998877")
    accession.ContentSequence = Sequence([content_item("TEXT", FINDING, TextValue="below")])
    assert kept(accession) == []


def test_an_observers_name_becomes_a_dummy() -> None:
    (observer,) = kept(content_item("PNAME", coded("121008", "Person Observer Name"), PersonName="Wunderlich^Z"))
    assert str(observer.PersonName) == "ANONYMIZED"


def test_findings_lose_the_words_that_identify() -> None:
    result = clean(report(content_item("TEXT", FINDING, TextValue="C5 fracture, Quixotova, seen 2020-02-29")))
    (finding,) = dcmread(BytesIO(result.content)).ContentSequence
    assert finding.TextValue == "C5 fracture, , seen"
    assert check_output(result.content, "x").findings == ()


def test_text_is_a_dummy_or_goes_where_descriptors_are_not_cleaned() -> None:
    profile = load_profile("basic", options=["clean_structured_content"])
    mine = content_item("TEXT", coded("1", "Mine", "99X"), TextValue="C5 fracture")
    (only,) = kept(mine, content_item("TEXT", FINDING, TextValue="C5 fracture"), profile=profile)
    assert only.TextValue == "ANONYMIZED"


def test_numbers_codes_and_references_stay() -> None:
    measured = item(NumericValue="12.5", MeasurementUnitsCodeSequence=Sequence([coded("mm", "mm", "UCUM")]))
    shown = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=INSTANCE)
    number, image, code = kept(
        content_item("NUM", coded("121206", "Distance"), MeasuredValueSequence=Sequence([measured])),
        content_item("IMAGE", coded("260753009", "Source", "SCT"), ReferencedSOPSequence=Sequence([shown])),
        content_item("CODE", FINDING, ConceptCodeSequence=Sequence([coded("125605004", "Fracture", "SCT")])),
    )
    assert number.MeasuredValueSequence[0].NumericValue == 12.5
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == KEYED.uid(INSTANCE)
    assert code.ConceptCodeSequence[0].CodeMeaning == "Fracture"


def test_dates_are_shifted_by_the_patients_days_and_uids_mapped() -> None:
    source = report(
        content_item("DATETIME", coded("111060", "Study Date"), DateTime="20200229101010"),
        content_item("UIDREF", coded("1", "Mine", "99X"), UID=STUDY),
    )
    after = dcmread(BytesIO(clean(source).content))
    moment, reference = after.ContentSequence
    assert moment.DateTime == f"{after.StudyDate}101010"
    assert reference.UID == KEYED.uid(STUDY) == after.StudyInstanceUID


def test_without_dates_in_the_profile_a_date_is_a_dummy_or_goes() -> None:
    profile = load_profile("basic", options=["clean_structured_content", "clean_descriptors"])
    moment = content_item("DATETIME", coded("111060", "Study Date"), DateTime="20200229101010")
    other = content_item("DATETIME", coded("1", "Mine", "99X"), DateTime="20200229101010")
    assert [str(one.DateTime) for one in kept(moment, other, profile=profile)] == ["19000101000000"]


def test_items_below_items_are_judged_alone() -> None:
    name = content_item("PNAME", coded("1", "Mine", "99X"), PersonName="Okonkwo^B")
    box = content_item("CONTAINER", coded("126000", "Imaging Measurement Report"), ContentSequence=Sequence([name]))
    assert str(kept(box)[0].ContentSequence[0].PersonName) == "ANONYMIZED"


def test_a_reference_by_number_is_refused_once_the_numbers_are_wrong() -> None:
    accession = content_item("TEXT", coded("121022", "Accession Number"), TextValue="ACC-998877")
    pointer = item(RelationshipType="INFERRED FROM", ReferencedContentItemIdentifier=[1, 2])
    with pytest.raises(Quarantined) as caught:
        clean(report(accession, pointer))
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED
    assert len(kept(content_item("TEXT", FINDING, TextValue="C5"), pointer)) == 2


def test_context_of_an_image_is_content_too() -> None:
    context = item(
        ValueType="TEXT", ConceptNameCodeSequence=Sequence([coded("1", "Mine", "99X")]), TextValue="by Okonkwo"
    )
    source = make_ct(AcquisitionContextSequence=Sequence([context]))
    after = dcmread(BytesIO(clean(source).content))
    assert after.AcquisitionContextSequence[0].TextValue == "by"
    assert "AcquisitionContextSequence" not in dcmread(BytesIO(clean(source, load_profile("mira")).content))
