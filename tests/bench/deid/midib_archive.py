"""A MIDI-B style archive: phantoms and pydicom's test files with invented people planted in them, and the answers.

Every patient has two studies; every study one object of each base: CT and MR in all encodings, enhanced MR, US, CR,
SEG, RTSTRUCT. Equal arguments give equal bytes and equal answers.
"""

from __future__ import annotations

import copy
import hashlib
import random
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from curate.phantoms import make_phantoms
from tests.bench.deid.hostile_pixels import COMPUTED_RADIOGRAPHY, ULTRASOUND, ULTRASOUND_FRAMES
from tests.bench.deid.letters import burn
from tests.bench.deid.midib_answers import Answer, find, uids_of
from tests.bench.deid.midib_people import DESCRIPTIONS, Person, fill, make_person
from tests.support.deid_files import item, make_ct

_TEST_FILES = (
    "CT_small.dcm",
    "693_J2KI.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "examples_overlay.dcm",
    "examples_rgb_color.dcm",
    "liver_1frame.dcm",
)
_TEXTS = (
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageComments",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
)
_DATES = (
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "InstanceCreationDate",
    "PerformedProcedureStepStartDate",
    "DateOfLastCalibration",
)
_REMOVED = (
    "PatientBirthName",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "ReferringPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
    "PerformingPhysicianName",
    "MedicalRecordLocator",
)
_RETAINED = [
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "ScanningSequence",
    "SequenceVariant",
    "SliceThickness",
    "KVP",
    "RepetitionTime",
    "EchoTime",
    "MagneticFieldStrength",
    "EchoTrainLength",
    "FlipAngle",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "InstanceNumber",
    "SeriesNumber",
    "PatientPosition",
    "RescaleIntercept",
    "RescaleSlope",
    "WindowCenter",
    "WindowWidth",
    "ConvolutionKernel",
    "GantryDetectorTilt",
    "XRayTubeCurrent",
    "ExposureTime",
    "SpacingBetweenSlices",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ImageType",
    "AcquisitionNumber",
    "PlanarConfiguration",
    "NumberOfFrames",
    "SoftwareVersions",
    "DataCollectionDiameter",
    "ReconstructionDiameter",
    "ImagingFrequency",
    "PixelBandwidth",
    "NumberOfAverages",
    "SAR",
    "SegmentationType",
]
_CHARACTERISTICS = ("PatientSex", "PatientAge", "PatientWeight", "PatientSize")
_PRIVATE = (
    (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "800"),
    (0x0019, "SIEMENS MR HEADER", 0x0D, "CS", "DIRECTIONAL"),
    (0x2005, "Philips MR Imaging DD 001", 0x0D, "FL", 12.5),
    (0x0019, "GEMS_ACQU_01", 0x23, "DS", "-31.5"),
)
_UIDS = ("0020,000D", "0020,000E", "0008,0018", "0020,0052", "0008,3010")
_REFERENCES = ("0008,1110", "0008,2112")  # X/Z and X/Z/U*: may be left out where the type allows it, PS3.15 E.1.1
_REAL_TEXT = {"examples_rgb_color.dcm": "0,10,28,5,92,"}
"""Boxes of test files whose pixels show a hospital's name; what is bright there is the text."""

_ROOT = "1.2.826.0.1.3680043.9.6666"


@dataclass(frozen=True, slots=True)
class Source:
    """One object of the archive."""

    number: int
    patient: int
    site: str
    base: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Archive:
    """All objects and all answers."""

    sources: tuple[Source, ...]
    answers: tuple[Answer, ...]


def make_archive(*, patients: int, seed: int = 0, pixels: bool = True) -> Archive:
    """Build it. ``pixels``: also objects with burned-in text, which need text detection and take most of the time."""
    sources: list[Source] = []
    answers: list[Answer] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # test files break rules of their own
        for number in range(patients):
            person = make_person(number, seed)
            for study in (0, 1):
                for base, dataset in _bases(pixels=pixels):
                    plan = _Plan(len(sources), person, study, seed)
                    raw = plan.plant(base, copy.deepcopy(dataset))
                    sources.append(Source(plan.number, number, person.site, base, raw))
                    answers.extend(plan.answers)
    return Archive(tuple(sources), tuple(answers))


