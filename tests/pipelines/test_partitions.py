"""Partitioned tables: every row is in one place that its key tells, and nothing of another plan is read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Unavailable
from curate.storage import LocalStore, open_store
from pipelines.partitions import (
    PartitionWriter,
    find_index,
    part_key,
    partition_count,
    partition_numbers,
    partition_of,
    read_index,
    read_partitions,
    read_rows_of,
    read_whole,
)

TABLE = "catalogue/things"


def rows(*keys: str) -> pa.Table:
    return pa.table({"series_key": pa.array(keys, pa.string()), "number": pa.array(range(len(keys)), pa.int64())})


def written(store: LocalStore, parts: list[pa.Table], made_of: str = "this") -> None:
    writer = PartitionWriter(store, TABLE, len(parts))
    for part in parts:
        writer.write([part])
    writer.finish(made_of, {"rows": sum(part.num_rows for part in parts)})


@pytest.mark.parametrize(("count", "partitions"), [(0, 1), (1, 1), (100, 1), (101, 2), (200, 2), (201, 4), (1601, 32)])
def test_there_are_as_few_partitions_as_hold_the_rows_and_a_power_of_two(count: int, partitions: int) -> None:
    assert partition_count(count, 100) == partitions


@settings(deadline=None)
@given(st.lists(st.text(max_size=6), max_size=40), st.sampled_from([1, 2, 8, 64]))
def test_a_column_of_keys_goes_where_each_key_goes(keys: list[str], partitions: int) -> None:
    found = partition_numbers(pa.array(keys, pa.string()), partitions)
    assert found.tolist() == [partition_of(key, partitions) for key in keys]
    assert partition_numbers(pa.chunked_array([keys[:3], keys[3:]], pa.string()), partitions).tolist() == found.tolist()


def test_where_a_key_belongs_never_changes() -> None:
    assert [partition_of(key, 16) for key in ("2.25.1", "2.25.2", "series", "")] == [7, 13, 13, 0]


def test_a_partition_splits_into_two_of_the_next_plan_and_no_other() -> None:
    keys = [f"2.25.{n}" for n in range(1000)]
    assert all(partition_of(key, 16) % 8 == partition_of(key, 8) for key in keys)


def test_uids_and_digests_spread_evenly() -> None:
    random = np.random.default_rng(3)
    for keys in (
        [f"2.25.{random.integers(10**18)}" for _ in range(6400)],
        [random.bytes(20).hex() for _ in range(6400)],
    ):
        counts = Counter(partition_of(key, 64) for key in keys)
        assert len(counts) == 64
        assert max(counts.values()) < 2 * 100


def test_a_table_is_read_back_partition_by_partition_and_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    written(store, [rows("a", "b"), rows(), rows("c")])
    assert [part["series_key"].to_pylist() for part in read_partitions(store, TABLE)] == [["a", "b"], [], ["c"]]
    assert read_whole(store, TABLE, columns=["number"]).to_pydict() == {"number": [0, 1, 0]}
    assert read_whole(store, TABLE, filters=pc.field("number") == 0)["series_key"].to_pylist() == ["a", "c"]
    assert read_index(store, TABLE).counts == {"rows": 3}


def test_partitions_are_read_only_when_asked_for(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    written(store, [rows("a"), rows("b")])
    store.path(part_key(TABLE, 1, 2)).unlink()
    assert next(read_partitions(store, TABLE)).num_rows == 1
    with pytest.raises(FileNotFoundError):
        list(read_partitions(store, TABLE))


def test_the_rows_of_a_series_come_from_its_one_partition(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    keys = [f"2.25.{n}" for n in range(50)]
    written(store, [rows(*(key for key in keys if partition_of(key, 8) == number)) for number in range(8)])
    for number in range(8):
        if number != partition_of("2.25.7", 8):
            store.path(part_key(TABLE, number, 8)).unlink()
    assert read_rows_of(store, TABLE, "2.25.7", 8)["series_key"].to_pylist() == ["2.25.7"]


@pytest.mark.parametrize("later", [1, 2, 8])
def test_what_an_earlier_plan_left_behind_is_never_read(tmp_path: Path, later: int) -> None:
    store = open_store(tmp_path)
    written(store, [rows(f"old-{n}") for n in range(4)])
    written(store, [rows(f"new-{n}") for n in range(later)])
    assert sorted(read_whole(store, TABLE)["series_key"].to_pylist()) == [f"new-{n}" for n in range(later)]
    assert store.exists(part_key(TABLE, 0, 4))


def test_a_plan_that_was_killed_half_way_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    written(store, [rows("a"), rows("b")])
    PartitionWriter(store, TABLE, 4).write([rows("half")])
    assert read_whole(store, TABLE)["series_key"].to_pylist() == ["a", "b"]


def test_a_table_without_all_its_partitions_gets_no_index(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = PartitionWriter(store, TABLE, 2)
    writer.write([rows("a")])
    with pytest.raises(ValueError, match="1 of 2"):
        writer.finish("this")
    with pytest.raises(FileNotFoundError):
        read_index(store, TABLE)
    assert find_index(store, TABLE, "this") is None


def test_an_index_is_found_by_what_the_table_is_made_of(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    written(store, [rows("a")], made_of="this")
    assert find_index(store, TABLE, "this") == read_index(store, TABLE)
    assert find_index(store, TABLE, "that") is None


def test_the_digest_is_of_the_bytes_of_all_partitions(tmp_path: Path) -> None:
    found = []
    for name, parts in (("0", [rows("a"), rows("b")]), ("1", [rows("a"), rows("b")]), ("2", [rows("a"), rows("c")])):
        store = open_store(tmp_path / name)
        written(store, parts)
        found.append(read_index(store, TABLE).digest)
    assert found[0] == found[1] != found[2]


def test_each_piece_is_a_row_group_of_its_own(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = PartitionWriter(store, TABLE, 1)
    writer.write([rows("a", "b"), rows("c")])
    writer.finish("this")
    file = pq.ParquetFile(store.path(part_key(TABLE, 0, 1)))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2, 1]


def test_what_the_storage_refuses_is_raised_before_there_is_an_index(tmp_path: Path) -> None:
    class Refusing(LocalStore):
        def put(self, key: str, content: bytes | memoryview) -> None:
            raise Unavailable("no space")

    writer = PartitionWriter(Refusing(tmp_path), "t", 1)
    writer.write([pa.table({"a": [1]})])
    with pytest.raises(Unavailable, match="no space"):
        writer.finish("m")
