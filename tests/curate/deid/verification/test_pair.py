"""A clean output passes; every way of spoiling it is found and named. pydicom, not the writer, does the spoiling."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.deid import Keyed, PublicIds, deidentify_bytes, load_profile
from curate.deid.verification import Rule, check_output, check_pair
from curate.deid.verification.derive import renames
from tests.support.deid_files import KEY, SERIES, encode, item, make_ct

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


@cache
def source(syntax: str = ExplicitVRLittleEndian) -> bytes:
    return encode(make_ct(), syntax)


@cache
def clean(profile: str = "basic", syntax: str = ExplicitVRLittleEndian) -> bytes:
    return deidentify_bytes(source(syntax), load_profile(profile), Keyed(KEY)).content


def spoil(change: Callable[[FileDataset], None], profile: str = "basic") -> bytes:
    dataset = pydicom.dcmread(BytesIO(clean(profile)))
    change(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def rules(output: bytes, before: bytes | None = None) -> set[Rule]:
    checked = check_pair(before or source(), output, "x.dcm", rename=renames(KEY))
    return {finding.rule for finding in checked.findings}


@pytest.mark.parametrize("profile", ["basic", "mira"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_the_engine_writes_passes(profile: str, syntax: str) -> None:
    checked = check_pair(source(syntax), clean(profile, syntax), "x.dcm", rename=renames(KEY))
    assert checked.findings == ()
    assert len(checked.judgement.days) == 1
    assert checked.judgement.elements > 40
    assert check_output(clean(profile, syntax), "x.dcm").findings == ()


def test_a_public_source_passes_with_its_ids() -> None:
    raw = encode(make_ct(PatientName="P-1", PatientID="P-1", **dict.fromkeys(IDENTIFYING)))
    done = deidentify_bytes(raw, load_profile("public"), PublicIds())
    assert check_pair(raw, done.content, "x.dcm").findings == ()


IDENTIFYING = (
    "ReferringPhysicianName", "ReferringPhysicianTelephoneNumbers", "OperatorsName", "PatientBirthDate",
    "OtherPatientIDsSequence", "PatientComments", "InstitutionAddress",
)  # fmt: skip


def private(dataset: Dataset) -> None:
    dataset.private_block(0x0029, "SECRETAPP 1.0", create=True).add_new(0x10, "LO", "note")


def old_id(dataset: Dataset) -> None:
    dataset.PatientID = dataset.PatientName = "MRN-554477"


SPOILS: dict[str, tuple[Callable[[FileDataset], None], Rule]] = {
    "a name": (lambda d: setattr(d, "OperatorsName", "Okonkwo^Bo"), Rule.PERSON),
    "a referring physician": (lambda d: setattr(d, "ReferringPhysicianName", "Any^One"), Rule.PERSON),
    "an address": (lambda d: setattr(d, "InstitutionAddress", "Elmstreet 17"), Rule.MUST_GO),
    "the institution": (lambda d: setattr(d, "InstitutionName", "Saint Elsewhere"), Rule.LEAK),
    "the old id": (old_id, Rule.NOT_EMPTIED),
    "an old series": (lambda d: setattr(d, "SeriesInstanceUID", SERIES), Rule.KEPT_UID),
    "a random series": (lambda d: setattr(d, "SeriesInstanceUID", "2.25.123456789"), Rule.WRONG_UID),
    "an old date": (lambda d: setattr(d, "StudyDate", "20200229"), Rule.DATE),
    "an old birth date": (lambda d: setattr(d, "PatientBirthDate", "19590214"), Rule.NOT_EMPTIED),
    "an accession number": (lambda d: setattr(d, "AccessionNumber", "ACC-998877"), Rule.NOT_EMPTIED),
    "a private block": (private, Rule.PRIVATE),
    "an overlay": (lambda d: d.add_new(0x60003000, "OW", b"\0\0"), Rule.GRAPHICS),
    "a curve": (lambda d: d.add_new(0x50003000, "OW", b"\0\0"), Rule.GRAPHICS),
    "a nested name": (
        lambda d: setattr(d, "ReferencedImageSequence", Sequence([item(PatientName="Quixotova^A")])),
        Rule.LEAK,
    ),
    "a truncated name": (lambda d: setattr(d, "ConvolutionKernel", "QUIXOTO"), Rule.LEAK),
    "a reversed name": (lambda d: setattr(d, "ConvolutionKernel", "avotoxiuQ"), Rule.LEAK),
    "a phone number": (lambda d: setattr(d, "SoftwareVersions", "call 555-123-4567"), Rule.TEXT),
    "a changed number": (lambda d: setattr(d, "RescaleIntercept", "-1000"), Rule.CHANGED),
    "a new attribute": (lambda d: setattr(d, "ExposureTime", "12"), Rule.INVENTED),
    "an old person": (lambda d: setattr(d, "PatientAge", "095Y"), Rule.AGE),
    "other pixels": (lambda d: setattr(d, "PixelData", bytes(48)), Rule.PIXELS),
    "no pixels": (lambda d: d.__delitem__("PixelData"), Rule.PIXELS),
    "no statement": (lambda d: d.__delitem__("PatientIdentityRemoved"), Rule.STATEMENT),
    "no codes": (lambda d: d.__delitem__("DeidentificationMethodCodeSequence"), Rule.STATEMENT),
    "another date statement": (
        lambda d: setattr(d, "LongitudinalTemporalInformationModified", "UNMODIFIED"),
        Rule.STATEMENT,
    ),
    "a meta element": (lambda d: setattr(d.file_meta, "SourceApplicationEntityTitle", "WS"), Rule.FILE_META),
    "another meta uid": (lambda d: setattr(d.file_meta, "MediaStorageSOPInstanceUID", "2.25.7"), Rule.FILE_META),
    "a name that is not the key": (lambda d: setattr(d, "PatientName", "OTHER"), Rule.STATEMENT),
    "a preamble": (lambda d: setattr(d, "preamble", b"II*\0".ljust(128, b"\0")), Rule.PREAMBLE),
    "bytes after the pixels": (lambda d: d.add_new(0xFFFCFFFC, "OB", b"\0\0"), Rule.TRAILING),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILS)
def test_a_spoiled_output_is_found_out(name: str) -> None:
    change, rule = SPOILS[name]
    assert rule in rules(spoil(change))


def test_letters_in_a_number_are_found() -> None:
    kilovolts = b"\x18\x00\x60\x00DS\x04\x00"
    assert clean().count(kilovolts + b"120 ") == 1
    assert Rule.NUMBER in rules(clean().replace(kilovolts + b"120 ", kilovolts + b"abc "))


def test_findings_never_show_a_value() -> None:
    for change, _ in SPOILS.values():
        said = " ".join(map(str, check_pair(source(), spoil(change), "x.dcm", rename=renames(KEY)).findings))
        assert not any(word in said for word in ("Quixotova", "MRN-554477", "Elmstreet", "19590214", "ACC-998877"))


def test_two_offsets_in_one_file_are_both_reported_to_whoever_compares_files() -> None:
    def move(dataset: FileDataset) -> None:
        dataset.ContentDate = "19000202"

    assert len(check_pair(source(), spoil(move), "x.dcm").judgement.days) == 2


def test_a_safe_private_attribute_passes_only_where_the_option_is_claimed_and_the_value_fits() -> None:
    def keep(value: str) -> Callable[[FileDataset], None]:
        return lambda d: d.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x23, "DS", value)

    assert Rule.PRIVATE not in rules(spoil(keep("1.5"), "mira"))
    assert Rule.PRIVATE in rules(spoil(keep("1.5"), "basic"))


def test_an_override_is_what_binds_then() -> None:
    done = spoil(lambda d: setattr(d, "StudyDescription", "CT spine"))
    assert Rule.MUST_GO in {one.rule for one in check_output(done, "x").findings}
    assert check_output(done, "x", {0x00081030: "K"}).findings == ()
    assert Rule.MUST_GO in {one.rule for one in check_output(clean(), "x", {0x00181000: "X"}).findings}


def test_an_attribute_that_stands_there_twice_is_read_otherwise_by_another_reader() -> None:
    kilovolts = b"\x18\x00\x60\x00DS\x04\x00120 "
    raw = clean("mira").replace(kilovolts, kilovolts * 2)
    assert raw != clean("mira")
    assert Rule.READERS in {finding.rule for finding in check_output(raw, "x").findings}


def test_gdcm_reads_one_of_each_series_and_all_that_is_suspect() -> None:
    crossed: set[str] = set()
    good, bad = clean(), spoil(lambda d: setattr(d, "RescaleIntercept", "-1000"))
    checks = [check_pair(source(), raw, "x", rename=renames(KEY), crossed=crossed) for raw in (good, good, bad)]
    assert [one.is_crossed for one in checks] == [True, False, True]


def test_a_source_that_nobody_can_read_is_a_finding() -> None:
    (finding,) = check_pair(b"no object", clean(), "x").findings
    assert (finding.rule, finding.detail) == (Rule.UNREADABLE, "its source")


def test_what_is_not_dicom_is_a_finding() -> None:
    assert {f.rule for f in check_output(b"text", "x").findings} == {Rule.PREAMBLE}
    assert check_output(bytes(128) + b"DICM" + b"\xff" * 99, "x").is_unreadable


def test_the_source_itself_breaks_very_many_rules() -> None:
    raw = encode(make_ct(), preamble=b"")
    assert {Rule.PERSON, Rule.MUST_GO, Rule.KEPT_UID, Rule.PRIVATE, Rule.LEAK, Rule.STATEMENT} <= rules(raw, raw)
