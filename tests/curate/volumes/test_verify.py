"""Whatever differs from what should be there is found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.errors import Quarantined
from curate.geometry import Grid
from curate.reasons import Reason
from curate.volumes import verify_volume, write_volume

SHAPE = 20, 30, 40
GRID = Grid(SHAPE, np.diag([3.0, 0.5, 0.5, 1.0]))
VOXELS = np.random.default_rng(5).integers(0, 4000, SHAPE).astype(np.uint16)
MASK = (VOXELS % 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_volume(tmp_path / "0.zarr", VOXELS, GRID, labels={"spine": MASK})
    return tmp_path / "0.zarr"


def test_what_was_written_is_verified(folder: Path) -> None:
    verify_volume(folder, VOXELS, GRID, labels={"spine": MASK})


def test_an_array_of_foreign_byte_order_is_the_same_array(folder: Path) -> None:
    verify_volume(folder, VOXELS.astype(">u2"), GRID, labels={"spine": MASK})


def one_off(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[10, 10, 10] += 1
    return changed


@pytest.mark.parametrize(
    ("array", "grid", "labels", "detail"),
    [
        (one_off(VOXELS), GRID, {"spine": MASK}, "voxels"),
        (VOXELS.astype(np.int16), GRID, {"spine": MASK}, "voxels"),
        (VOXELS, Grid(SHAPE, GRID.affine + np.eye(4, k=3) * 1e-9), {"spine": MASK}, "grid"),
        (VOXELS, GRID, {"spine": one_off(MASK)}, "mask 'spine'"),
        (VOXELS, GRID, {}, "names of the masks"),
        (VOXELS, GRID, {"spine": MASK, "canal": MASK}, "names of the masks"),
    ],
)
def test_any_difference_is_named(
    folder: Path, array: np.ndarray, grid: Grid, labels: dict[str, np.ndarray], detail: str
) -> None:
    with pytest.raises(Quarantined, match=detail) as caught:
        verify_volume(folder, array, grid, labels=labels)
    assert caught.value.reason is Reason.VERIFICATION_FAILED


@pytest.mark.parametrize("key", ["zarr.json", "0/zarr.json", "0/c/0/0/0", "labels/spine/0/zarr.json"])
def test_a_missing_object_is_found(folder: Path, key: str) -> None:
    (folder / key).unlink()
    with pytest.raises(Quarantined):
        verify_volume(folder, VOXELS, GRID, labels={"spine": MASK})


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_changed_byte_among_the_voxels_is_found(folder: Path, place: float) -> None:
    shard = folder / "0/c/0/0/0"
    content = bytearray(shard.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(Quarantined):
        verify_volume(folder, VOXELS, GRID, labels={"spine": MASK})
