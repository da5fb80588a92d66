"""The direct reader: the chunks it needs, and what it says of damage and of foreign arrays."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from curate.errors import Misconfigured, Quarantined
from curate.geometry import Grid
from curate.reasons import Reason
from curate.storage import LocalStore
from curate.volumes import write_volume
from curate.volumes.shards import ShardedArray

SHAPE = 96, 130, 140


class CountingStore:
    """A store far away, as far as a reader can see. Notes every request."""

    def __init__(self, root: Path) -> None:
        self._files = LocalStore(root)
        self.requests: list[tuple[str, int]] = []

    def get_range(self, key: str, start: int, length: int) -> bytes:
        self.requests.append((key, length))
        return self._files.get_range(key, start, length)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        return [self.get_range(key, start, length) for start, length in ranges]

    def get(self, key: str) -> bytes:
        content = self._files.get(key)
        self.requests.append((key, len(content)))
        return content


def voxels() -> np.ndarray:
    array = np.random.default_rng(3).integers(-1000, 1000, SHAPE).astype(np.int16)
    array[:32, :64, :64] = 0  # a chunk that is left out
    return array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_volume(tmp_path / "0.zarr", voxels(), Grid(SHAPE, np.eye(4)))
    return tmp_path / "0.zarr"


def test_any_box_is_what_numpy_slices(folder: Path) -> None:
    array, stored, random = voxels(), ShardedArray(LocalStore(folder), "0"), np.random.default_rng(0)
    for _ in range(60):
        a, b = np.sort(random.integers(0, np.add(SHAPE, 1), (2, 3)), axis=0)
        box = tuple(slice(int(x), int(y)) for x, y in zip(a, b, strict=True))
        np.testing.assert_array_equal(stored.read(tuple(map(int, a)), tuple(map(int, b))), array[box])


def test_a_box_inside_one_chunk_costs_the_index_once_and_one_chunk_each_time(folder: Path) -> None:
    store = CountingStore(folder)
    stored = ShardedArray(store, "0")
    store.requests.clear()
    stored.read((40, 70, 70), (50, 80, 80))
    index, chunk = store.requests
    assert index == ("0/c/0/0/0", 16 * 3 * 3 * 3 + 4)
    assert chunk[1] < (folder / "0/c/0/0/0").stat().st_size / 6
    store.requests.clear()
    stored.read((41, 70, 70), (50, 80, 80))
    assert store.requests == [chunk]


def test_near_chunks_come_in_one_request_and_far_ones_do_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountingStore(folder)
    stored = ShardedArray(store, "0")
    stored.read((40, 70, 70), (50, 80, 80))
    for far, near, requests in ((8 << 20, 1 << 20, 1), (8 << 20, 0, 5), (0, 0, 7)):
        monkeypatch.setattr("curate.volumes.shards._FAR_BYTES", far)
        monkeypatch.setattr("curate.volumes.shards._NEAR_BYTES", near)
        store.requests.clear()
        found = stored.read((60, 120, 120), (70, 130, 130))
        assert len(store.requests) == requests
        np.testing.assert_array_equal(found, voxels()[60:70, 120:130, 120:130])


def test_from_far_away_any_box_is_what_numpy_slices(folder: Path) -> None:
    array, stored, random = voxels(), ShardedArray(CountingStore(folder), "0"), np.random.default_rng(5)
    for _ in range(40):
        a, b = np.sort(random.integers(0, np.add(SHAPE, 1), (2, 3)), axis=0)
        box = tuple(slice(int(x), int(y)) for x, y in zip(a, b, strict=True))
        np.testing.assert_array_equal(stored.read(tuple(map(int, a)), tuple(map(int, b))), array[box])


def test_a_chunk_of_zeros_costs_nothing(folder: Path) -> None:
    store = CountingStore(folder)
    stored = ShardedArray(store, "0")
    stored.read((40, 70, 70), (50, 80, 80))
    store.requests.clear()
    assert not stored.read((0, 0, 0), (32, 64, 64)).any()
    assert store.requests == []


def test_the_whole_array_is_one_request(folder: Path) -> None:
    store = CountingStore(folder)
    stored = ShardedArray(store, "0")
    store.requests.clear()
    np.testing.assert_array_equal(stored.read((0, 0, 0), SHAPE), voxels())
    assert store.requests == [("0/c/0/0/0", (folder / "0/c/0/0/0").stat().st_size)]


def test_an_empty_box_costs_nothing(folder: Path) -> None:
    store = CountingStore(folder)
    stored = ShardedArray(store, "0")
    store.requests.clear()
    assert stored.read((3, 3, 3), (3, 9, 9)).shape == (0, 6, 6)
    assert store.requests == []


def test_threads_may_share_it(folder: Path) -> None:
    array, stored = voxels(), ShardedArray(LocalStore(folder), "0")

    def check(n: int) -> bool:
        low = n % 60, n % 90, n % 100
        high = low[0] + 30, low[1] + 40, low[2] + 40
        return np.array_equal(stored.read(low, high), array[low[0] : high[0], low[1] : high[1], low[2] : high[2]])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(200)))


def test_a_pickled_copy_reads_the_same(folder: Path) -> None:
    stored = ShardedArray(LocalStore(folder), "0")
    before = stored.read((5, 5, 5), (50, 80, 90))
    copy = pickle.loads(pickle.dumps(stored))  # noqa: S301 - our own bytes, as multiprocessing sends them
    np.testing.assert_array_equal(copy.read((5, 5, 5), (50, 80, 90)), before)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_index(content: bytes) -> bytes:
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


def flip_sizes(content: bytes) -> bytes:
    """In the header of the first chunk of the file: its decoded size."""
    return content[:7] + bytes([content[7] ^ 0x40]) + content[8:]


def scramble_blocks(content: bytes) -> bytes:
    """In the first chunk of the file: where its blocks start."""
    return content[:16] + b"\xff" * 4 + content[20:]


@pytest.mark.parametrize("damage", [cut, flip_index, flip_sizes, scramble_blocks, lambda _: b"", lambda _: b"short"])
def test_damage_is_reported_with_its_reason(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    shard = folder / "0/c/0/0/0"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(Quarantined) as whole:
        ShardedArray(LocalStore(folder), "0").read((0, 0, 0), SHAPE)
    assert whole.value.reason is Reason.VERIFICATION_FAILED
    with pytest.raises(Quarantined):
        ShardedArray(LocalStore(folder), "0").read((0, 0, 0), (96, 130, 139))


def test_a_missing_shard_is_damage_too(folder: Path) -> None:
    (folder / "0/c/0/0/0").unlink()
    with pytest.raises(Quarantined, match="missing"):
        ShardedArray(LocalStore(folder), "0").read((0, 0, 0), SHAPE)
    with pytest.raises(Quarantined, match="missing"):
        ShardedArray(LocalStore(folder), "0").read((0, 0, 0), (1, 1, 1))


def test_an_array_that_is_not_there_is_not_found(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ShardedArray(LocalStore(folder), "2")


FOREIGN: list[dict[str, Any]] = [
    {"chunks": (4, 4, 4)},
    {"chunks": (4, 4, 4), "shards": (8, 8, 8), "compressors": [zarr.codecs.ZstdCodec()]},
    {"chunks": (4, 4, 4), "shards": (4, 4, 4), "compressors": [zarr.codecs.BloscCodec(typesize=2)]},
    {"chunks": (4, 4, 4), "zarr_format": 2},
]


@pytest.mark.parametrize("options", FOREIGN)
def test_arrays_of_another_layout_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", name="0", shape=(8, 8, 8), dtype="int16", **options)
    array[...] = 1
    with pytest.raises((Misconfigured, FileNotFoundError)):
        ShardedArray(LocalStore(tmp_path / "a.zarr"), "0")


@pytest.mark.parametrize("key", ["codecs", "shape", "data_type", "chunk_grid", "fill_value", "zarr_format"])
def test_incomplete_metadata_are_refused(folder: Path, key: str) -> None:
    path = folder / "0/zarr.json"
    metadata = json.loads(path.read_bytes())
    del metadata[key]
    path.write_text(json.dumps(metadata))
    with pytest.raises(Misconfigured, match="shard"):
        ShardedArray(LocalStore(folder), "0")
