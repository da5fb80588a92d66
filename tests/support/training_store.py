"""Small stores to train on, written through the product's own writer: signs plain, geometry known exactly.

Cervical: seven bright blocks on a line; a fractured one has a dark gap through it. Lumbar: a bright ball at every
point, its size says the grade, in each of three series.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.loading import StudySample
from curate.manifests import schemas
from curate.volumes import open_volume, write_volume

PITCH_MM = 15.0
SAGITTAL = np.array([[4.0, 0, 0], [0, 0, 1.5], [0, -1.5, 0]])  # columns: LPS steps of slice, row, column -> L, I, P
AXIAL = np.array([[0, 0, 1.5], [0, 1.5, 0], [1.5, 0, 0]])  # S, P, L


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def samples_of(labels: NDArray[np.int64]) -> list[StudySample]:
    """Studies that have labels and nothing to look at."""
    return [StudySample(f"s{n}", "train", tuple(map(int, row)), (), ()) for n, row in enumerate(labels)]


def grid_around(steps: NDArray[np.float64], shape: tuple[int, int, int], centre_mm: NDArray[np.float64]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = centre_mm - steps @ ((np.array(shape) - 1) / 2)
    return Grid(shape=shape, affine=affine)


def split_of(number: int) -> str:
    return ("train", "train", "validation", "train", "test")[number % 5]


def volume_row(
    root: Path,
    study: str,
    name: str,
    array: NDArray[Any],
    grid: Grid,
    series_type: str | None,
    split: str,
    *,
    mask: NDArray[np.uint8] | None = None,
) -> dict[str, Any]:
    uri = f"volumes/{study}/{name}/0.zarr"
    written = write_volume(root / uri, array, grid, slice_axis=0, labels=None if mask is None else {"vertebrae": mask})
    return {
        "site": "site-a",
        "patient_key": study,
        "study_key": study,
        "series_key": f"{study}.{name}",
        "stack": 0,
        "series_type": series_type,
        "split": split,
        "uri": uri,
        "shape": list(grid.shape),
        "dtype": written.dtype,
        "affine": grid.affine.ravel().tolist(),
        "source_affine": grid.affine.ravel().tolist(),
        "source_shape": list(grid.shape),
        "intensity_p01": float(np.percentile(array, 1)),
        "intensity_p99": float(np.percentile(array, 99)),
    }


def cervical_store(
    root: Path, *, studies: int = 10, seed: int = 0, without_masks: tuple[int, ...] = ()
) -> dict[str, pa.Table]:
    """Manifests of a store made in ``root``; studies ``s00``, ``s01``, ...; every second study is broken."""
    draw = np.random.default_rng(seed)
    volumes, objects, boxes, samples = [], [], [], []
    for number in range(studies):
        study, split = f"s{number:02d}", split_of(number)
        middle = draw.uniform(-10, 10, 3)
        grid = grid_around(AXIAL, (80, 40, 40), middle)
        broken = {int(draw.integers(7)), int(draw.integers(7))} if number % 2 else set()
        mm = grid.to_patient(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1))
        values = draw.normal(0, 20, grid.shape)
        mask = np.zeros(grid.shape, dtype=np.uint8)
        centres = [middle + np.array([0, 0, PITCH_MM * (3 - level)]) for level in range(7)]
        for level, centre in enumerate(centres):
            away = np.abs(mm - centre)
            block = (away < [12, 8, 5.5]).all(axis=-1)
            values[block] = 700
            mask[block] = level + 1
            if level in broken:
                values[block & (away[..., 0] < 3)] = 0
                boxes += _boxes(study, grid, centre)
            if number not in without_masks:
                objects.append(
                    {
                        "study_key": study,
                        "series_key": f"{study}.ct",
                        "stack": 0,
                        "object": f"C{level + 1}",
                        "centroid_mm": centre.tolist(),
                        "voxels": 100,
                    }
                )
        drawn = None if number in without_masks else mask
        volumes.append(volume_row(root, study, "ct", np.rint(values).astype(np.int16), grid, None, split, mask=drawn))
        truth = {f"C{level + 1}": int(level in broken) for level in range(7)}
        samples.append({"study_key": study, "split": split, "patient_overall": int(bool(broken)), **truth})
    return {
        "volumes": table(volumes, schemas.VOLUMES),
        "objects": table(objects, schemas.OBJECTS),
        "boxes": table(boxes, schemas.BOXES),
        "samples": table(samples, schemas.CERVICAL_SAMPLES),
    }


def slices_of(volumes: pa.Table) -> pa.Table:
    """SLICES of volumes that lie as they were acquired; instance numbers run against the positions, from 101."""
    rows = []
    for volume in volumes.to_pylist():
        grid = Grid(tuple(volume["source_shape"]), np.reshape(volume["source_affine"], (4, 4)))
        for k in range(grid.shape[0]):
            rows.append(
                {
                    "series_key": volume["series_key"],
                    "stack": volume["stack"],
                    "position_in_stack": k,
                    "instance_key": f"{volume['series_key']}.{volume['stack']}.{k}",
                    "frame": 0,
                    "instance_number": 100 + grid.shape[0] - k,
                    "image_position_mm": grid.to_patient([k, 0, 0]).tolist(),
                }
            )
    return table(rows, schemas.SLICES)


def mirrored_store(root: Path, manifests: dict[str, pa.Table], mirror: Path) -> dict[str, pa.Table]:
    """The same patients seen in a mirror, written to ``mirror``: voxels, masks, places turned, sided labels swapped."""
    tables = dict(manifests)
    middles = {}
    for row in manifests["volumes"].to_pylist():
        volume = open_volume(root / row["uri"])
        side = next(n for n, code in enumerate(volume.grid.axis_codes) if code in "LR")
        masks = {name: np.ascontiguousarray(np.flip(volume.label(name), side)) for name in volume.label_names}
        turned = np.ascontiguousarray(np.flip(volume.read(), side))
        write_volume(mirror / row["uri"], turned, volume.grid, slice_axis=volume.slice_axis, labels=masks)
        middles[row["series_key"], row["stack"]] = volume.grid, side
    objects = manifests["objects"].to_pylist()
    for row in objects:
        grid, side = middles[row["series_key"], row["stack"]]
        index = grid.to_index(row["centroid_mm"])
        index[side] = grid.shape[side] - 1 - index[side]
        row["centroid_mm"], row["object"] = grid.to_patient(index).tolist(), other_side(row["object"])
    tables["objects"] = table(objects, schemas.OBJECTS)
    samples = manifests["samples"]
    names = [other_side(name) for name in samples.schema.names]
    tables["samples"] = pa.table([samples[name] for name in names], schema=samples.schema)
    return tables


def other_side(name: str) -> str:
    """``left_...`` is ``right_...`` in a mirror."""
    head, _, tail = name.partition("_")
    return {"left": "right_", "right": "left_"}.get(head, f"{head}_" if tail else head) + tail


def _boxes(study: str, grid: Grid, centre: NDArray[np.float64]) -> list[dict[str, Any]]:
    k, j, i = np.rint(grid.to_index(centre)).astype(int)
    rows = []
    for slice_index in range(k - 2, k + 3):
        low_row, high_row, low_column, high_column = j - 6, j + 6, i - 3, i + 3
        corners = [
            [slice_index, low_row, low_column],
            [slice_index, low_row, high_column],
            [slice_index, high_row, high_column],
            [slice_index, high_row, low_column],
        ]
        rows.append(
            {
                "study_key": study,
                "series_key": f"{study}.ct",
                "stack": 0,
                "instance_number": int(slice_index),
                "label": "fracture",
                "corners_mm": grid.to_patient(np.array(corners, dtype=float)).ravel().tolist(),
            }
        )
    return rows


def lumbar_store(
    root: Path, *, studies: int = 10, seed: int = 0, without_axial: tuple[int, ...] = ()
) -> dict[str, pa.Table]:
    """Manifests of a store made in ``root``; a point a target; one grade in twenty is missing."""
    draw = np.random.default_rng(seed)
    volumes, objects, samples = [], [], []
    for number in range(studies):
        study, split = f"s{number:02d}", split_of(number)
        middle = draw.uniform(-10, 10, 3)
        grids = {
            "Sagittal T1": grid_around(SAGITTAL, (15, 110, 40), middle),
            "Sagittal T2/STIR": grid_around(SAGITTAL, (15, 110, 40), middle),
            "Axial T2": grid_around(AXIAL, (110, 40, 40), middle),
        }
        images = {kind: draw.normal(200, 10, grid.shape) for kind, grid in grids.items()}
        row: dict[str, Any] = {"study_key": study, "split": split}
        for condition in schemas.LUMBAR_CONDITIONS:
            side = 16.0 if condition.startswith("left") else -16.0 if condition.startswith("right") else 0.0
            kind = {"spinal": "Sagittal T2/STIR", "left_n": "Sagittal T1", "right_": "Sagittal T1"}.get(
                condition[:6], "Axial T2"
            )
            kind = "Axial T2" if "subarticular" in condition else kind
            for level, level_name in enumerate(schemas.LUMBAR_LEVELS):
                grade = int(draw.choice(3, p=[0.5, 0.3, 0.2]))
                point = middle + np.array([side, 0, 28.0 * (2 - level)])
                _paint(images[kind], grids[kind], point, radius_mm=(7.0, 4.5, 2.0)[grade])
                is_graded = draw.uniform() > 0.05
                row[f"{condition}_{level_name}"] = grade if is_graded else None
                if kind != "Axial T2" or number not in without_axial:
                    objects.append(
                        {
                            "study_key": study,
                            "series_key": f"{study}.{kind[:3].lower()}{kind[-2:].lower()}",
                            "stack": 0,
                            "object": f"{condition}:{level_name}",
                            "centroid_mm": point.tolist(),
                            "voxels": 1,
                        }
                    )
        for kind, grid in grids.items():
            if kind == "Axial T2" and number in without_axial:
                continue
            name = f"{kind[:3].lower()}{kind[-2:].lower()}"
            array = np.clip(np.rint(images[kind]), 0, 4000).astype(np.uint16)
            volumes.append(volume_row(root, study, name, array, grid, kind, split))
        samples.append(row)
    return {
        "volumes": table(volumes, schemas.VOLUMES),
        "objects": table(objects, schemas.OBJECTS),
        "boxes": table([], schemas.BOXES),
        "samples": table(samples, schemas.LUMBAR_SAMPLES),
    }


def _paint(image: NDArray[np.float64], grid: Grid, point: NDArray[np.float64], *, radius_mm: float) -> None:
    """A bright ball."""
    mm = grid.to_patient(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1))
    image[np.linalg.norm(mm - point, axis=-1) < radius_mm] = 900
