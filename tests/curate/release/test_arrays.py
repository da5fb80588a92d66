from pathlib import Path

import numpy as np
import pytest

from curate.geometry import Grid
from curate.release import arrays
from curate.release.arrays import is_shard, iterate_voxels, json_text
from curate.volumes.write import write_volume

PATH = "volumes/s/r/0.zarr/0/c/0/0/0"


@pytest.fixture
def voxels(tmp_path: Path) -> np.ndarray:
    array = np.random.default_rng(0).integers(-1000, 1000, (70, 20, 30), dtype=np.int16)
    write_volume(tmp_path / "volumes/s/r/0.zarr", array, Grid(array.shape, np.eye(4)))
    return array


def test_shards_are_known_by_their_place() -> None:
    assert is_shard(PATH)
    assert is_shard("volumes/s/r/0.zarr/labels/vertebrae/0/c/0/0/0")
    assert not is_shard("volumes/s/r/0.zarr/0/zarr.json")
    assert not is_shard("0/c/0/0/0")


@pytest.mark.parametrize("slab_bytes", [1, 50_000, 1 << 26])
@pytest.mark.parametrize("kept", [True, False])
def test_voxels_come_whole_and_in_order_from_memory_or_from_disk(
    tmp_path: Path, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch, slab_bytes: int, kept: bool
) -> None:
    monkeypatch.setattr(arrays, "_SLAB_BYTES", slab_bytes)
    content = (tmp_path / PATH).read_bytes() if kept else None
    if kept:
        (tmp_path / PATH).unlink()  # what was read once is not read again
    slabs = list(iterate_voxels(tmp_path, PATH, content))
    assert b"".join(slabs) == voxels.tobytes()
    assert len(slabs) == (3 if slab_bytes == 1 else 2 if slab_bytes == 50_000 else 1)


@pytest.mark.usefixtures("voxels")
def test_a_damaged_shard_is_a_value_error(tmp_path: Path) -> None:
    content = bytearray((tmp_path / PATH).read_bytes())
    content[-10] ^= 1
    with pytest.raises(ValueError):
        list(iterate_voxels(tmp_path, PATH, bytes(content)))
    with pytest.raises(ValueError):
        list(iterate_voxels(tmp_path, PATH, b""))


@pytest.mark.usefixtures("voxels")
def test_a_shard_without_metadata_or_with_foreign_metadata_is_refused(tmp_path: Path) -> None:
    metadata = tmp_path / "volumes/s/r/0.zarr/0/zarr.json"
    content = (tmp_path / PATH).read_bytes()
    metadata.write_text("{}")
    with pytest.raises(ValueError):
        list(iterate_voxels(tmp_path, PATH, content))
    metadata.unlink()
    with pytest.raises(FileNotFoundError):
        list(iterate_voxels(tmp_path, PATH, content))


def test_every_string_of_json_is_given_without_its_escapes() -> None:
    content = rb'{"k\u0065y": ["\u0041bernathy", {"deep": "Bj\u00f6rn"}], "n": 1, "x": null}'
    text = json_text(content)
    for wanted in ("key", "Abernathy", "deep", "Björn"):
        assert wanted.encode() in text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xff"])
def test_what_is_not_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        json_text(content)
