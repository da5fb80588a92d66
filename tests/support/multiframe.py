"""Headers of enhanced objects and Siemens mosaics, built by pydicom on planes that are known."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.support.dicom_files import make_dataset

ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"


def oblique() -> NDArray[np.float64]:
    """(3, 3) rotation about three axes: the columns are the row direction, the column direction and the normal."""
    turns, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    turned: NDArray[np.float64] = turns * np.sign(np.linalg.det(turns))
    return turned


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def groups(**items: Dataset) -> Dataset:
    return item(**{f"{name}Sequence": Sequence([value]) for name, value in items.items()})


def plane(position: Any) -> Dataset:
    return item(ImagePositionPatient=[float(f"{value:.6f}") for value in position])


def measures() -> Dataset:
    return item(PixelSpacing=[0.7, 0.6], SliceThickness=2.5)


def enhanced(shared: Dataset, frames: list[Dataset], sop_class: str = ENHANCED_CT, **attributes: Any) -> Dataset:
    """An object of functional groups alone: nothing of the geometry stands at its top."""
    pixels = np.zeros((4, 5), np.uint16)
    modality = "CT" if ".1.2." in sop_class else "MR"
    nothing = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"))
    gone = {"RescaleSlope": None, "RescaleIntercept": None} if modality == "CT" else {}
    dataset = make_dataset(pixels, modality=modality, **nothing, **gone)
    dataset.SOPClassUID, dataset.NumberOfFrames = sop_class, len(frames)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.PixelData = bytes(40 * len(frames))
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def ct(order: list[int], turned: NDArray[np.float64]) -> Dataset:
    frames = [
        groups(
            PlanePosition=plane([-30, 20, 5] + 2.5 * k * turned[:, 2]),
            PixelValueTransformation=item(RescaleSlope=1 + k / 8, RescaleIntercept=-1000 - k),
            FrameContent=item(StackID="1", InStackPositionNumber=len(order) - k),
        )
        for k in order
    ]
    directions = [float(f"{value:.9f}") for value in (*turned[:, 0], *turned[:, 1])]
    shared = groups(PlaneOrientation=item(ImageOrientationPatient=directions), PixelMeasures=measures())
    return enhanced(shared, frames)


def csa(version: int, elements: dict[str, list[str]]) -> bytes:
    """A CSA header as scanners write it: counts, then items, of which each has four lengths."""
    content = b"SV10\4\3\2\1" if version == 2 else b""
    content += struct.pack("<LL", len(elements), 77)
    base = len(next(iter(elements.values())))
    for name, texts in elements.items():
        content += struct.pack("<64sl4slll", name.encode(), len(texts), b"FD", 3, len(texts), 77)
        for text in texts:
            raw = text.encode() + b"\0"
            lengths = (len(raw),) * 4 if version == 2 else (len(raw) + base, len(raw), 77, len(raw))
            content += struct.pack("<4l", *lengths) + raw + bytes(-len(raw) % 4)
    return content


def mosaic(turned: NDArray[np.float64], count: int, **changes: Any) -> Dataset:
    """``count`` tiles of 4 x 5 pixels; the corner of slice n lies at (-30, 20, 5) + 3 n along the third direction."""
    side = int(np.ceil(np.sqrt(count)))
    pixels = np.zeros((4 * side, 5 * side), np.uint16)
    first = np.array([-30, 20, 5])
    # The header's position puts the middle of the whole mosaic where the middle of the first slice lies.
    middle = first + 2 * 0.7 * turned[:, 1] + 2.5 * 0.6 * turned[:, 0]
    position = middle - 2 * side * 0.7 * turned[:, 1] - 2.5 * side * 0.6 * turned[:, 0]
    directions = [*turned[:, 0], *turned[:, 1]]
    dataset = make_dataset(
        pixels,
        modality="MR",
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        ImagePositionPatient=[f"{value:.8f}" for value in position],
        ImageOrientationPatient=[f"{value:.8f}" for value in directions],
        PixelSpacing=[0.7, 0.6],
        SpacingBetweenSlices=3,
    )
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", changes.pop("tiles", count))
    if "csa" in changes:
        dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", changes.pop("csa"))
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def normal_of(direction: NDArray[np.float64], version: int = 2) -> bytes:
    return csa(version, {"Other": ["1", "2"], "SliceNormalVector": [f"{value:.8f}" for value in direction]})
