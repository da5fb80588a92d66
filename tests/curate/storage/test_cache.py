"""Objects kept on a node: fetched once for all processes, within the budget, never while read, proven, never lost."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import secrets
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from curate.errors import Misconfigured, Unavailable
from curate.geometry import Grid
from curate.storage import CachedStore, LocalStore, NodeCache
from curate.volumes import open_volume, write_volume
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET, point_at

FORK = multiprocessing.get_context("fork")
KIB = 1024


class FarStore(LocalStore):
    """A folder that takes its time and writes down what was fetched from it."""

    def __init__(self, root: Path, seconds: float = 0.0) -> None:
        super().__init__(root)
        self._seconds = seconds
        self.log = root.with_suffix(".log")

    def get(self, key: str) -> bytes:
        with self.log.open("a") as log:
            log.write(f"{key}\n")
        time.sleep(self._seconds)
        return super().get(key)

    def fetched(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def far(tmp_path: Path) -> FarStore:
    store = FarStore(tmp_path / "far")
    for n, name in enumerate("abcd"):
        store.put_new(name, bytes([n]) * 10 * KIB)
    return store


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(tmp_path / "node" / "cache", 25 * KIB)


def kept(cache: NodeCache, far: FarStore) -> set[str]:
    """Names of the objects that are in the folder, by their content."""
    return {"abcd"[path.read_bytes()[0]] for _, _, path in cache.objects()}


def test_an_object_is_fetched_once_and_then_needs_no_store(far: FarStore, cache: NodeCache) -> None:
    store = CachedStore(far, cache)
    content = far.get("b")
    assert store.get("b") == content
    far.delete("b")
    assert store.get("b") == content
    assert store.get_range("b", 3, 5) == content[3:8]
    assert store.get_range("b", -7, 7) == content[-7:]
    assert store.get_ranges("b", [(1, 2), (5, 3)]) == [content[1:3], content[5:8]]
    assert far.fetched() == ["b", "b"]  # the first by the test itself


def test_what_is_not_there_is_not_found_and_nothing_is_kept(far: FarStore, cache: NodeCache) -> None:
    with pytest.raises(FileNotFoundError):
        CachedStore(far, cache).get("nobody")
    assert cache.objects() == []


def test_the_least_recently_used_object_makes_room(far: FarStore, cache: NodeCache) -> None:
    store = CachedStore(far, cache)
    for name in "abac":
        store.get(name)
        time.sleep(0.01)
    assert kept(cache, far) == {"a", "c"}
    assert cache.used_bytes() <= cache.budget_bytes
    assert store.get("b") == far.get("b")
    assert sorted(far.list()) == ["a", "b", "c", "d"]


def test_an_object_that_is_read_stays(far: FarStore, cache: NodeCache) -> None:
    store = CachedStore(far, cache)
    descriptor = store.open_descriptor("a")
    for name in "bcd":
        store.get(name)
    assert kept(cache, far) == {"a", "d"}
    assert os.pread(descriptor, 4, 0) == bytes(4)
    os.close(descriptor)
    store.get("b")
    assert kept(cache, far) == {"b", "d"}


def test_an_object_larger_than_the_budget_is_refused(far: FarStore, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="budget"):
        CachedStore(far, NodeCache(tmp_path / "small", 9 * KIB)).get("a")


def test_a_folder_that_cannot_be_written_is_unavailable_and_not_named(far: FarStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable) as caught:
        CachedStore(far, NodeCache(tmp_path / "file" / "cache", KIB)).get("a")
    assert str(tmp_path) not in str(caught.value)


def test_damage_on_the_node_is_found_and_fetched_again(far: FarStore, cache: NodeCache) -> None:
    content = CachedStore(far, cache).get("a")
    [(_, _, path)] = cache.objects()
    for damaged in (b"\1" + content[1:], content[:-1], b""):
        path.write_bytes(damaged)
        assert CachedStore(far, cache).get("a") == content
    assert far.fetched() == ["a"] * 4


def test_a_file_without_its_digest_is_fetched_again(far: FarStore, cache: NodeCache) -> None:
    CachedStore(far, cache).get("a")
    for lock in cache.folder.glob("*.lock"):
        lock.write_bytes(b"")
    CachedStore(far, cache).get("a")
    assert far.fetched() == ["a", "a"]


def test_processes_that_start_together_fetch_each_object_once(far: FarStore, tmp_path: Path) -> None:
    slow, cache = FarStore(far.root, 0.3), NodeCache(tmp_path / "cache", 1 << 20)

    def read(n: int) -> None:
        store = pickle.loads(pickle.dumps(CachedStore(slow, cache)))  # noqa: S301 - our own bytes
        order = "abcd"[n:] + "abcd"[:n]
        assert all(store.get(name) == bytes(["abcd".index(name)]) * 10 * KIB for name in order)

    processes = [FORK.Process(target=read, args=(n,)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(far.fetched()) == ["a", "b", "c", "d"]


def test_processes_that_fight_for_room_all_read_what_is_right(far: FarStore, cache: NodeCache) -> None:
    def read(n: int) -> None:
        store, random = CachedStore(far, cache), np.random.default_rng(n)
        for _ in range(60):
            number = int(random.integers(4))
            assert store.get("abcd"[number]) == bytes([number]) * 10 * KIB
            assert cache.used_bytes() <= cache.budget_bytes

    processes = [FORK.Process(target=read, args=(n,)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert sorted(far.list()) == ["a", "b", "c", "d"]


def test_a_killed_downloader_leaves_the_way_free(far: FarStore, cache: NodeCache) -> None:
    process = FORK.Process(target=lambda: CachedStore(FarStore(far.root, 60.0), cache).get("a"))
    process.start()
    while not far.fetched():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (cache.folder / "0123.part").write_bytes(b"half of an object")  # as if it had been killed while writing
    assert CachedStore(far, cache).get("a") == bytes(10 * KIB)
    assert list(cache.folder.glob("*.part")) == []


def test_a_volume_of_a_bucket_is_fetched_once_and_cropped_from_the_node(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 1000, (40, 70, 66)).astype(np.int16)
    mask = (voxels > 0).astype(np.uint8)
    url = f"s3://{BUCKET}/{secrets.token_hex(4)}/0.zarr"
    with FaultProxy(server, seed=3, share=0.3, faults=[Fault.SLOW_DOWN]) as proxy:
        point_at(proxy.url, monkeypatch)
        write_volume(url, voxels, Grid(voxels.shape, np.eye(4)), labels={"spine": mask})
        proxy.requests.clear()
        proxy.share = 0.0
        cache = NodeCache(tmp_path / "cache", 10 << 20)
        for _ in range(2):
            volume = open_volume(url, cache=cache)
            found = volume.crop((5, 6, 7), (20, 30, 40)), volume.crop((5, 6, 7), (20, 30, 40), label="spine")
            np.testing.assert_array_equal(found[0], voxels[5:25, 6:36, 7:47])
            np.testing.assert_array_equal(found[1], mask[5:25, 6:36, 7:47])
        assert sum(proxy.requests.values()) == 5  # root, two arrays' metadata, two shards


def test_a_volume_in_a_folder_is_not_copied(tmp_path: Path) -> None:
    voxels = np.arange(512, dtype=np.int16).reshape(8, 8, 8)
    write_volume(tmp_path / "0.zarr", voxels, Grid(voxels.shape, np.eye(4)))
    cache = NodeCache(tmp_path / "cache", 10 << 20)
    np.testing.assert_array_equal(open_volume(tmp_path / "0.zarr", cache=cache).read(), voxels)
    assert not cache.folder.exists()
