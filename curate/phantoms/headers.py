"""Headers of classic CT and MR images as scanners write them (PS3.3 A.3, A.4), or as bare as challenge downloads."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage

from curate.geometry.grid import Grid
from curate.phantoms.encoding import Element, text
from curate.phantoms.people import Person
from curate.phantoms.planes import orientation_of_planes, position_of_slice
from curate.phantoms.sites import Site


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What every image of a series shares."""

    study_uid: str
    series_uid: str
    frame_uid: str
    number: int
    modality: str  # CT | MR
    description: str
    weighting: str = ""  # MR: T1 | T2 | STIR
    intercept: int = 0
    sop_class_uid: str = ""  # "": the classic image class of the modality
    extra: tuple[tuple[str, str | list[str]], ...] = ()  # keyword and value, over everything else
    omitted: tuple[int, ...] = ()  # tags that the images lack

    @property
    def sop_class(self) -> str:
        """SOP Class UID of the images."""
        return self.sop_class_uid or str(CTImageStorage if self.modality == "CT" else MRImageStorage)


def series_header(site: Site, person: Person, facts: SeriesFacts) -> Dataset:
    """Elements common to the images of a series."""
    header = Dataset()
    header.PatientName, header.PatientID = person.name, person.patient_id
    header.StudyInstanceUID, header.SeriesInstanceUID = facts.study_uid, facts.series_uid
    header.FrameOfReferenceUID = facts.frame_uid
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = 16
    if facts.modality == "CT":
        header.RescaleSlope, header.RescaleIntercept = "1", str(facts.intercept)
        header.WindowCenter, header.WindowWidth = "400", "2000"
    else:
        header.WindowCenter, header.WindowWidth = "500", "1000"
    if not site.is_bare:
        _describe(header, site, person, facts)
        header.SOPClassUID = facts.sop_class
    for keyword, value in facts.extra:
        setattr(header, keyword, value)
    return header


def image_elements(
    grid: Grid, k: int, instance_uid: str, number: int, pixels: NDArray[np.generic]
) -> dict[int, Element]:
    """The elements of slice k that other slices do not share, by tag."""
    rows, columns = pixels.shape
    is_signed = bool(np.issubdtype(pixels.dtype, np.signedinteger))
    bits = 16 if is_signed else 12
    spacing = grid.spacing_mm
    position, planes = position_of_slice(grid, k), orientation_of_planes(grid)
    return {
        0x00080018: ("UI", text(instance_uid)),
        0x00180050: ("DS", text(decimal(round(spacing[0], 4)))),
        0x00200013: ("IS", text(number)),
        0x00200032: ("DS", text(*(decimal(x) for x in position))),
        0x00200037: ("DS", text(*(decimal(x) for x in planes))),
        0x00280010: ("US", struct.pack("<H", rows)),
        0x00280011: ("US", struct.pack("<H", columns)),
        0x00280030: ("DS", text(decimal(round(spacing[1], 6)), decimal(round(spacing[2], 6)))),
        0x00280101: ("US", struct.pack("<H", bits)),
        0x00280102: ("US", struct.pack("<H", bits - 1)),
        0x00280103: ("US", struct.pack("<H", int(is_signed))),
    }


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    text = f"{value:.8f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _describe(header: Dataset, site: Site, person: Person, facts: SeriesFacts) -> None:
    header.SpecificCharacterSet = "ISO_IR 192"
    header.Modality, header.Manufacturer = facts.modality, site.manufacturer
    header.ManufacturerModelName, header.SoftwareVersions = site.model, "VA1"
    header.StudyID, header.SeriesNumber, header.AcquisitionNumber = "1", facts.number, 1
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = person.study_date
    header.StudyTime = header.SeriesTime = header.AcquisitionTime = header.ContentTime = person.study_time
    header.AccessionNumber, header.ReferringPhysicianName = person.accession, person.physician
    header.PatientBirthDate, header.PatientSex = person.birth_date, person.sex
    header.PatientAge = f"{person.age_years:03d}Y"
    header.StudyDescription = "C-SPINE" if facts.modality == "CT" else "L-SPINE"
    header.SeriesDescription = facts.description
    header.PositionReferenceIndicator, header.PatientPosition = "", "HFS"
    header.ImageType = (
        ["ORIGINAL", "PRIMARY", "AXIAL"] if facts.modality == "CT" else ["ORIGINAL", "PRIMARY", "M", "SE"]
    )
    if facts.modality == "CT":
        header.KVP, header.ConvolutionKernel, header.BodyPartExamined = "120", site.kernel, "CSPINE"
    else:
        _describe_mr(header, facts.weighting)
    if site.private_creator:
        block = header.private_block(0x0019 if facts.modality == "CT" else 0x0029, site.private_creator, create=True)
        block.add_new(0x08, "LO", "PHANTOM PROTOCOL")
        block.add_new(0x09, "OB", b"\x00\x01\x02\x03")


def _describe_mr(header: Dataset, weighting: str) -> None:
    echo, repetition = {"T1": ("11", "560"), "T2": ("98", "3600"), "STIR": ("42", "4100")}[weighting]
    header.ScanningSequence, header.SequenceVariant = ("IR" if weighting == "STIR" else "SE"), "SK"
    header.ScanOptions, header.MRAcquisitionType, header.BodyPartExamined = "", "2D", "LSPINE"
    header.EchoTime, header.RepetitionTime, header.EchoTrainLength = echo, repetition, 1
    header.MagneticFieldStrength = "1.5"
    if weighting == "STIR":
        header.InversionTime = "160"
