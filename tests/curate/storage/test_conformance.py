"""What every store can do, in a folder, in a bucket, and in a bucket behind a bad network: one suite for all."""

from __future__ import annotations

import io
import pickle
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.geometry.grid import Grid
from curate.manifests import read_table, write_table
from curate.storage import Store, lies_within, open_store, prove_store
from curate.volumes import open_volume, verify_volume, write_volume
from tests.support.fault_proxy import FaultProxy
from tests.support.object_stores import BUCKET, point_at


@pytest.fixture(params=["folder", "bucket", "bucket behind faults"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    place = f"s3://{BUCKET}/{secrets.token_hex(4)}/store"
    if request.param == "folder":
        yield open_store(tmp_path / "store")
    elif request.param == "bucket":
        point_at(server, monkeypatch)
        yield open_store(place)
    else:
        with FaultProxy(server, seed=5, share=0.4, slow_seconds=0.05) as proxy:
            point_at(proxy.url, monkeypatch)
            yield open_store(place)


def test_an_object_is_created_once_and_never_replaced(store: Store) -> None:
    store.put_new("a/b.bin", b"first")
    assert not store.put_new("a/b.bin", b"second")
    assert store.get("a/b.bin") == b"first"


def test_a_view_is_replaced_whole(store: Store) -> None:
    store.put("manifests/series.parquet", b"old")
    store.put("manifests/series.parquet", b"new")
    assert store.get("manifests/series.parquet") == b"new"
    assert list(store.list()) == ["manifests/series.parquet"]


def test_racing_writers_of_one_key_leave_one_whole_object_and_each_can_read_it(store: Store) -> None:
    def write(number: int) -> bytes:
        store.put_new("race", bytes([number]) * 50_000)
        return store.get("race")

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(write, range(16)))
    assert len(found) == 1
    assert len(set(found.pop())) == 1


def test_ranges_sizes_and_existence_agree_with_what_was_written(store: Store) -> None:
    store.put_new("b/2", b"0123456789")
    store.put_new("b/1", b"")
    assert store.get_range("b/2", 3, 4) == b"3456"
    assert store.get_range("b/2", 8, 4) == b"89"
    assert store.get_range("b/2", 10, 4) == store.get_range("b/2", 99, 1) == b""
    assert store.get_range("b/2", 3, 0) == b""
    assert store.get_range("b/1", 0, 4) == b""
    assert (store.size("b/2"), store.size("b/1"), store.get("b/1")) == (10, 0, b"")
    assert store.exists("b/2")
    assert not store.exists("b")
    assert not store.exists("b/3")


def test_parts_count_from_the_end_too(store: Store) -> None:
    store.put_new("b/2", b"0123456789")
    assert store.get_range("b/2", -4, 4) == b"6789"
    assert store.get_range("b/2", -10, 10) == store.get_range("b/2", -99, 99) == b"0123456789"


def test_many_parts_come_in_the_order_asked_for_and_are_short_behind_the_end(store: Store) -> None:
    store.put_new("b/2", b"0123456789")
    found = store.get_ranges("b/2", [(7, 2), (0, 1), (3, 4), (3, 4)])
    assert [bytes(part) for part in found] == [b"78", b"0", b"3456", b"3456"]
    assert list(store.get_ranges("b/2", [])) == []
    assert [len(part) for part in store.get_ranges("b/2", [(8, 4)])] == [2]
    assert [len(part) for part in store.get_ranges("b/2", [(99, 4)])] == [0]
    with pytest.raises(FileNotFoundError):
        store.get_ranges("b/3", [(0, 1)])


def test_keys_are_listed_as_sorted_strings_and_only_those_below_the_folder(store: Store) -> None:
    keys = ["a-b/1", "a.b", "a/1", "a/2/3", "a/2-3", "a0", "ab/c", "b"]
    for key in reversed(keys):
        store.put_new(key, b"x")
    assert list(store.list()) == sorted(keys)
    assert list(store.list("a")) == ["a/1", "a/2-3", "a/2/3"]
    assert list(store.list("a/2")) == ["a/2/3"]
    assert list(store.list("none")) == list(store.list("b")) == []


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_a_key_that_would_leave_the_store_is_refused(store: Store, key: str) -> None:
    for call in (store.get, store.open, store.exists, store.size, store.delete):
        with pytest.raises(ValueError):
            call(key)
    for write in (store.put_new, store.put):
        with pytest.raises(ValueError):
            write(key, b"x")


def test_keys_with_characters_that_urls_do_not_like_are_kept_as_they_are(store: Store) -> None:
    keys = ["a b/c+d", "a%20b", "a=b&c", "ä/ö~'()"]
    for key in keys:
        store.put_new(key, key.encode())
    assert [store.get(key).decode() for key in keys] == keys
    assert list(store.list()) == sorted(keys)


def test_a_missing_object_is_named_by_its_key_alone(store: Store) -> None:
    for call in (store.get, store.open, store.size, lambda key: store.get_range(key, 0, 1)):
        with pytest.raises(FileNotFoundError, match=r"^volumes/missing$"):
            call("volumes/missing")


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.put_new("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert list(store.list()) == []
    assert store.put_new("a/b", b"y") or store.get("a/b") == b"y"


def test_an_object_knows_when_it_was_written(store: Store) -> None:
    store.put_new("a", b"x")
    assert abs(store.modified("a") - time.time()) < 60
    with pytest.raises(FileNotFoundError, match=r"^none$"):
        store.modified("none")


@pytest.mark.parametrize("size", [0, 100, 5_000_000])
def test_an_object_opens_as_a_file_to_seek_in(store: Store, size: int) -> None:
    content = np.random.default_rng(1).bytes(size)
    store.put_new("large", content)
    with store.open("large") as stream:
        assert stream.seek(0, io.SEEK_END) == size
        assert stream.read() == b""
        for start, length in ((size // 2, 7), (0, 3), (max(0, size - 5), 100), (size // 3, 2_000_000)):
            stream.seek(start)
            assert stream.read(length) == content[start : start + length]
        stream.seek(0)
        assert stream.read() == content


def test_a_buffer_that_is_no_bytes_is_written_too(store: Store) -> None:
    store.put_new("view", memoryview(bytearray(b"abc"))[1:])
    store.put("other", io.BytesIO(b"xyz").getbuffer())
    assert (store.get("view"), store.get("other")) == (b"bc", b"xyz")


def test_a_store_opens_again_from_its_url_and_below_a_key_and_from_a_pickle(store: Store) -> None:
    store.put_new("a/b/c", b"x")
    assert open_store(store.url).get("a/b/c") == b"x"
    assert list(open_store(f"{store.url}/a").list()) == ["b/c"]
    assert pickle.loads(pickle.dumps(store)).get("a/b/c") == b"x"  # noqa: S301 - our own
    assert lies_within(f"{store.url}/a", store.url)


def test_the_promises_hold_and_proving_them_leaves_nothing(store: Store) -> None:
    prove_store(store)
    assert list(store.list()) == []


def test_a_table_is_read_back_whole_and_by_its_rows(store: Store) -> None:
    table = pa.table({"key": [f"{n:06d}" for n in range(200_000)], "noise": np.random.default_rng(2).random(200_000)})
    write_table(store, "parts/rows.parquet", table, sort_by=["key"])
    assert read_table(store, "parts/rows.parquet").equals(table)
    filters = pq.filters_to_expression([("key", "=", "150000")])
    assert read_table(store, "parts/rows.parquet", filters=filters)["key"].to_pylist() == ["150000"]


def test_a_volume_is_written_verified_and_read_in_parts(store: Store) -> None:
    array = np.random.default_rng(3).integers(-1000, 1000, (70, 96, 80), dtype=np.int16)
    grid = Grid(array.shape, np.diag([2.0, 1.0, 1.0, 1.0]))
    mask = (array > 500).astype(np.uint8)
    url = f"{store.url}/volumes/s/0.zarr"
    write_volume(url, array, grid, modality="CT", units="HU", labels={"vertebrae": mask})
    verify_volume(url, array, grid, labels={"vertebrae": mask})
    volume = open_volume(url)
    np.testing.assert_array_equal(volume.crop((10, 20, 30), (5, 6, 7)), array[10:15, 20:26, 30:37])
    np.testing.assert_array_equal(volume.label("vertebrae"), mask)
    with pytest.raises(FileNotFoundError):
        open_volume(f"{store.url}/volumes/s/1.zarr")