class _Plan:
    """Plants one object and writes its answers down."""

    def __init__(self, number: int, person: Person, study: int, seed: int) -> None:
        self.number, self.person, self.study = number, person, study
        self.base = ""
        self.answers: list[Answer] = []
        self._choose = random.Random(seed * 1_000_003 + number)
        self._accession = f"ACC{person.number:03d}{study}{self._choose.randrange(10**5, 10**6)}"
        self._day = person.first_study + timedelta(days=173 * study)

    def plant(self, base: str, dataset: Dataset) -> bytes:
        """The file. Answers are taken from what was written, read back."""
        self.base = base
        self._identity(dataset)
        self._dates(dataset)
        texts = self._texts(dataset)
        self._uids(dataset, base)
        private = self._private(dataset)
        box = _burn(dataset, f"{self.person.given.upper()} {self.person.mrn}") if base.startswith("burned") else None
        raw = _write(dataset)
        self._answer(pydicom.dcmread(BytesIO(raw)), texts, private, box)
        return raw

    def _identity(self, dataset: Dataset) -> None:
        person = self.person
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = person.name
        dataset.PatientID = self._choose.choice((person.mrn, person.mrn, f"{person.mrn} ", person.mrn.lower()))
        dataset.PatientBirthDate = f"{person.birth:%Y%m%d}"
        dataset.PatientSex, dataset.PatientAge = person.sex, person.age
        dataset.PatientWeight, dataset.PatientSize = "71.5", "1.74"
        dataset.PatientBirthName = f"{person.given}ova"
        dataset.OtherPatientNames = f"{person.family}^{person.given}^J"
        dataset.PatientAddress, dataset.PatientTelephoneNumbers = person.address, person.phone
        dataset.ReferringPhysicianName = dataset.PerformingPhysicianName = person.doctor
        dataset.OperatorsName = "Ferncastle^Odd"
        dataset.InstitutionName, dataset.InstitutionAddress = person.hospital, person.address
        dataset.MedicalRecordLocator = f"shelf {person.mrn}"
        dataset.AccessionNumber = self._accession
        dataset.DeviceSerialNumber = "SN-40917"
        dataset.OtherPatientIDsSequence = Sequence([item(PatientID=f"OLD{person.mrn}", TypeOfPatientID="TEXT")])

    def _dates(self, dataset: Dataset) -> None:
        for keyword in _DATES:
            setattr(dataset, keyword, f"{self._day:%Y%m%d}")
        dataset.DateOfLastCalibration = f"{self._day - timedelta(days=30):%Y%m%d}"
        dataset.StudyTime, dataset.ContentTime = "235950.5", "000012"
        dataset.ContentDate = f"{self._day + timedelta(days=1):%Y%m%d}"
        dataset.AcquisitionDateTime = f"{self._day:%Y%m%d}235955.250000"

    def _texts(self, dataset: Dataset) -> list[tuple[str, str]]:
        """Path and template of each description."""
        planted = []
        for keyword in _TEXTS:
            template = self._choose.choice(DESCRIPTIONS)
            setattr(dataset, keyword, self._fill(template[0])[:64])
            planted.append((_path(keyword), template[0]))
        template = self._choose.choice(DESCRIPTIONS)
        step = item(
            ScheduledProcedureStepDescription=self._fill(template[0])[:64],
            RequestedProcedureID=self._accession,
            AccessionNumber=self._accession,
            ScheduledProcedureStepID="77",
        )
        dataset.RequestAttributesSequence = Sequence([step])
        planted.append(("0040,0275[0]/0040,0007", template[0]))
        return planted

    def _fill(self, template: str) -> str:
        return fill(template, self.person, accession=self._accession, study=self._day)

    def _uids(self, dataset: Dataset, base: str) -> None:
        patient = f"{_ROOT}.{self.person.number}.{self.study}"
        dataset.StudyInstanceUID = patient
        dataset.SeriesInstanceUID = f"{patient}.{sum(map(ord, base))}"
        dataset.SOPInstanceUID = f"{patient}.9.{self.number}"
        dataset.FrameOfReferenceUID = f"{patient}.7"
        dataset.IrradiationEventUID = f"{patient}.8.{self.number // 4}"
        dataset.ReferencedStudySequence = Sequence(
            [item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=patient)]
        )
        dataset.SourceImageSequence = Sequence(
            [
                item(
                    ReferencedSOPClassUID=CTImageStorage,
                    ReferencedSOPInstanceUID=f"{patient}.9.{max(self.number - 1, 0)}",
                )
            ]
        )

    def _private(self, dataset: Dataset) -> list[tuple[str, bool]]:
        """Path of each private element, and whether the standard calls it safe."""
        group, creator, number, vr, value = self._choose.choice(_PRIVATE)
        _block(dataset, group, creator).add_new(number, vr, value)
        _block(dataset, 0x0029, "BRACKENRIDGE RIS").add_new(0x02, "LO", f"booked by {self.person.given}")
        return [(f"{group:04X},{creator},{number:02X}", True), ("0029,BRACKENRIDGE RIS,02", False)]

    def _answer(
        self, planted: Dataset, texts: list[tuple[str, str]], private: list[tuple[str, bool]], box: str | None
    ) -> None:
        for keyword in _RETAINED:
            if keyword in planted and str(planted[keyword].value):
                self._add("tag_retained", "rule", _path(keyword), "")
        for keyword in (
            "SOPClassUID",
            "Modality",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "SOPInstanceUID",
            "PatientID",
            "PatientName",
            "StudyDate",
        ):
            self._add("text_notnull", "rule", _path(keyword), "")
        for keyword in ("Manufacturer", "ManufacturerModelName", "Modality", "DeviceSerialNumber", *_CHARACTERISTICS):
            value = str(planted.get(keyword, ""))
            if value and not (keyword == "PatientAge" and value > "090Y"):
                self._add("text_retained", "rule", _path(keyword), value)
        if self.person.age > "090Y":
            self._add("text_removed", "rule", _path("PatientAge"), self.person.age)
        for keyword in _REMOVED:
            self._add("text_removed", "rule", _path(keyword), str(planted[keyword].value))
        for path in (
            _path("PatientName"),
            _path("PatientID"),
            _path("PatientBirthDate"),
            _path("AccessionNumber"),
            "0010,1002[0]/0010,0020",
            "0040,0275[0]/0008,0050",
        ):
            self._add("text_removed", "rule", path, str(find(planted, path).value))  # type: ignore[union-attr]
        self._answer_texts(planted, texts, private)
        for keyword in (*_DATES, "AcquisitionDateTime"):
            self._add("date_shifted", "dates", _path(keyword), str(planted[keyword].value))
        for path, old in uids_of(planted):
            first = path.split("/")[0][:9]
            if first in _UIDS or first in _REFERENCES:
                cause = "uids" if first in _UIDS else "references"
                self._add("uid_changed", cause, path, old)
                self._add("uid_consistent", cause, path, old)
        self._add("patid_consistent", "patient", _path("PatientID"), f"{self.person.site}/{self.person.mrn}")
        self._answer_pixels(planted, box)

    def _answer_texts(self, planted: Dataset, texts: list[tuple[str, str]], private: list[tuple[str, bool]]) -> None:
        rows = {template: (gone, kept) for template, gone, kept in DESCRIPTIONS}
        for path, template in texts:
            written = str(find(planted, path).value)  # type: ignore[union-attr]
            gone, kept = rows[template]
            for kind, words in (("text_removed", gone), ("text_retained", kept)):
                for word in words:
                    if self._fill(word) in written:
                        self._add(kind, "text", path, self._fill(word))
        for path, safe in private:
            if safe:
                self._add("text_retained", "private", path, str(find(planted, path).value))  # type: ignore[union-attr]
            else:
                self._add("text_removed", "private", path, self.person.given)

    def _answer_pixels(self, planted: Dataset, box: str | None) -> None:
        if box is not None:
            self._add("pixels_hidden", "pixels", _path("PixelData"), box)
        elif self.base in _REAL_TEXT:
            self._add("pixels_hidden", "pixels", _path("PixelData"), _REAL_TEXT[self.base])
        elif "PixelData" in planted:
            self._add("pixels_retained", "pixels", _path("PixelData"), hashlib.sha256(planted.PixelData).hexdigest())

    def _add(self, kind: str, cause: str, path: str, expected: str) -> None:
        self.answers.append(Answer(self.number, kind, cause, path, expected))


