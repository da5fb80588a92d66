"""Small archives written slice by slice for one test, and the run over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.curated import Curated, curate
from tests.support.dicom_files import write_stack

SPEC = """
name = "hand-made"
task = "{task}"
store = "store"
[[sites]]
name = "here"
archives = ["archive"]
[deid]
key = "file:curate.key"
[volumes]
orientation = "{orientation}"
spacing_mm = {spacing}
minimum_slices = {minimum_slices}
[split]
salt = "s"
validation_fraction = 0.1
test_fraction = 0.1
[release]
name = "hand-made"
version = "1.0.0"
title = "Hand-made"
licence = "CC0-1.0"
"""

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def write_spec(
    folder: Path,
    *,
    task: str = "cervical",
    orientation: str = "radiological",
    spacing: str = '["source", "source", "source"]',
    minimum_slices: int = 3,
) -> Path:
    """A spec without labels over ``folder/archive``, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "curate.key"
    key.write_text("5a" * 32)
    key.chmod(0o600)
    spec = folder / "spec.toml"
    text = SPEC.format(task=task, orientation=orientation, spacing=spacing, minimum_slices=minimum_slices)
    spec.write_text(text)
    return spec


def ramp(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """A scene that tells every place from every other: (..., 3) LPS millimetres -> (...), some 500 to 1,500."""
    values: NDArray[np.float64] = 1000.0 + points_mm @ np.array([7.0, 3.0, 11.0])
    return values


def write_ramp(
    folder: Path,
    *,
    slices: int = 8,
    rows: int = 12,
    columns: int = 10,
    orientation: tuple[float, ...] = AXIAL,
    gap_mm: float = 2.0,
    start_mm: tuple[float, float, float] = (-2.0, -3.0, -8.0),
    spacing_mm: tuple[float, float] = (0.5, 0.4),
    **attributes: Any,
) -> list[Path]:
    """One stack that samples the ramp; CT stores its value as HU + 1024, MR as it is."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    positions = [np.array(start_mm) + k * gap_mm * normal for k in range(slices)]
    j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    in_plane = i[..., None] * spacing_mm[1] * along_row + j[..., None] * spacing_mm[0] * along_column
    offset = 1024 if attributes.get("modality", "CT") == "CT" else 0
    volume = np.stack([np.rint(ramp(position + in_plane)) + offset for position in positions]).astype(np.uint16)
    return write_stack(
        folder,
        volume,
        [position.tolist() for position in positions],
        ImageOrientationPatient=list(orientation),
        PixelSpacing=list(spacing_mm),
        **attributes,
    )


def run_hand_made(folder: Path, **options: Any) -> Curated:
    """Run over ``folder/archive``; ``options`` are those of ``write_spec``."""
    write_spec(folder, **options)
    return curate(folder)
