"""Small CT files full of planted identifiers, written by pydicom, for the tests of de-identification."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

KEY = bytes(range(32))
STUDY, SERIES, INSTANCE, FRAME = (f"1.2.826.0.1.3680043.9.7777.{n}" for n in (11, 22, 33, 44))
PATIENT_NAME = "Quixotova^Almudena"
PATIENT_ID = "MRN-554477"

PLANTS = (
    "Quixotova", "Almudena", "Wunderlich", "Zephyrine", "Okonkwo", "MRN-554477", "ACC-998877", "OLD-112233",
    "19590214", "20200229", "Elmstreet 17", "555-0142", "Saint Elsewhere", "1.2.826.0.1.3680043.9.7777",
    "private note about", "SECRETAPP", "STUDYID-77", "comment on the patient", "TRAILER", "HIDDENPREAMBLE",
)  # fmt: skip
"""Every string below that must not be found in the output, in any element, meta information or padding."""


def item(**values: object) -> Dataset:
    """A data set of the given keywords."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def make_ct(**changes: object) -> Dataset:
    """A 4 x 6 CT slice with identifiers at the top level, in sequences and in private elements.

    A change of None takes the element away.
    """
    dataset = item(
        SpecificCharacterSet="ISO_IR 100",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        InstanceCreationDate="20200229",
        SOPClassUID=CTImageStorage,
        SOPInstanceUID=INSTANCE,
        StudyDate="20200229",
        ContentDate="20200301",
        AcquisitionDateTime="20200229235959.250000+0100",
        StudyTime="235959.25",
        ContentTime="000001",
        AccessionNumber="ACC-998877",
        Modality="CT",
        Manufacturer="Phantomworks",
        InstitutionName="Saint Elsewhere",
        InstitutionAddress="Elmstreet 17",
        ReferringPhysicianName="Wunderlich^Zephyrine",
        ReferringPhysicianTelephoneNumbers="555-0142",
        StationName="CT-ROOM-2",
        StudyDescription="CT spine for Quixotova",
        SeriesDescription="Almudena, 1 mm bone",
        OperatorsName="Okonkwo^Bo",
        ManufacturerModelName="Model 9",
        ReferencedImageSequence=Sequence([item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=SERIES)]),
        PatientName=PATIENT_NAME,
        PatientID=PATIENT_ID,
        IssuerOfPatientID="",
        PatientBirthDate="19590214",
        PatientSex="F",
        PatientAge="061Y",
        PatientWeight="70.5",
        OtherPatientIDsSequence=Sequence([item(PatientID="OLD-112233", TypeOfPatientID="TEXT")]),
        PatientComments="comment on the patient",
        SliceThickness="1.25",
        KVP="120",
        DeviceSerialNumber="SN-000017",
        SoftwareVersions="v3",
        ConvolutionKernel="BONE",
        PatientPosition="HFS",
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=SERIES,
        StudyID="STUDYID-77",
        SeriesNumber="3",
        InstanceNumber="7",
        ImagePositionPatient=[-10.5, -20, 30],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        FrameOfReferenceUID=FRAME,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=4,
        Columns=6,
        PixelSpacing=[0.5, 0.5],
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
        RescaleIntercept="-1024",
        RescaleSlope="1",
        RequestAttributesSequence=Sequence([item(RequestedProcedureDescription="for Wunderlich")]),
        SourceImageSequence=Sequence([item(ReferencedSOPInstanceUID=f"{STUDY}.9")]),
        PixelData=(np.arange(24, dtype="<u2") * 100).tobytes(),
    )
    dataset["PixelData"].VR = "OW"
    block = dataset.private_block(0x0029, "SECRETAPP 1.0", create=True)
    block.add_new(0x10, "LO", "private note about Quixotova")
    block.add_new(0x11, "SQ", Sequence([item(PatientName=PATIENT_NAME)]))
    for keyword, value in changes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def encode(
    dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian, *, preamble: bytes = b"HIDDENPREAMBLE"
) -> bytes:
    """A DICOM file with identifiers in its preamble and meta information."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", INSTANCE)
    dataset.file_meta.ImplementationVersionName = "SECRETAPP"
    dataset.file_meta.SourceApplicationEntityTitle = "OKONKWO_WS"
    dataset.preamble = preamble.ljust(128, b"\0")
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def raw_element(tag: int, vr: bytes, value: bytes) -> bytes:
    """One explicit little endian element, as a careless writer might make it."""
    if vr == b"UN":
        return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def insert_before_pixels(raw: bytes, element: bytes) -> bytes:
    """The file with bytes put in front of its (explicit, native) pixel data element."""
    at = raw.rindex(b"\xe0\x7f\x10\x00OW")
    return raw[:at] + element + raw[at:]
