"""DICOM files for tests, built with pydicom's writer and GDCM's encoders: not with the code under test."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
STUDY_UID = "1.2.826.0.1.3680043.10.999.1"
SERIES_UID = "1.2.826.0.1.3680043.10.999.1.1"


def make_dataset(pixels: NDArray[Any], *, modality: str = "CT", **attributes: Any) -> Dataset:
    """An axial slice of 0.5 x 0.4 mm pixels; ``attributes`` override by keyword, None deletes."""
    dataset = Dataset()
    dataset.SOPClassUID = CT_IMAGE if modality == "CT" else MR_IMAGE
    dataset.SOPInstanceUID = f"{SERIES_UID}.1"
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = SERIES_UID
    dataset.Modality = modality
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID = "patient-1"
    dataset.InstanceNumber = 1
    dataset.ImagePositionPatient = [-10, -20, 0]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.5, 0.4]
    dataset.SliceThickness = 2
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    if "BitsStored" in attributes:
        dataset.HighBit = attributes["BitsStored"] - 1
    dataset.add_new(0x7FE00010, "OW" if pixels.dtype.itemsize > 1 else "OB", pixels.tobytes())
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def encode(dataset: Dataset, syntax: str = ExplicitVRLittleEndian, *, bare: bool = False) -> bytes:
    """The bytes of a file; ``bare``: no preamble and no file meta."""
    stream = BytesIO()
    if bare:
        dataset.save_as(
            stream,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            enforce_file_format=False,
        )
        return stream.getvalue()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CT_IMAGE)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_file(pixels: NDArray[Any], *, syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    """One native file."""
    return encode(make_dataset(pixels, **attributes), syntax)


def compress(native: bytes, syntax: str, folder: Path) -> bytes:
    """The same file in another transfer syntax, encoded by GDCM."""
    source, target = folder / "native.dcm", folder / "compressed.dcm"
    source.write_bytes(native)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change(), "GDCM cannot encode this"
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target.read_bytes()


def write_stack(folder: Path, volume: NDArray[Any], positions: list[Any], **attributes: Any) -> list[Path]:
    """One file a slice, named against their order in space, instance numbers counting along the stack."""
    folder.mkdir(parents=True, exist_ok=True)
    series = attributes.get("SeriesInstanceUID", SERIES_UID)
    paths = []
    for k, (pixels, position) in enumerate(zip(volume, positions, strict=True)):
        own = {"InstanceNumber": k + 1, "SOPInstanceUID": f"{series}.{k + 1}", **attributes}
        path = folder / f"{len(positions) - k:04d}.dcm"
        path.write_bytes(make_file(np.ascontiguousarray(pixels), ImagePositionPatient=list(position), **own))
        paths.append(path)
    return paths
