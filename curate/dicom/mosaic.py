"""The slices of a Siemens MR mosaic: one image tiled from a square number of slices, each tile with its own place.

PS3.3 knows no such object. ImagePositionPatient is that of an image as large as the whole mosaic about the centre of
the first slice, so the tile's own corner lies half of the difference of their sizes further along both directions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

_TILES = (0x0019, 0x0A, "SIEMENS MR HEADER")
_CSA = (0x0029, 0x10, "SIEMENS CSA HEADER")
_MOST_TILES = 4096
_MOST_ELEMENTS, _MOST_ITEMS = 1024, 1024  # of a CSA header: far above what scanners write
_PARALLEL = 0.99


def read_tiles(dataset: Dataset) -> list[dict[str, object]]:
    """The tiles of a mosaic as frames, as ``curate.dicom.functional_groups.read_frames`` gives them.

    A mosaic that does not say how many tiles it has, or where they lie, gives a single frame without geometry.
    """
    nothing = [_frame(0, None, dataset, None)]
    csa = _read_csa(_private(dataset, _CSA))
    count = _whole(_private(dataset, _TILES)) or _whole(next(iter(csa.get("NumberOfImagesInMosaic", ())), None))
    rows, columns = _whole(dataset.get("Rows")), _whole(dataset.get("Columns"))
    if not count or not 0 < count <= _MOST_TILES or not rows or not columns:
        return nothing
    side = math.isqrt(count - 1) + 1
    if rows % side or columns % side:
        return nothing
    height, width = rows // side, columns // side
    corner, step = _place(dataset, csa, count, (rows - height, columns - width))
    if corner is None:
        return nothing
    return [
        _frame(n, corner + n * step, dataset, [n // side * height, n % side * width, height, width])
        for n in range(count)
    ]


def _place(
    dataset: Dataset, csa: dict[str, list[str]], count: int, surplus: tuple[int, int]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """(3,) position of the first tile, LPS mm, and the step to the next; ``surplus``: (rows, columns) beyond a tile."""
    position, orientation = _floats(dataset, "ImagePositionPatient", 3), _floats(dataset, "ImageOrientationPatient", 6)
    between, apart = _floats(dataset, "PixelSpacing", 2), _floats(dataset, "SpacingBetweenSlices", 1)
    zero = np.zeros(3)
    if position is None or orientation is None or between is None or (apart is None and count > 1):
        return None, zero
    along_row, along_column = orientation[:3], orientation[3:]
    corner = position + surplus[1] / 2 * between[1] * along_row + surplus[0] / 2 * between[0] * along_column
    normal = np.cross(along_row, along_column)
    written = [_decimal(text) for text in csa.get("SliceNormalVector", [])[:3]]
    if len(written) == 3 and None not in written:
        own = np.array(written, np.float64)
        if abs(own @ normal) < _PARALLEL * np.linalg.norm(own) * np.linalg.norm(normal):
            return None, zero  # the two contradict each other
        normal = normal if own @ normal > 0 else -normal  # its direction is the order of the tiles
    return corner, (apart[0] if apart is not None else 0.0) * normal


def _frame(
    frame: int, position: NDArray[np.float64] | None, dataset: Dataset, tile: list[int] | None
) -> dict[str, object]:
    def values(keyword: str, count: int) -> list[float] | None:
        found = _floats(dataset, keyword, count)
        return None if found is None else found.tolist()

    def value(keyword: str) -> float | None:
        found = values(keyword, 1)
        return found[0] if found else None

    return {
        "frame": frame,
        "image_position_mm": None if position is None else position.tolist(),
        "image_orientation": values("ImageOrientationPatient", 6),
        "pixel_spacing_mm": values("PixelSpacing", 2),
        "slice_thickness_mm": value("SliceThickness"),
        "rescale_slope": value("RescaleSlope"),
        "rescale_intercept": value("RescaleIntercept"),
        "instance_number": frame + 1,
        "kind": {},
        "tile": tile,
    }


def _floats(dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    value = dataset.get(keyword)
    if value is None or value == "" or isinstance(value, bytes | Dataset):
        return None
    try:
        found = np.atleast_1d(np.array(value, np.float64))
    except (TypeError, ValueError):  # a decimal string that is no number
        return None
    return found if found.shape == (count,) and bool(np.isfinite(found).all()) else None


def _private(dataset: Dataset, place: tuple[int, int, str]) -> object:
    group, element, creator = place
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        return None


def _whole(value: object) -> int | None:
    if isinstance(value, bytes):  # a private element of an implicit file is UN: binary, or decimal text
        if len(value) == 2 and not value.strip(b" \0").isdigit():
            return int.from_bytes(value, "little")
        value = value.decode("ascii", "replace")
    found = None if value is None else _decimal(str(value))
    return int(found) if found is not None and found == int(found) else None


def _decimal(text: str) -> float | None:
    try:
        found = float(text.strip("\0 "))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _read_csa(value: object) -> dict[str, list[str]]:
    """Name -> texts of a CSA header, both versions; what breaks its rules ends it."""
    if not isinstance(value, bytes):
        return {}
    found: dict[str, list[str]] = {}
    try:
        for name, texts in _csa_elements(value):
            found.setdefault(name, texts)
    except struct.error:
        pass  # cut short: the elements before are whole
    return found


def _csa_elements(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """Elements of a CSA header: a name of 64 bytes, counts, then items whose first numbers say their length."""
    is_second = content[:4] == b"SV10"
    at = 8 if is_second else 0
    (count,) = struct.unpack_from("<L", content, at)
    at, base = at + 8, 0
    for n in range(min(count, _MOST_ELEMENTS)):
        name, _, _, _, items, _ = struct.unpack_from("<64sl4slll", content, at)
        at += 84
        if n == 0:
            base = items  # the first version counts lengths from here
        texts = []
        for _ in range(min(max(items, 0), _MOST_ITEMS)):
            lengths = struct.unpack_from("<4l", content, at)
            at += 16
            length = lengths[1] if is_second else lengths[0] - base
            if not 0 <= length <= len(content) - at:
                return
            text = content[at : at + length].split(b"\0")[0].decode("latin-1").strip()
            texts += [text] if text else []
            at += (length + 3) // 4 * 4
        yield name.split(b"\0")[0].decode("latin-1"), texts
