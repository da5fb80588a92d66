"""How a volume lies in a store: one OME-Zarr 0.5 image on Zarr v3, one shard an array, so one object an array.

::

    zarr.json                      OME-Zarr multiscales, and ours: affine, frame, modality, units
    0/zarr.json  0/c/0/0/0         the voxels
    1/zarr.json  1/c/0/0/0         the same, coarser, for browsing (``curate.volumes.overview``); small volumes: none
    labels/zarr.json               names of the masks, if any
    labels/<name>/zarr.json  labels/<name>/0/zarr.json  labels/<name>/0/c/0/0/0  and so on for level 1

OME-Zarr 0.5 has no orientation: its axes z, y, x are our (k, j, i), in millimetres along the volume's own axes. The
true place in the patient (LPS affine) stands under the attribute ``spine_curate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.identity import Json

IMAGE_PATH = "0"
OVERVIEW_PATH = "1"
LABELS_PATH = "labels"
SHARD_KEY = "c/0/0/0"
METADATA_KEY = "zarr.json"
DIMENSION_NAMES = ("z", "y", "x")
OURS = "spine_curate"
LAYOUT_VERSION = 1
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

_OME_VERSION = "0.5"
_THICK = 2.0  # slice spacing over in-plane spacing from which crops are thin along the slice axis
_ISOTROPIC_CHUNK = 32, 64, 64  # slice axis first
_THICK_CHUNK = 4, 128, 128


@dataclass(frozen=True, slots=True)
class Chunking:
    """How an array is cut. Shapes in array order; ``shard``: the smallest multiple of ``chunk`` covering the array."""

    chunk: tuple[int, int, int]
    shard: tuple[int, int, int]
    shuffle: Literal["shuffle", "bitshuffle"]


@dataclass(frozen=True, slots=True)
class Description:
    """What our attribute says of a volume beside its voxels."""

    grid: Grid
    modality: str | None
    units: str | None  # HU | stored
    slice_axis: int  # the array axis along which slices were acquired
    label_names: tuple[str, ...]
    overview: Grid | None = None  # of level 1, if there is one


def choose_chunking(grid: Grid, slice_axis: int = 0) -> Chunking:
    """Inner chunks of 32 x 64 x 64 (shuffle), or 4 x 128 x 128 (bitshuffle) for thick slices; slice axis first.

    Thick: the slice axis has at least twice the spacing of the finest of the other two. Chunks are clipped to the
    array.
    """
    spacing = list(grid.spacing_mm)
    slice_mm = spacing.pop(slice_axis)
    is_thick = slice_mm >= _THICK * min(spacing)
    along, *across = _THICK_CHUNK if is_thick else _ISOTROPIC_CHUNK
    wanted = list(across)
    wanted.insert(slice_axis, along)
    k, j, i = (min(c, n) for c, n in zip(wanted, grid.shape, strict=True))
    chunk = k, j, i
    return Chunking(chunk, covering_shard(grid.shape, chunk), "bitshuffle" if is_thick else "shuffle")


def covering_shard(shape: tuple[int, int, int], chunk: tuple[int, int, int]) -> tuple[int, int, int]:
    """The smallest multiple of ``chunk`` that covers ``shape``."""
    k, j, i = (-(-n // c) * c for n, c in zip(shape, chunk, strict=True))
    return k, j, i


def image_attributes(description: Description) -> dict[str, Json]:
    """Attributes of the root group."""
    grid = description.grid
    ours: dict[str, Json] = {
        "layout": LAYOUT_VERSION,
        "affine": cast(Json, grid.affine.tolist()),
        "frame": "LPS",
        "unit": "millimeter",
        "axis_codes": grid.axis_codes,
        "shape": cast(Json, list(grid.shape)),
        "modality": description.modality,
        "units": description.units,
        "slice_axis": description.slice_axis,
        "labels": cast(Json, list(description.label_names)),
        "overview": None if description.overview is None else _place(description.overview),
    }
    return {"ome": {"version": _OME_VERSION, "multiscales": [_multiscale(description)]}, OURS: ours}


def labels_attributes(names: tuple[str, ...]) -> dict[str, Json]:
    """Attributes of the group ``labels``."""
    return {"ome": {"version": _OME_VERSION, "labels": cast(Json, list(names))}}


def label_attributes(description: Description) -> dict[str, Json]:
    """Attributes of one group ``labels/<name>``: a mask on the grids of the image."""
    source: Json = {"image": "../../"}
    label: Json = {"version": _OME_VERSION, "source": source}
    return {"ome": {"version": _OME_VERSION, "multiscales": [_multiscale(description)], "image-label": label}}


def read_attributes(attributes: object) -> Description:
    """Parse the root group's attributes. Raises ``Misconfigured`` when they are not of this layout."""
    ours = attributes.get(OURS) if isinstance(attributes, dict) else None
    if not isinstance(ours, dict) or ours.get("layout") != LAYOUT_VERSION or ours.get("frame") != "LPS":
        raise Misconfigured(f"volume: its attribute '{OURS}' is missing or of another layout than {LAYOUT_VERSION}")
    try:
        names = tuple(str(name) for name in ours["labels"])
        overview = None if ours.get("overview") is None else _grid(ours["overview"])
        return Description(_grid(ours), ours["modality"], ours["units"], int(ours["slice_axis"]), names, overview)
    except (KeyError, TypeError, ValueError):
        raise Misconfigured(f"volume: its attribute '{OURS}' is incomplete") from None


def _place(grid: Grid) -> Json:
    return {"shape": cast(Json, list(grid.shape)), "affine": cast(Json, grid.affine.tolist())}


def _grid(place: Any) -> Grid:
    k, j, i = (int(n) for n in place["shape"])
    return Grid((k, j, i), np.array(place["affine"], dtype=np.float64))


def _multiscale(description: Description) -> Json:
    axes: list[Json] = [{"name": name, "type": "space", "unit": "millimeter"} for name in DIMENSION_NAMES]
    levels = [_level(IMAGE_PATH, description.grid)]
    if description.overview is not None:
        levels.append(_level(OVERVIEW_PATH, description.overview))
    return {"axes": cast(Json, axes), "datasets": levels}


def _level(path: str, grid: Grid) -> Json:
    scale = cast(Json, list(grid.spacing_mm))
    # the first voxel's place along the volume's own axes, so that volumes of one orientation keep their offsets
    translation = cast(Json, np.linalg.solve(grid.directions, grid.affine[:3, 3]).tolist())
    transformations: list[Json] = [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": translation},
    ]
    return {"path": path, "coordinateTransformations": transformations}
