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


def alone(output: bytes) -> list[str]:
    return [f"{one.rule.value} {one.where} {one.detail}" for one in check_output(output, "x.dcm").findings]


def nest(**values: object) -> Callable[[FileDataset], None]:
    return lambda d: setattr(d, "ReferencedImageSequence", Sequence([item(**values)]))


def put(tag: int, vr: str, value: object) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        with pydicom.config.disable_value_validation():
            dataset.add_new(tag, vr, value)

    return change


WITHOUT_SOURCE: dict[str, tuple[Callable[[FileDataset], None], str]] = {
    "a private block": (private, "private (0029,xxxx)"),
    "an overlay": (put(0x60000022, "LO", "x"), "overlay_or_curve (6000,0022)"),
    "a name that is not the key": (lambda d: setattr(d, "PatientName", "Quixotova"), "statement (0010,0010)"),
    "a name and an id that are no key": (old_id, "must_be_replaced (0010,0020)"),
    "a referring physician": (put(0x00080090, "PN", "Wunderlich"), "person_name (0008,0090)"),
    "a physician called unknown": (put(0x00080090, "PN", "UNKNOWN"), "person_name (0008,0090)"),
    "a description": (put(0x00081030, "LO", "x"), "must_be_removed (0008,1030)"),
    "a birth date": (put(0x00100030, "DA", "19590214"), "must_be_replaced (0010,0030)"),
    "a birth date as a UID": (put(0x00100030, "UI", "2.25.19590214"), "unreadable (0010,0030)"),
    "a study date as text": (put(0x00080020, "LO", "19590214"), "must_be_replaced (0008,0020)"),
    "an age": (put(0x00101010, "AS", "095Y"), "age_not_capped (0010,1010)"),
    "a foreign UID": (put(0x00200052, "UI", "1.2.3"), "uid_not_mapped (0020,0052)"),
    "no statement": (put(0x00120062, "CS", "NO"), "statement (0012,0062)"),
    "no word on dates": (lambda d: d.__delitem__(0x00280303), "statement (0028,0303)"),
    "no codes": (lambda d: d.__delitem__(0x00120064), "lacks code 113100"),
    "more than codes": (lambda d: d[0x00120064].value.append(item(PatientName="A^B")), "statement (0012,0064) holds"),
    "a statement of another VR": (put(0x00120063, "PN", "A^B"), "statement (0012,0063) holds"),
    "a meta element": (lambda d: setattr(d.file_meta, "SourceApplicationEntityTitle", "WS"), "file_meta (0002,0016)"),
    "the institution in an item": (nest(InstitutionName="Saint Elsewhere"), "(0008,1140)[0](0008,0080)"),
    "an accession number": (put(0x00080050, "SH", "ABCDEFGHIJKLMNOP"), "must_be_replaced (0008,0050)"),
    "an accession number as a number": (put(0x00080050, "US", 7), "must_be_replaced (0008,0050)"),
    "items of what is empty": (nest(AcquisitionContextSequence=[item(CodeValue="0")]), "(0008,1140)[0](0040,0555)"),
    "pixels in an item": (nest(BitsAllocated=8, PixelData=b"Smith^A "), "must_be_removed (0008,1140)[0](7fe0,0010)"),
    "a name in a UID of no known VR": (put(0x0008FFFF, "UN", b"Smith^A "), "person_name (0008,ffff)"),
    "a UID of no known VR": (put(0x0008FFFF, "UN", b"1.2.3.45"), "uid_not_mapped (0008,ffff)"),
    "a character set of another VR": (put(0x00080005, "LO", "ISO_IR 100"), "unreadable (0008,0005)"),
}  # fmt: skip


@pytest.mark.parametrize("what", WITHOUT_SOURCE)
def test_what_can_be_seen_without_the_source_is(what: str) -> None:
    change, words = WITHOUT_SOURCE[what]
    lines = alone(spoil(change))
    assert any(words in line for line in lines), lines


def test_a_creator_whose_block_is_empty_tells_of_what_was_there() -> None:
    creator = spoil(lambda d: d.add_new(0x00190010, "LO", "GEMS_ACQU_01"), "mira")
    assert any("a creator of nothing" in line for line in alone(creator))


def test_a_sequence_in_a_safe_private_attribute_is_seen() -> None:
    def hide(dataset: FileDataset) -> None:
        block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
        block.add_new(0x23, "SQ", Sequence([item(PatientName="A^B")]))

    assert any("private (0019,xxxx)" in line for line in alone(spoil(hide, "mira")))


@pytest.mark.parametrize(("number", "written"), [(b"120 ", b"1-2 "), (b"120 ", b"1 2 ")])
def test_a_number_that_is_none_is_found_without_the_source(number: bytes, written: bytes) -> None:
    kilovolts = b"\x18\x00\x60\x00DS\x04\x00"
    assert any("text_in_number" in line for line in alone(clean().replace(kilovolts + number, kilovolts + written)))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_bytes_behind_the_end_are_found_in_every_encoding(syntax: str) -> None:
    assert alone(clean(syntax=syntax)) == []
    assert alone(clean(syntax=syntax) + b"more")
    assert alone(clean(syntax=syntax)[:-3])


def test_an_element_behind_the_pixels_is_found_whatever_its_number() -> None:
    position = b"\x18\x00\x00\x51CS\x04\x00HFS "
    assert any("trailing_bytes" in line for line in alone(clean() + position))


def test_pixels_of_the_other_form_than_the_transfer_syntax_has_are_found() -> None:
    head = b"\xe0\x7f\x10\x00OW\0\0"
    whole = clean()
    at = whole.rindex(head) + 8
    fragments = b"\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert any("transfer syntax" in line for line in alone(whole[:at] + fragments))


def test_a_file_with_something_in_its_preamble_is_judged_all_the_same() -> None:
    output = spoil(put(0x00081030, "LO", "x"))
    lines = alone(b"x" + output[1:])
    assert any(line.startswith("preamble") for line in lines)
    assert any(line.startswith("must_be_removed") for line in lines)


def test_a_report_keeps_the_items_that_it_must_have_when_they_say_nothing() -> None:
    """PS3.3 C.17.3: content is of type 1, and the basic profile has dummies for it."""

    def report(text: str) -> Callable[[FileDataset], None]:
        def change(dataset: FileDataset) -> None:
            del dataset.PixelData
            dataset.ContentSequence = Sequence([item(ValueType="TEXT", TextValue=text)])

        return change

    assert alone(spoil(report("ANONYMIZED"))) == []
    assert any("must_be_replaced (0040,a730)" in line for line in alone(spoil(report("fracture"))))


def test_public_ids_stay_but_no_accession_number() -> None:
    raw = encode(make_ct(PatientName="P-1", PatientID="P-1", **dict.fromkeys(IDENTIFYING)))
    dataset = pydicom.dcmread(BytesIO(deidentify_bytes(raw, load_profile("public"), PublicIds()).content))
    dataset.AccessionNumber = "ACC-998877"
    buffer = BytesIO()
    dataset.save_as(buffer)
    assert any("(0008,0050)" in line for line in alone(buffer.getvalue()))
