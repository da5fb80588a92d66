"""An analytic patient: a smooth function of place, and DICOM files that show it on any planes.

What a volume must hold at a voxel is the scene at that voxel's place in the patient, worked out from the planes that
were planted and never from our own geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.8.498.77"
FIELD_MM = 40.0  # half of the scene's extent about the origin


def scene(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3) LPS millimetres -> (...) Hounsfield units of -700 to 900, straight over a millimetre to about 1 HU."""
    x, y, z = np.moveaxis(np.asarray(points_mm, float), -1, 0)
    return 100 + 9 * x - 6 * y + 4 * z + 120 * np.sin(x / 17 + y / 23) * np.cos(z / 19)


@dataclass(frozen=True)
class Plane:
    """One image: where it lies, and what its header says beside that."""

    position: Sequence[float]
    row: Sequence[float] = (1.0, 0.0, 0.0)  # direction in which the column index grows
    column: Sequence[float] = (0.0, 1.0, 0.0)
    spacing: tuple[float, float] = (1.0, 1.0)  # between rows, between columns
    shape: tuple[int, int] = (48, 40)
    number: int = 1
    show: Callable[[NDArray[np.float64]], NDArray[np.float64]] = scene
    header: dict[str, object] = field(default_factory=dict)

    def points(self) -> NDArray[np.float64]:
        """(rows, columns, 3) LPS millimetres of the pixel centres."""
        rows, columns = self.shape
        down = np.arange(rows)[:, None, None] * self.spacing[0] * np.asarray(self.column, float)
        across = np.arange(columns)[None, :, None] * self.spacing[1] * np.asarray(self.row, float)
        return np.asarray(self.position, float) + down + across

    def pixels(self) -> NDArray[np.int16]:
        """What a scanner would store, in HU."""
        return np.rint(self.show(self.points())).astype(np.int16)


def moved(plane: Plane, shift_mm: Sequence[float], number: int) -> Plane:
    """The plane elsewhere, under another instance number."""
    return replace(plane, position=tuple(np.add(plane.position, shift_mm)), number=number)


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters."""
    text = repr(round(float(value), 9))
    return text if len(text) <= 16 else f"{float(value):.9g}"[:16]


def make(plane: Plane, key: str, *, series: str = "1", modality: str = "CT") -> Dataset:
    """A single-frame CT (stored = HU + 1024) or MR object of the plane."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    dataset.SOPInstanceUID = f"{ROOT}.{key}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1.1", f"{ROOT}.2.{series}"
    dataset.FrameOfReferenceUID = f"{ROOT}.3.1"
    dataset.PatientID, dataset.Modality, dataset.InstanceNumber = "phantom", modality, str(plane.number)
    dataset.ImagePositionPatient = [decimal(value) for value in plane.position]
    dataset.ImageOrientationPatient = [decimal(value) for value in (*plane.row, *plane.column)]
    dataset.PixelSpacing = [decimal(value) for value in plane.spacing]
    dataset.SliceThickness = "2"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = plane.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    dataset.PixelData = (plane.pixels() + 1024).astype("<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    for name, value in plane.header.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    return dataset


def encode(dataset: Dataset) -> bytes:
    """Explicit little endian with meta information."""
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def write(folder: Path, planes: Iterable[Plane], *, series: str = "1", modality: str = "CT") -> Path:
    """One file a plane, named so that their order says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, plane in enumerate(planes):
        key = f"{series}.{n + 1}"
        (folder / f"{(n * 7919) % 104729:06d}-{series}.dcm").write_bytes(
            encode(make(plane, key, series=series, modality=modality))
        )
    return folder


def upright(
    heights: Sequence[float], row: Sequence[float] = (1, 0, 0), column: Sequence[float] = (0, 1, 0), **changes: object
) -> list[Plane]:
    """Planes about the origin at these heights along row x column."""
    row_, column_ = np.asarray(row, float), np.asarray(column, float)
    model = replace(Plane((0, 0, 0), tuple(row_), tuple(column_)), **changes)  # type: ignore[arg-type]
    normal = np.cross(row_, column_)
    half = (model.shape[0] - 1) / 2 * model.spacing[0] * column_ + (model.shape[1] - 1) / 2 * model.spacing[1] * row_
    return [replace(model, position=tuple(height * normal - half), number=n + 1) for n, height in enumerate(heights)]


def error_of(
    array: NDArray[np.integer], affine: NDArray[np.float64], planes: Sequence[Plane], margin: float = 1.0
) -> tuple[float, int]:
    """Largest distance from the scene over the voxels that lie inside the planes' field, and how many those are.

    Inside: between the lowest and highest plane, and ``margin`` pixels within the nearest planes' borders.
    """
    index = np.indices(array.shape).reshape(3, -1).T
    places = index @ affine[:3, :3].T + affine[:3, 3]
    row, column = np.asarray(planes[0].row, float), np.asarray(planes[0].column, float)
    normal = np.cross(row, column)
    origins = np.array([plane.position for plane in planes], float)
    heights = origins @ normal
    order = np.argsort(heights)
    height = places @ normal
    inside = (height >= heights.min() - 1e-6) & (height <= heights.max() + 1e-6)
    above = np.clip(np.searchsorted(heights[order], height), 0, len(order) - 1)
    for nearest in (order[above], order[np.maximum(above - 1, 0)]):
        offset = places - origins[nearest]
        for direction, spacing, count in (
            (row, planes[0].spacing[1], planes[0].shape[1]),
            (column, planes[0].spacing[0], planes[0].shape[0]),
        ):
            pixel = offset @ direction / spacing
            inside &= (pixel >= margin) & (pixel <= count - 1 - margin)
    wrong = np.abs(array.reshape(-1)[inside] - scene(places[inside]))
    return float(wrong.max(initial=0)), int(inside.sum())
