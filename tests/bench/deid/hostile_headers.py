"""Hostile files, part two: attributes: nested, new, unlisted, private, multi-valued, in other alphabets, in text."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from tests.bench.deid.hostile_frames import case
from tests.bench.deid.plants import Case, Plant
from tests.support.deid_files import encode, insert_before_pixels, item, make_ct, raw_element

_ROOT = "1.2.826.0.1.3680043.9.8888"


def header_cases() -> Iterator[Case]:
    """Everything that a data set can say about a person."""
    yield _new_tags()
    yield _functional_groups()
    yield _original_attributes()
    yield _nested_uids()
    yield _private_uids()
    yield _dates()
    yield _ages()
    yield _creators()
    yield _private_shapes()
    yield _safe_private()
    yield _unlisted_text()
    yield _unlisted_other()
    yield _text_in_numbers()
    yield _codes()
    yield _coded_content()
    yield _links()
    yield _equipment()
    yield _people()
    yield _dates_in_text()
    yield _strangers()
    yield from _descriptors()
    yield from _alphabets()


def _with(*elements: tuple[int, str, object], **changes: object) -> Dataset:
    dataset = make_ct(**changes)
    for tag, vr, value in elements:
        dataset.add(DataElement(tag, vr, value))
    return dataset


def _new_tags() -> Case:
    """Attributes that came with 2023 and later; dictionaries of a year ago do not know them."""
    dataset = _with(
        (0x00100012, "LO", "Calpurnia"),
        (0x00100013, "LT", "called Calpurnia at home"),
        (0x00100045, "LT", "asked Fiammetta"),
        (0x00100011, "SQ", [_tagged((0x00100012, "LO", "Calpurnia"), (0x00100013, "LT", "Calpurnia"))]),
        (0x00100016, "LT", "says Fiammetta"),
        (0x0040B034, "DT", "20191224101112"),
        (0x0040E012, "UR", "http://pacs.calpurnia.example/7"),
        (0x0040B03B, "LO", "montage by Fiammetta"),
    )
    return case(
        "attributes newer than 2023",
        "tags newer than 2024",
        encode(dataset),
        Plant("Calpurnia", "(0010,0012)"),
        Plant("Fiammetta", "(0010,0045)"),
        Plant("20191224", "(0040,B034)"),
        outcome="cleaned",
    )


def _tagged(*elements: tuple[int, str, object]) -> Dataset:
    dataset = Dataset()
    for tag, vr, value in elements:
        dataset.add(DataElement(tag, vr, value))
    return dataset


def _functional_groups() -> Case:
    """Known attributes deep inside shared and per-frame groups, where readers of the top level do not look."""
    frame = item(
        FrameContentSequence=Sequence(
            [
                item(
                    FrameComments="frame of Gelsomina",
                    FrameAcquisitionDateTime="20190704120000",
                    FrameLabel="Gelsomina A1",
                )
            ]
        ),
        RequestAttributesSequence=Sequence(
            [
                item(
                    ScheduledProcedureStepDescription="for Gelsomina",
                    RequestedProcedureID="GEL-5521",
                    AccessionNumber="GELACC-77",
                )
            ]
        ),
        DerivationImageSequence=Sequence(
            [
                item(
                    DerivationDescription="by Gelsomina",
                    SourceImageSequence=Sequence(
                        [item(ReferencedSOPInstanceUID=f"{_ROOT}.5.1", ReferencedSOPClassUID=CTImageStorage)]
                    ),
                )
            ]
        ),
    )
    shared = item(
        ReferringPhysicianName="Gelsomina^Rosa",
        DeviceSequence=Sequence([item(DeviceDescription="Gelsomina")]),
        PatientOrientationCodeSequence=Sequence([item(CodeValue="X", CodeMeaning="lying")]),
    )
    dataset = make_ct(
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence([frame] * 2)
    )
    return case(
        "attributes in functional groups",
        "tags in functional groups",
        encode(dataset),
        Plant("Gelsomina", "(5200,9230)>(0020,9111)>(0020,9158)"),
        Plant("GEL-5521", "(5200,9230)>(0040,0275)"),
        Plant("GELACC-77", "(5200,9230)>(0040,0275)>(0008,0050)"),
        Plant("20190704", "(5200,9230)>(0020,9111)"),
        Plant(f"{_ROOT}.5.1", "(5200,9230)>(0008,9124)"),
        outcome="cleaned",
    )


def _original_attributes() -> Case:
    """What a correction replaced is kept in the object, old name and all; so are encrypted parts."""
    old = item(PatientName="Radamanto^Old", PatientID="RAD-99120", StudyDescription="old words of Radamanto")
    row = item(
        ModifiedAttributesSequence=Sequence([old]),
        AttributeModificationDateTime="20191105101500",
        ModifyingSystem="RADAMANTO-RIS",
        SourceOfPreviousValues="Radamanto clinic",
        ReasonForTheAttributeModification="CORRECT",
    )
    sealed = item(EncryptedContentTransferSyntaxUID="1.2.840.10008.1.2", EncryptedContent=b"sealed RAD-99120")
    dataset = make_ct(OriginalAttributesSequence=Sequence([row]), EncryptedAttributesSequence=Sequence([sealed]))
    return case(
        "original and encrypted attributes",
        "nested attributes",
        encode(dataset),
        Plant("Radamanto", "(0400,0561)>(0400,0550)>(0010,0010)"),
        Plant("RAD-99120", "(0400,0500)>(0400,0520)"),
        Plant("20191105", "(0400,0561)>(0400,0562)"),
        outcome="cleaned",
    )


def _nested_uids() -> Case:
    reference = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=f"{_ROOT}.1")
    series = item(SeriesInstanceUID=f"{_ROOT}.2", ReferencedInstanceSequence=Sequence([reference]))
    dataset = make_ct(
        ReferencedSeriesSequence=Sequence([series]),
        ReferencedStudySequence=Sequence(
            [item(ReferencedSOPInstanceUID=f"{_ROOT}.3", ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1")]
        ),
        IrradiationEventUID=[f"{_ROOT}.4", f"{_ROOT}.41"],
        SynchronizationFrameOfReferenceUID=f"{_ROOT}.5",
        FailedSOPInstanceUIDList=[f"{_ROOT}.6", f"{_ROOT}.7"],
        StorageMediaFileSetUID=f"{_ROOT}.8",
    )
    raw = insert_before_pixels(encode(dataset), raw_element(0x00091002, b"UN", f"{_ROOT}.9".encode()))
    return case(
        "UIDs nested and multi-valued",
        "nested UID references",
        raw,
        *(Plant(f"{_ROOT}.{n}", f"reference {n}") for n in (1, 2, 3, 4, 41, 5, 6, 7, 8, 9)),
        outcome="cleaned",
    )


def _private_uids() -> Case:
    """A UID of the device below the root of DICOM, and text in a UI element."""
    raw = insert_before_pixels(
        encode(make_ct()), raw_element(0x00081155, b"UI", b"1.2.840.10008.77.20190630.5512345\0")
    )
    raw = insert_before_pixels(raw, raw_element(0x0020000E, b"UI", b"Ildebrando.22.3\0"))
    raw = insert_before_pixels(raw, raw_element(0x00083010, b"UI", b"1.2.840.Ildebrando\\1.2.3\0"))
    return case(
        "UIDs that are none",
        "nested UID references",
        raw,
        Plant("Ildebrando", "(0008,3010)"),
        Plant("5512345", "(0008,1155)"),
    )


def _dates() -> Case:
    """Multi-valued, dotted, ranges, leap days, with and without offsets."""
    raw = encode(
        _with(
            (0x00080025, "DA", "20200229"),
            (0x00189074, "DT", "20190331101112"),
            (0x0018A002, "DT", "20190401120000.5-0500"),
            (0x00181078, "DT", "20190402"),
            (0x00400244, "DA", "20190403"),
            (0x00181271, "TM", "235959"),
        )
    )
    for tag, vr, value in (
        (0x00181200, b"DA", b"20190404\\20190405 "),
        (0x00181201, b"TM", b"101112\\111213 "),
        (0x00400002, b"DA", b"1997.04.30"),
        (0x00400004, b"DA", b"19970501-19970502 "),
        (0x00400250, b"DA", b"30 APR 1997 "),
        (0x0040A13A, b"DT", b"19970503101010.5+0100-19970504 "),
    ):
        raw = insert_before_pixels(raw, raw_element(tag, vr, value))
    texts = (
        "20190331",
        "20190401",
        "20190402",
        "20190403",
        "20190404",
        "20190405",
        "1997.04.30",
        "19970501",
        "19970502",
        "30 APR 1997",
        "19970503",
        "19970504",
    )
    return case(
        "dates in every form", "multi-valued dates", raw, *(Plant(t, "a date") for t in texts), outcome="cleaned"
    )


def _ages() -> Case:
    dataset = make_ct(PatientAge="097Y", RequestAttributesSequence=Sequence([item(PatientAge="103Y")]))
    raw = insert_before_pixels(encode(dataset), raw_element(0x00101010, b"AS", b"101Y"))
    return case(
        "ages over 89",
        "ages",
        raw,
        Plant("097Y", "(0010,1010)"),
        Plant("103Y", "nested (0010,1010)"),
        Plant("101Y", "second (0010,1010)"),
    )


def _creators() -> Case:
    """Creators can name people; a creator may hide in a block of no elements, or without its place."""
    dataset = make_ct()
    dataset.private_block(0x0019, "Leocadia MRN-554477", create=True).add_new(1, "DS", "1.5")
    dataset.private_block(0x0021, "SIEMENS MED Leocadia", create=True).add_new(1, "LO", "x")
    dataset.private_block(0x0023, "LEOCADIA", create=True)
    raw = insert_before_pixels(encode(dataset), raw_element(0x0025009F, b"LO", b"LEOCADIA"))
    raw = insert_before_pixels(raw, raw_element(0x00271001, b"LO", b"orphan Leocadia "))
    return case(
        "private creators that name people", "private", raw, Plant("Leocadia", "(0019,0010)"), outcome="cleaned"
    )


def _private_shapes() -> Case:
    """Private text under every VR, in sequences of both lengths, in private groups nested in standard sequences."""
    dataset = make_ct()
    block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
    for number, vr in enumerate(("LO", "LT", "SH", "ST", "UT", "UC", "PN", "AE", "CS"), 0x60):
        block.add_new(number, vr, "Melisenda")
    block.add_new(0x70, "SQ", Sequence([item(PatientName="Melisenda^Q", StudyDate="20190909")]))
    block.add_new(0x71, "OB", b"Melisenda\0")
    block.add_new(0x72, "DA", "20190910")
    block.add_new(0x73, "UI", f"{_ROOT}.77")
    inner = item(PatientID="x")
    inner.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x50, "LO", "Melisenda")
    dataset.RequestAttributesSequence = Sequence([inner])
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHI", 0x10, 0x10, 10) + b"Melisenda "
    items += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    unknown = struct.pack("<HH2s2xI", 0x0043, 0x1080, b"UN", 0xFFFFFFFF) + items
    raw = insert_before_pixels(encode(dataset), unknown)
    return case(
        "private text under every VR",
        "private",
        raw,
        Plant("Melisenda", "(0043,1060)"),
        Plant("20190909", "(0043,1070)>(0008,0020)"),
        Plant("20190910", "(0043,1072)"),
        Plant(f"{_ROOT}.77", "(0043,1073)"),
        outcome="cleaned",
    )


def _safe_private() -> Case:
    """Tags of the safe list with text where a number must be, too many values, or another VR than it says."""
    dataset = make_ct()
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "LO", "Eleuterio 7")
    block = dataset.private_block(0x00E1, "ELSCINT1", create=True)
    block.add_new(0x21, "UN", b"Eleuterio ")
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0B, "LO", "Eleuterio")
    raw = insert_before_pixels(encode(dataset), raw_element(0x00E11050, b"DS", b"1\\Eleuterio\\3 "))
    return case(
        "safe private tags with other values", "private", raw, Plant("Eleuterio", "(00E1,xx21)"), outcome="cleaned"
    )


UNLISTED = (
    (0x00080119, "UC", "long code of Anacleto"),
    (0x00280A02, "CS", "FLUORO_NERISSA"),
    (0x00283003, "LO", "LUT for Nerissa"),
    (0x00282002, "CS", "ICCNERISSA"),
    (0x00181250, "SH", "coil of Nerissa"),
    (0x00180024, "SH", "seq Nerissa"),
    (0x00181160, "SH", "filter Nerissa"),
    (0x00181261, "LO", "plate Nerissa"),
    (0x00280004, "CS", "MONOCHROME2"),
    (0x00181030, "LO", "protocol Quixotova"),
    (0x00400440, "SQ", None),
    (0x00220022, "SH", "lens of Nerissa"),
    (0x00141010, "ST", "flaw found by Nerissa"),
    (0x00700084, "PN", "Nerissa^Marker"),
    (0x00181181, "CS", "GRID NERISSA"),
    (0x00380500, "LO", "state of Nerissa"),
    (0x00740050, "UT", "steps of Nerissa"),
    (0x00420010, "ST", "title Nerissa"),
    (0x300A0002, "SH", "plan Nerissa"),
    (0x30060002, "SH", "set Nerissa"),
    (0x00400310, "ST", "dose note Nerissa"),
)


def _unlisted_text() -> Case:
    """Free text in attributes that Table E.1-1 does not name; some could well be kept by a tool that trusts them."""
    dataset = _with(*((tag, vr, value) for tag, vr, value in UNLISTED if value))
    plants = []
    for tag, _, value in UNLISTED:
        word = next((w for w in ("Anacleto", "Nerissa", "Quixotova") if value and w.lower() in value.lower()), "")
        if word:
            plants.append(Plant(str(value), f"({tag >> 16:04X},{tag & 0xFFFF:04X})", listed=False))
    return case(
        "free text outside the table", "free text outside the table", encode(dataset), *plants, outcome="cleaned"
    )


def _unlisted_other() -> Case:
    """Dates, UIDs and names of attributes that the table does not name."""
    dataset = _with(
        (0x00720010, "LO", "made by Ottaviano"),
        (0x0072000A, "DT", "20190811101010"),
        (0x00720008, "LO", "Ottaviano"),
        (0x00141020, "DA", "20190812"),
        (0x00700087, "SQ", [_tagged((0x0040A123, "PN", "Ottaviano^B"))]),
        (0x00209161, "UI", f"{_ROOT}.61"),
        (0x00741002, "SQ", [_tagged((0x0074100A, "UR", "sip:ottaviano@example.org"))]),
        (0x00143076, "DA", "20190813"),
        (0x00143077, "TM", "101010"),
        (0x00102203, "CS", "INTACT"),
    )
    return case(
        "dates, UIDs and names outside the table",
        "attributes outside the table",
        encode(dataset),
        Plant("Ottaviano", "(0072,0008)", listed=False),
        Plant("20190811", "(0072,000A)", listed=False),
        Plant("20190812", "(0014,1020)", listed=False),
        Plant("20190813", "(0014,3076)", listed=False),
        Plant(f"{_ROOT}.61", "(0020,9161)", listed=False),
        outcome="cleaned",
    )


def _text_in_numbers() -> Case:
    """A name where digits belong: decimal and integer strings, and binary numbers spelled with letters."""
    raw = encode(make_ct())
    for tag, vr, value in (
        (0x00180060, b"DS", b"Pellegrino"),
        (0x00201002, b"IS", b"Pellegrino"),
        (0x00189073, b"FD", b"PELLEGRI"),
        (0x00280106, b"US", b"Pellegrino"),
        (0x00189087, b"FD", b"Pellegrino^Luisa"),
        (0x00281101, b"US", b"Pelleg"),
        (0x00186011, b"SQ", b""),
        (0x00180088, b"DS", b"1.5\\Pellegrino "),
        (0x00209057, b"UL", b"Pellegri"),
        (0x00280009, b"AT", b"Pellegrino^L"),
    ):
        if vr != b"SQ":
            raw = insert_before_pixels(raw, raw_element(tag, vr, value))
    return case(
        "text in number attributes",
        "attributes outside the table",
        raw,
        Plant("Pellegri", "(0018,0060)", listed=False),
        Plant("Pelleg", "(0028,1101)", listed=False),
    )


def _codes() -> Case:
    """A code string that names the patient, in a listed, an unlisted and a nested attribute."""
    dataset = make_ct(
        ImageType=["ORIGINAL", "PRIMARY", "QUIXOTOVA"],
        ScanOptions="ALMUDENA",
        BodyPartExamined="QUIXOTOVA",
        AnatomicRegionSequence=Sequence(
            [item(CodeValue="T-11", CodingSchemeDesignator="99QUIXOTOVA", CodeMeaning="spine of Quixotova")]
        ),
    )
    return case(
        "code strings that name the patient", "attributes outside the table", encode(dataset), outcome="cleaned"
    )


def _coded_content() -> Case:
    """Code meanings and procedure codes with text of the hospital."""
    code = item(
        CodeValue="CT99", CodingSchemeDesignator="99LOCAL", CodeMeaning="CT ordered by Wunderlich for MRN-554477"
    )
    dataset = make_ct(
        ProcedureCodeSequence=Sequence([code]),
        RequestedProcedureCodeSequence=Sequence([code]),
        AdmittingDiagnosesCodeSequence=Sequence(
            [item(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning="fall Quixotova")]
        ),
        AdmittingDiagnosesDescription="fell, says Quixotova",
        ReasonForTheRequestedProcedure="pain of Quixotova",
    )
    return case("code meanings with identifiers", "descriptors", encode(dataset), outcome="cleaned")


def _links() -> Case:
    dataset = _with(
        (0x00081190, "UR", "https://pacs.arcangelo.example/studies/1"),
        (0x0040E010, "UR", "https://arcangelo.example/x"),
        (0x00041500, "CS", ["ARCANGELO", "IM1"]),
        (0x00880130, "SH", "ARCANGELO"),
        (0x00080054, "AE", "ARCANGELO"),
        (0x00080055, "AE", "ARCANGELO2"),
        (0x00081048, "PN", "Arcangelo^C"),
        (0x0018100A, "SQ", [_tagged((0x00181009, "LO", "Arcangelo"))]),
    )
    return case(
        "links, file names and application titles",
        "attributes of the table",
        encode(dataset),
        Plant("Arcangelo", "(0008,1190)"),
    )


def _equipment() -> Case:
    row = item(
        Manufacturer="Phantomworks",
        InstitutionName="Clinica Saverio",
        InstitutionAddress="Piazza Saverio 3",
        StationName="SAVERIO1",
        InstitutionalDepartmentName="Saverio ward",
        OperatorsName="Saverio^T",
        OperatorIdentificationSequence=Sequence(
            [
                item(
                    PersonIdentificationCodeSequence=Sequence([item(CodeValue="SAV1", CodeMeaning="Saverio")]),
                    InstitutionName="Saverio",
                )
            ]
        ),
        ContributionDateTime="20190615101010",
        ContributionDescription="by Saverio",
        SoftwareVersions="v1",
    )
    dataset = make_ct(
        ContributingEquipmentSequence=Sequence([row]),
        PerformedStationAETitle="SAVERIO_AE",
        PerformedProcedureStepDescription="done by Okonkwo",
        ScheduledPerformingPhysicianName="Saverio^T",
    )
    return case(
        "contributing equipment",
        "nested attributes",
        encode(dataset),
        Plant("Saverio", "(0018,A001)>(0008,0080)"),
        Plant("20190615", "(0018,A001)>(0018,A002)"),
        outcome="cleaned",
    )


def _people() -> Case:
    dataset = make_ct(
        OtherPatientNames=["Teodolinda^A", "Teodolinda^B"],
        PatientBirthName="Teodolinda",
        PatientMotherBirthName="Teodolinda^M",
        ResponsiblePerson="Teodolinda^R",
        PatientAddress="Via Teodolinda 1",
        PatientTelephoneNumbers="+39 06 5550177",
        MilitaryRank="Col. Teodolinda",
        EthnicGroup="Teodolind",
        Occupation="baker Teodolinda",
        AdditionalPatientHistory="of Teodolinda",
        NamesOfIntendedRecipientsOfResults=["Teodolinda^X", "Teodolinda^Y"],
        ConsultingPhysicianName="Teodolinda^P",
        PhysiciansOfRecord="Teodolinda^Q",
        PersonAddress="Teodolinda 2",
        VisitComments="Teodolinda",
        PatientState="Teodolinda",
        SmokingStatus="NO",
        CountryOfResidence="Teodolinda",
        PatientReligiousPreference="Teodolinda",
        TimezoneOffsetFromUTC="+0345",
    )
    return case(
        "every person attribute",
        "attributes of the table",
        encode(dataset),
        Plant("Teodolind", "(0010,1001)"),
        Plant("5550177", "(0010,2154)"),
        outcome="cleaned",
    )


def _dates_in_text() -> Case:
    dataset = make_ct(
        StudyDescription="seen 29.02.2020 and 2020-02-29",
        SeriesDescription="born 14/02/1959",
        ImageComments="Feb 29, 2020: 29 FEB 2020",
        ProtocolName="tel 555-0142 or (555) 010-7788",
    )
    texts = ("29.02.2020", "2020-02-29", "14/02/1959", "Feb 29, 2020", "29 FEB 2020", "010-7788")
    return case(
        "dates and telephones in descriptions",
        "descriptors",
        encode(dataset),
        *(Plant(t, "(0008,1030) and others") for t in texts),
        outcome="cleaned",
    )


def _strangers() -> Case:
    """People whom no attribute names: only a form of address, or nothing, tells that a word is a name."""
    dataset = make_ct(
        StudyDescription="spine, ask Dr. Bonifacia",
        ImageComments="mother Mrs Crescenzia came along",
        ProtocolName="neck Dionisia 3 mm",
        AdditionalPatientHistory="mail to egidio@example.org",
    )
    texts = ("Bonifacia", "Crescenzia", "Dionisia", "egidio@example.org")
    return case(
        "people whom no attribute names",
        "free text outside the table",
        encode(dataset),
        *(Plant(text, "a description", listed=False) for text in texts),
        outcome="cleaned",
    )


def _descriptors() -> Iterator[Case]:
    """Text that must lose the person and keep the rest."""
    rows = (
        (
            "a patient called Hand",
            "Hand^Thumbelina",
            "HAND XR bone 1 mm",
            "scan of Thumbelina, bone 1 mm",
            ("HAND XR bone 1 mm", "bone 1 mm"),
        ),
        ("a patient called Spine", "Spine^Ottokar", "C SPINE W/O CONTRAST", "C SPINE, Mr Ottokar Spine", ("C SPINE",)),
        ("a name that is a word", "May^Augustus", "may repeat axial 3 mm", "Augustus: axial 3 mm", ("axial 3 mm",)),
        (
            "a name of two letters",
            "Ng^Li-Xiuying",
            "imaging angio LIMB",
            "for NG Li-Xiuying, LIMB",
            ("imaging angio LIMB",),
        ),
        (
            "a name with apostrophe and hyphen",
            "O'Shaughnessy-Fitzwilliam^Bea",
            "T2 tse sag",
            "OSHAUGHNESSY FITZWILLIAM T2 tse",
            ("T2 tse sag",),
        ),
        (
            "a name reversed, cut and abbreviated",
            "Wolkenstein^Oswald",
            "WOLKENST CT bone",
            "O.Wolkenstein CT bone / nietsneklow",
            ("CT bone",),
        ),
    )
    for name, person, study, series, keeps in rows:
        dataset = make_ct(
            PatientName=person,
            StudyDescription=study,
            SeriesDescription=series,
            RequestAttributesSequence=Sequence([item(ScheduledProcedureStepDescription=series)]),
        )
        words = {
            "Thumbelina",
            "Ottokar",
            "Augustus",
            "Xiuying",
            "Shaughnessy",
            "Fitzwilliam",
            "Wolkenst",
            "nietsneklow",
        }
        plants = [Plant(w, "(0008,103E)") for w in sorted(words) if w.lower() in f"{study} {series}".lower()]
        yield case(name, "descriptors", encode(dataset), *plants, keeps=keeps, outcome="cleaned")


_PLAIN = {"StudyDescription": "plain", "SeriesDescription": "plain", "RequestAttributesSequence": None}
"""Texts of the base file that name its patient, taken back for a patient of another name."""


def _alphabets() -> Iterator[Case]:
    """Names in other character sets, declared, undeclared and wrongly declared."""
    japanese = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset = make_ct(
        SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=japanese, ImageComments="患者 山田 太郎", **_PLAIN
    )
    yield case(
        "Japanese names (ISO 2022)",
        "character sets",
        encode(dataset),
        Plant("山田", "(0010,0010)"),
        Plant("やまだ", "(0010,0010)"),
        Plant("Yamada", "(0010,0010)"),
        outcome="cleaned",
    )
    dataset = make_ct(
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Müßiggängerová^Žofie",
        **_PLAIN
        | {
            "StudyDescription": "CT MUSSIGGANGEROVA Žofie",
            "ReferringPhysicianName": "Παπαδόπουλος^Γιώργος",
            "SeriesDescription": "για Παπαδόπουλος",
        },
    )
    yield case(
        "accents and Greek in UTF-8",
        "character sets",
        encode(dataset),
        Plant("Müßiggängerová", "(0010,0010)"),
        Plant("Žofie", "(0008,1030)"),
        Plant("Παπαδόπουλος", "(0008,103E)"),
        outcome="cleaned",
    )
    dataset = make_ct(
        SpecificCharacterSet="GB18030",
        PatientName="Wang^XiaoDong=王^小东",
        **_PLAIN | {"StudyDescription": "王小东 胸部"},
    )
    yield case(
        "Chinese names (GB18030)",
        "character sets",
        encode(dataset),
        Plant("小东", "(0010,0010)"),
        Plant("XiaoDong", "(0010,0010)"),
        outcome="cleaned",
    )
    dataset = make_ct(
        SpecificCharacterSet="ISO_IR 192", PatientName="Størksen^Åse", **_PLAIN | {"StudyDescription": "CT Størksen"}
    )
    raw = encode(dataset).replace(b"ISO_IR 192", b"ISO_IR 6  ")
    yield case(
        "UTF-8 under the name of ASCII", "character sets", raw, Plant("Størksen", "(0008,1030)"), outcome="cleaned"
    )
    inner = item(
        SpecificCharacterSet="ISO_IR 192", PatientName="Jürgensmeier^Ödön", RequestedProcedureDescription="Jürgensmeier"
    )
    dataset = make_ct(RequestAttributesSequence=Sequence([inner]))
    yield case(
        "an item with a character set of its own",
        "character sets",
        encode(dataset),
        Plant("Jürgensmeier", "(0040,0275)>(0010,0010)"),
        outcome="cleaned",
    )