def _path(keyword: str) -> str:
    tag = pydicom.tag.Tag(keyword)
    return f"{tag.group:04X},{tag.element:04X}"


def _block(dataset: Dataset, group: int, creator: str) -> pydicom.dataset.PrivateBlock:
    return dataset.private_block(group, creator, create=True)


@cache
def _bases(*, pixels: bool) -> tuple[tuple[str, Dataset], ...]:
    """Name and data set of what people are planted in."""
    return (*_phantoms(), *_test_files(), *_made(), *(_pages() if pixels else ()))


def _phantoms() -> Iterator[tuple[str, Dataset]]:
    with tempfile.TemporaryDirectory() as folder:
        for task in ("cervical", "lumbar"):
            make_phantoms(Path(folder, task), task=task, sites=1, studies=1, seed=3, matrix=64)
            paths = sorted(Path(folder, task).rglob("*.dcm"))
            for at in (len(paths) // 3, 2 * len(paths) // 3):
                yield f"phantom {task} {at}", pydicom.dcmread(BytesIO(paths[at].read_bytes()))


def _test_files() -> Iterator[tuple[str, Dataset]]:
    for name in _TEST_FILES:
        path = get_testdata_file(name, download=False)
        dataset = pydicom.dcmread(str(path))
        dataset.remove_private_tags()  # theirs are not ours to judge
        for tag in [*dataset.group_dataset(0x6000).keys(), 0xFFFCFFFC]:
            dataset.pop(tag, None)
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.filereader.read_file_meta_info(str(path)).TransferSyntaxUID
        yield name, dataset


def _made() -> Iterator[tuple[str, Dataset]]:
    enhanced = make_ct(
        Modality="MR",
        NumberOfFrames=2,
        PixelData=np.arange(48, dtype="<u2").tobytes(),
        PerFrameFunctionalGroupsSequence=Sequence(
            [item(FrameContentSequence=Sequence([item(FrameAcquisitionNumber=n)])) for n in (1, 2)]
        ),
    )
    enhanced.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    structures = make_ct(
        Modality="RTSTRUCT",
        PixelData=None,
        Rows=None,
        Columns=None,
        StructureSetLabel="SET",
        StructureSetDate="",
        StructureSetTime="",
        StructureSetROISequence=Sequence([item(ROINumber=1, ROIName="cord")]),
    )
    structures.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    for name, dataset in (("enhanced MR", enhanced), ("structure set", structures)):
        if "PixelData" in dataset:
            dataset["PixelData"].VR = "OW"
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        del dataset[0x00290010], dataset[0x00291010], dataset[0x00291011]
        yield name, dataset


def _pages() -> Iterator[tuple[str, Dataset]]:
    """Grounds for burned-in text, all flagged as such."""
    for name, sop_class, modality, photometric, planar, frames in (
        ("CR", COMPUTED_RADIOGRAPHY, "CR", "MONOCHROME1", 0, 1),
        ("US by pixel", ULTRASOUND, "US", "RGB", 0, 1),
        ("US by plane", ULTRASOUND, "US", "RGB", 1, 1),
        ("US frames", ULTRASOUND_FRAMES, "US", "RGB", 0, 2),
        ("MR", MRImageStorage, "MR", "MONOCHROME2", 0, 1),
    ):
        colour = photometric == "RGB"
        dataset = make_ct(
            Modality=modality,
            PhotometricInterpretation=photometric,
            Rows=192,
            Columns=384,
            NumberOfFrames=frames,
            BitsAllocated=8 if colour else 16,
            BitsStored=8 if colour else 12,
            HighBit=7 if colour else 11,
            SamplesPerPixel=3 if colour else 1,
            BurnedInAnnotation="YES",
        )
        if colour:
            dataset.PlanarConfiguration = planar
        dataset.SOPClassUID = sop_class
        del dataset[0x00290010], dataset[0x00291010], dataset[0x00291011]
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        yield f"burned {name}", dataset


def _burn(dataset: Dataset, text: str) -> str:
    """Draw the text into the last frame; frame, rows, columns and the text, as the answer's words."""
    frames, colour = int(dataset.get("NumberOfFrames", 1)), dataset.SamplesPerPixel == 3
    pixels: NDArray[np.generic]
    noise = np.random.default_rng(9).integers(0, 12, (frames, dataset.Rows, dataset.Columns))
    if colour:
        pixels = np.repeat((noise + 10).astype("u1")[..., None], 3, axis=-1)
    else:
        pixels = (noise * 16 + (3000 if dataset.PhotometricInterpretation == "MONOCHROME1" else 200)).astype("<u2")
    value = 250 if colour else (20 if dataset.PhotometricInterpretation == "MONOCHROME1" else 4000)
    box, _ = burn(pixels, text, frame=frames - 1, row=14, column=16, value=value, size=22)
    dataset.PixelData = (np.moveaxis(pixels, -1, 1) if dataset.get("PlanarConfiguration") == 1 else pixels).tobytes()
    dataset["PixelData"].VR = "OB" if colour else "OW"
    return f"{box.frame},{box.rows[0]},{box.rows[1]},{box.columns[0]},{box.columns[1]},{text}"


def _write(dataset: Dataset) -> bytes:
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = bytes(128)
    fresh = pydicom.dataset.FileDataset(
        "",
        dataset,
        file_meta=dataset.file_meta,
        preamble=dataset.preamble,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    buffer = BytesIO()
    fresh.save_as(
        buffer, enforce_file_format=True, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian
    )
    return buffer.getvalue()


def day_of(value: str) -> date | None:
    """The day of a DA or DT value; None when it is none."""
    digits = value[:8]
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
