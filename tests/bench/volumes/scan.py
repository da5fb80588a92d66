"""``python -m tests.bench.volumes.scan``: values of headers of 139 elements per second, beside dicomsdl and pydicom.

Warm: CPU time in one process, best of several, in turn; all read the same files by their listed paths. Cold: wall
time after the files were dropped from the page cache. ``ours, table`` is what ``scan_headers`` does for a folder once
it is listed; ``ours, whole`` is all of ``scan_headers``, listing included; ``rows and bytes`` is what the catalogue
reads, with the bytes of every header for its digest.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from curate.compiled import warm_up
from curate.dicom import FileRef, SourceReader, list_archive, scan_headers
from curate.dicom.header_columns import BATCH_FILES, HeaderBatch
from curate.dicom.headers import read_source_headers
from tests.support.dicom_files import encode, make_dataset

KEYWORDS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID PatientID Modality
    PhotometricInterpretation ImageType ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness
    RescaleIntercept RescaleSlope EchoTime InstanceNumber AcquisitionNumber NumberOfFrames GantryDetectorTilt
    SpacingBetweenSlices SamplesPerPixel Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    PixelPaddingValue Manufacturer SeriesDescription
""".split()  # noqa: SIM905


def make_header(number: int) -> Dataset:
    """A CT slice with the private blocks and sequences that a scanner writes: 139 elements, about 7 KB."""
    dataset = make_dataset(np.zeros((512, 512), np.uint16), BitsStored=12)
    dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.10.999.7.{number}"
    dataset.InstanceNumber, dataset.ImagePositionPatient = number, [-110.5, -110.5, number * 0.625]
    dataset.Manufacturer, dataset.SeriesDescription, dataset.FrameOfReferenceUID = "MAKER", "C-SPINE BONE", "1.2.3.4"
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, name, "20220101")
    for name in ("KVP", "DataCollectionDiameter", "ReconstructionDiameter", "TableHeight", "GantryDetectorTilt"):
        setattr(dataset, name, "120")
    for name in ("Exposure", "ExposureTime", "XRayTubeCurrent", "GeneratorPower", "AcquisitionNumber", "SeriesNumber"):
        setattr(dataset, name, "3")
    for name in ("ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence", "SourceImageSequence"):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "1.2.3.4.5"
        setattr(dataset, name, [item, item])
    block = dataset.private_block(0x0029, "MAKER HEADER", create=True)
    block.add_new(0x10, "OB", bytes(range(256)) * 8)
    block.add_new(0x20, "OB", bytes(range(256)) * 12)
    block = dataset.private_block(0x0019, "MAKER COADING", create=True)
    for element in range(0x10, 0x10 + 139 - len(dataset) - 3):
        block.add_new(element, "DS", f"{element * 1.2345:.6f}")
    return dataset


def make_folder(folder: Path, files: int) -> None:
    """``files`` slices of one series."""
    for number in range(files):
        (folder / f"{number:05d}.dcm").write_bytes(encode(make_header(number)))


def tools(folder: Path, refs: Sequence[FileRef]) -> dict[str, Callable[[], Any]]:
    """What is measured, by name; dicomsdl is named and left out if it is missing."""
    paths = [str(folder / ref.member) for ref in refs]
    buffers = HeaderBatch()

    def table() -> None:
        for first in range(0, len(refs), BATCH_FILES):
            batch = refs[first : first + BATCH_FILES]
            assert len(buffers.read(batch)) == len(batch)
            buffers.table(batch)

    def rows() -> None:
        with SourceReader() as reader:
            assert sum(len(header) > 0 for _, header in read_source_headers(reader, refs)) == len(refs)

    def with_pydicom() -> None:
        for path in paths[: len(paths) // 4]:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            [dataset.get(name) for name in KEYWORDS]

    found: dict[str, Callable[[], Any]] = {"ours, table": table, "ours, rows and bytes": rows}
    found["ours, whole"] = lambda: scan_headers([folder], threads=1)
    if importlib.util.find_spec("dicomsdl"):
        dicomsdl = importlib.import_module("dicomsdl")

        def with_dicomsdl() -> None:
            for path in paths:
                dataset = dicomsdl.open(path, load_until=0x7FE00000)
                [dataset[name] for name in KEYWORDS]

        found["dicomsdl"] = with_dicomsdl
    else:
        print("dicomsdl is not installed: left out")
    found["pydicom"] = with_pydicom
    return found


def evict(folder: Path) -> None:
    """Drop the files from the page cache."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder, options.files)
        refs = [found for found in list_archive(folder) if isinstance(found, FileRef)]
        measured = tools(folder, refs)
        warm: dict[str, float] = dict.fromkeys(measured, 0.0)
        cold: dict[str, float] = dict.fromkeys(measured, 0.0)
        for _ in range(options.rounds):
            for tool, scan in measured.items():
                files = len(refs) // (4 if tool == "pydicom" else 1)
                started = time.process_time()
                scan()
                warm[tool] = max(warm[tool], files / (time.process_time() - started))
        for _ in range(2):
            for tool, scan in measured.items():
                files = len(refs) // (4 if tool == "pydicom" else 1)
                evict(folder)
                started = time.perf_counter()
                scan()
                cold[tool] = max(cold[tool], files / (time.perf_counter() - started))
        peer = "dicomsdl" if "dicomsdl" in warm else "pydicom"
        print(f"{'files/s':24s}{'warm':>10s}{'of ' + peer:>14s}{'cold':>10s}{'of ' + peer:>14s}")
        for tool in measured:
            ratios = warm[tool] / warm[peer], cold[tool] / cold[peer]
            print(f"{tool:24s}{warm[tool]:10,.0f}{ratios[0]:13.2f}x{cold[tool]:10,.0f}{ratios[1]:13.2f}x")


if __name__ == "__main__":
    main()
