"""Hostile files, part four: objects that are not plain CT or MR slices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from tests.bench.deid.hostile_frames import case
from tests.bench.deid.plants import Case, Plant
from tests.support.deid_files import encode, item, make_ct

_IMAGE = [
    "PixelData",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "KVP",
    "ConvolutionKernel",
]


def object_cases() -> Iterator[Case]:
    """Reports, presentation states, documents, segmentations, structures, ultrasound, raw data, classes unknown."""
    yield _report()
    yield _key_objects()
    yield _presentation()
    yield _document()
    yield _segmentation()
    yield _structures()
    yield _enhanced()
    yield _private_class()
    yield _waveform()
    yield _dose_report()


def _without_pixels(sop_class: str, modality: str, **changes: object) -> Dataset:
    dataset = make_ct(**dict.fromkeys(_IMAGE), Modality=modality)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID = sop_class
    return dataset


def _concept(value: str, meaning: str, scheme: str = "DCM") -> Sequence:
    return Sequence([item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)])


def _content() -> Sequence:
    observer = item(
        RelationshipType="HAS OBS CONTEXT",
        ValueType="PNAME",
        PersonName="Clodoveo^Reader",
        ConceptNameCodeSequence=_concept("121008", "Person Observer Name"),
    )
    finding = item(
        RelationshipType="CONTAINS",
        ValueType="TEXT",
        TextValue="Quixotova has a break of C5, says Clodoveo",
        ConceptNameCodeSequence=_concept("121071", "Finding"),
    )
    when = item(
        RelationshipType="CONTAINS",
        ValueType="DATETIME",
        DateTime="20190607101112",
        ConceptNameCodeSequence=_concept("111526", "DateTime Started"),
    )
    who = item(
        RelationshipType="HAS OBS CONTEXT",
        ValueType="TEXT",
        TextValue="CLO-7781",
        ConceptNameCodeSequence=_concept("121030", "Subject ID"),
    )
    uid = item(
        RelationshipType="CONTAINS",
        ValueType="UIDREF",
        UID="1.2.826.0.1.3680043.9.5555.3",
        ConceptNameCodeSequence=_concept("121018", "Procedure Study Instance UID"),
    )
    return Sequence([observer, finding, when, who, uid])


_SPOKEN = (
    Plant("Clodoveo", "(0040,A730)>(0040,A123)"),
    Plant("20190607", "(0040,A730)>(0040,A120)"),
    Plant("CLO-7781", "(0040,A730)>(0040,A160)"),
    Plant("1.2.826.0.1.3680043.9.5555.3", "(0040,A730)>(0040,A124)"),
)


def _report() -> Case:
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.88.22",
        "SR",
        ContentSequence=_content(),
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        ConceptNameCodeSequence=_concept("11528-7", "Radiology Report", "LN"),
        VerifyingObserverSequence=Sequence(
            [
                item(
                    VerifyingObserverName="Clodoveo^V",
                    VerifyingOrganization="Clodoveo Org",
                    VerificationDateTime="20190607101112",
                )
            ]
        ),
    )
    return case("structured report", "SR, graphics, PDF, icon", encode(dataset), *_SPOKEN)


def _key_objects() -> Case:
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.88.59",
        "KO",
        ContentSequence=_content(),
        ValueType="CONTAINER",
        ConceptNameCodeSequence=_concept("113000", "Of Interest"),
    )
    return case("key object selection", "SR, graphics, PDF, icon", encode(dataset), *_SPOKEN)


def _dose_report() -> Case:
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.88.67",
        "SR",
        ContentSequence=_content(),
        ValueType="CONTAINER",
        ConceptNameCodeSequence=_concept("113701", "X-Ray Radiation Dose Report"),
    )
    return case("dose report", "SR, graphics, PDF, icon", encode(dataset), *_SPOKEN)


def _presentation() -> Case:
    text = item(UnformattedTextValue="Adalgisa was here", BoundingBoxAnnotationUnits="PIXEL")
    note = item(GraphicLayer="ADALGISA", TextObjectSequence=Sequence([text]))
    layer = item(GraphicLayer="ADALGISA", GraphicLayerOrder=1, GraphicLayerDescription="layer of Adalgisa")
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.11.1",
        "PR",
        ContentLabel="ADALGISA",
        ContentCreatorName="Adalgisa^P",
        GraphicAnnotationSequence=Sequence([note]),
        GraphicLayerSequence=Sequence([layer]),
        PresentationCreationDate="20190608",
        ContentDescription="for Adalgisa",
    )
    return case(
        "presentation state",
        "SR, graphics, PDF, icon",
        encode(dataset),
        Plant("Adalgisa", "(0070,0001)>(0070,0006)"),
        Plant("20190608", "(0070,0082)"),
    )


def _document() -> Case:
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.104.1",
        "DOC",
        EncapsulatedDocument=b"%PDF-1.4 letter to Berengario %%EOF ",
        MIMETypeOfEncapsulatedDocument="application/pdf",
        DocumentTitle="letter to Berengario",
    )
    return case(
        "encapsulated PDF",
        "SR, graphics, PDF, icon",
        encode(dataset),
        Plant("Berengario", "(0042,0011)"),
        outcome="refused",
    )


def _segmentation() -> Case:
    segment = item(
        SegmentNumber=1,
        SegmentLabel="C1 of Gismonda",
        SegmentDescription="Gismonda",
        SegmentAlgorithmType="MANUAL",
        TrackingID="Gismonda 1",
        TrackingUID="1.2.826.0.1.3680043.9.5555.9",
        SegmentedPropertyCategoryCodeSequence=_concept("T-D0050", "Tissue"),
        SegmentedPropertyTypeCodeSequence=_concept("T-11500", "C1 vertebra of Gismonda"),
    )
    dataset = make_ct(
        Modality="SEG",
        SegmentSequence=Sequence([segment]),
        ContentCreatorName="Gismonda^W",
        ContentLabel="GISMONDA",
        ContentDescription="drawn by Gismonda",
        SegmentationType="BINARY",
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        NumberOfFrames=1,
        PixelData=b"\x55\x0f\x33\0",
        RescaleIntercept=None,
        RescaleSlope=None,
    )
    dataset["PixelData"].VR = "OB"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    return case(
        "segmentation",
        "attributes of other classes",
        encode(dataset),
        Plant("Gismonda", "(0062,0002)>(0062,0005)"),
        Plant("1.2.826.0.1.3680043.9.5555.9", "(0062,0002)>(0062,0021)"),
    )


def _structures() -> Case:
    roi = item(
        ROINumber=1,
        ROIName="cord of Mafalda",
        ROIDescription="Mafalda",
        ReferencedFrameOfReferenceUID="1.2.826.0.1.3680043.9.5555.10",
    )
    seen = item(ObservationNumber=1, ReferencedROINumber=1, ROIInterpreter="Mafalda^D", ROIObservationLabel="Mafalda")
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.481.3",
        "RTSTRUCT",
        StructureSetLabel="MAFALDA",
        StructureSetName="Mafalda",
        StructureSetDescription="by Mafalda",
        StructureSetDate="20190709",
        StructureSetTime="101010",
        StructureSetROISequence=Sequence([roi]),
        RTROIObservationsSequence=Sequence([seen]),
        ReviewerName="Mafalda^R",
        ReviewDate="20190710",
        ApprovalStatus="APPROVED",
    )
    return case(
        "structure set",
        "attributes of other classes",
        encode(dataset),
        Plant("Mafalda", "(3006,0020)>(3006,0026)"),
        Plant("20190709", "(3006,0008)"),
        Plant("20190710", "(300E,0004)"),
        Plant("1.2.826.0.1.3680043.9.5555.10", "(3006,0020)>(3006,0024)"),
    )


def _enhanced() -> Case:
    frame = item(
        FrameContentSequence=Sequence([item(FrameReferenceDateTime="20190711101010", FrameComments="Ginevra")]),
        MRImageFrameTypeSequence=Sequence([item(FrameType=["ORIGINAL", "PRIMARY", "GINEVRA", "NONE"])]),
    )
    frame.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x10, "LO", "Ginevra")
    dataset = make_ct(
        Modality="MR",
        NumberOfFrames=2,
        PixelData=np.arange(48, dtype="<u2").tobytes(),
        PatientName="Ginevra^M",
        StudyDescription="plain",
        SeriesDescription="for Ginevra",
        PerFrameFunctionalGroupsSequence=Sequence([frame, frame]),
        AcquisitionContextSequence=Sequence(
            [item(ValueType="TEXT", TextValue="Ginevra", ConceptNameCodeSequence=_concept("1", "note", "99X"))]
        ),
    )
    dataset["PixelData"].VR = "OW"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    return case(
        "enhanced MR",
        "tags in functional groups",
        encode(dataset),
        Plant("Ginevra", "(5200,9230)>(0020,9111)"),
        Plant("20190711", "(5200,9230)>(0020,9111)>(0020,9151)"),
        outcome="cleaned",
    )


def _private_class() -> Case:
    dataset = make_ct()
    dataset.SOPClassUID = "1.3.12.2.1107.5.9.1"
    return case("private SOP class", "SR, graphics, PDF, icon", encode(dataset), outcome="refused")


def _waveform() -> Case:
    wave = item(
        NumberOfWaveformChannels=1,
        NumberOfWaveformSamples=4,
        SamplingFrequency=100,
        MultiplexGroupLabel="Guendalina",
        WaveformBitsAllocated=8,
        WaveformSampleInterpretation="UB",
    )
    wave.WaveformData = b"WAVE"
    note = item(UnformattedTextValue="Guendalina coughed", AnnotationGroupNumber=1)
    dataset = _without_pixels(
        "1.2.840.10008.5.1.4.1.1.9.1.1",
        "ECG",
        WaveformSequence=Sequence([wave]),
        WaveformAnnotationSequence=Sequence([note]),
    )
    dataset.WaveformSequence[0]["WaveformData"].VR = "OB"
    return case(
        "waveform", "SR, graphics, PDF, icon", encode(dataset), Plant("Guendalina", "(5400,0100)"), outcome="refused"
    )


SLICE = CTImageStorage
