"""Segmentation masks: read from NIfTI into LPS, related to the volume, and summed up as objects.

NIfTI's world is RAS+ (nibabel: +x right, +y anterior); ours is LPS, so the first two rows of the affine change sign.
The affine alone says where a voxel lies: RSNA 2022 stores masks in a sagittal frame while the images are axial.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow as pa
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger as header_log
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from scipy import ndimage

from curate.errors import Rejected, Unavailable
from curate.geometry import Grid
from curate.manifests.schemas import OBJECTS
from curate.reasons import Reason

CERVICAL_MASK_NAMES: Mapping[int, str] = {n: f"C{n}" if n <= 7 else f"T{n - 7}" for n in range(1, 20)}

header_log.disabled = True  # nibabel's checks of headers quote what they find, and headers are not ours to log

MOST_BYTES = 4 * 2**30  # 512 x 512 x 1,000 float64 are 2; a header may claim anything, and gzip may well hold it

_AXES = (2, 1, 0)  # NIfTI is stored with its first axis fastest: reversed, the array is (k, j, i) in C order


def read_mask(path: Path, *, names: Mapping[int, str] | None = None) -> tuple[NDArray[np.uint8], Grid]:
    """(k, j, i) uint8 label map and its own grid, LPS millimetres.

    Raises ``Rejected(MASK_UNREADABLE)`` for a file that is not a 3D NIfTI of whole numbers in 0..255 with an
    orientation (sform or qform), or, when ``names`` is given, for a label value that is not in it; ``Unavailable`` when
    the file cannot be opened.
    """
    try:
        with np.errstate(all="ignore"):
            image = nib.Nifti1Image.from_filename(path, mmap=False)  # a mapped file that shrinks kills the process
        shape = image.shape
        if math.prod(shape) * int(image.header["bitpix"]) // 8 > MOST_BYTES:
            raise _unreadable("larger than any image of a spine")
        if len(shape) < 3 or math.prod(shape[3:]) != 1:
            raise _unreadable(f"expected 3 axes, found {len(shape)}")
        if min(shape) < 1:
            raise _unreadable("an axis without voxels")
        if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
            raise _unreadable("neither sform nor qform: the mask does not say where it lies")
        with np.errstate(all="ignore"):
            values = np.asanyarray(image.dataobj).reshape(shape[:3])
        affine = np.asarray(image.affine, dtype=np.float64)
    except (ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error, ValueError, OverflowError):
        raise _unreadable("not a complete NIfTI file") from None
    except OSError as error:
        if error.errno is None:  # nibabel and gzip: fewer bytes than the header promises, or a broken stream
            raise _unreadable("not a complete NIfTI file") from None
        raise Unavailable("cannot read a mask") from None
    return _whole(values.transpose(_AXES), names), _lps_grid(values.shape, affine)


def mask_objects(
    mask: NDArray[np.uint8],
    grid: Grid,
    names: Mapping[int, str],
    *,
    study_key: str | None = None,
    series_key: str | None = None,
    stack: int | None = None,
) -> list[dict[str, Any]]:
    """OBJECTS rows (JSON-able) of the named labels that are there, in the order of their numbers.

    ``mask``: (k, j, i) on ``grid``, the grid of the volume, so that indices are the volume's. Boxes hold the centres of
    the first and last voxel along each axis. Labels without a name are not objects.
    """
    rows = []
    for label, region in enumerate(ndimage.find_objects(mask), start=1):
        if region is None or label not in names:
            continue
        inside = np.nonzero(mask[region] == label)
        low = np.array([axis.start for axis in region], dtype=np.float64)
        high = np.array([axis.stop - 1 for axis in region], dtype=np.float64)
        centroid = low + [float(axis.mean()) for axis in inside]
        rows.append(
            {
                "study_key": study_key,
                "series_key": series_key,
                "stack": stack,
                "object": names[label],
                "centroid_mm": grid.to_patient(centroid).tolist(),
                "centroid_index": centroid.tolist(),
                "box_low_index": low.tolist(),
                "box_high_index": high.tolist(),
                "voxels": len(inside[0]),
            }
        )
    return rows


def points_objects(points: pa.Table) -> pa.Table:
    """OBJECTS of POINTS: one a point, named ``<condition>:<level>``; a point has no box and no voxels (null)."""
    rows = [
        {
            "study_key": row["study_key"],
            "series_key": row["series_key"],
            "stack": row["stack"],
            "object": f"{row['condition']}:{row['level']}",
            "centroid_mm": row["point_mm"],
            "centroid_index": row["point_index"],
        }
        for row in points.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=OBJECTS)


def _whole(values: NDArray[Any], names: Mapping[int, str] | None) -> NDArray[np.uint8]:
    if values.dtype.kind not in "biuf":
        raise _unreadable("voxels are not numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise _unreadable("voxels are not whole numbers")
    if values.size and (values.min() < 0 or values.max() > 255):
        raise _unreadable("label values outside 0..255")
    labels = np.ascontiguousarray(values, dtype=np.uint8)
    if values.dtype.kind == "f" and not np.array_equal(labels, values):
        raise _unreadable("voxels are not whole numbers")
    if names is not None:
        present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
        unknown = [int(value) for value in present if value and int(value) not in names]
        if unknown:
            raise _unreadable(f"label values that have no name: {unknown}")
    return labels


def _lps_grid(shape: Sequence[int], ras: NDArray[np.float64]) -> Grid:
    lps = ras * [[-1.0], [-1.0], [1.0], [1.0]]
    try:
        return Grid(tuple(shape[axis] for axis in _AXES), lps[:, [*_AXES, 3]])  # type: ignore[arg-type]
    except ValueError:
        raise _unreadable("the affine does not span a volume") from None


def _unreadable(detail: str) -> Rejected:
    return Rejected(Reason.MASK_UNREADABLE, detail)
