"""Sorting rows out into partitions: the same rows come out, whatever was held and whatever waited on the disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.partitions import partition_of
from pipelines.shuffle import Shuffle

SCHEMA = pa.schema([("key", pa.string()), ("number", pa.int64()), ("places", pa.list_(pa.float64(), 3))])


def table(first: int, count: int) -> pa.Table:
    numbers = list(range(first, first + count))
    places = [[n, n + 0.5, -n] if n % 3 else None for n in numbers]
    return pa.table({"key": [f"2.25.{n % 37}" for n in numbers], "number": numbers, "places": places}, schema=SCHEMA)


def filled(folder: Path, partitions: int, held_bytes: int) -> Shuffle:
    shuffle = Shuffle(folder, SCHEMA, partitions, held_bytes=held_bytes)
    for first in range(0, 1000, 100):
        rows = table(first, 100)
        shuffle.add(rows, rows["key"])
    return shuffle


@pytest.mark.parametrize("held_bytes", [0, 10_000, 2**30])
@pytest.mark.parametrize("partitions", [1, 8])
def test_every_row_comes_out_in_its_partition_in_the_order_in_which_it_came(
    tmp_path: Path, partitions: int, held_bytes: int
) -> None:
    shuffle = filled(tmp_path / "s", partitions, held_bytes)
    everything = table(0, 1000).to_pylist()
    for number in range(partitions):
        expected = [row for row in everything if partition_of(row["key"], partitions) == number]
        assert shuffle.partition(number).to_pylist() == expected
    assert shuffle.rows == 1000


def test_what_is_held_stays_in_memory_and_what_is_more_goes_to_the_folder(tmp_path: Path) -> None:
    filled(tmp_path / "held", 8, 2**30)
    filled(tmp_path / "spilled", 8, 10_000)
    assert list((tmp_path / "held").iterdir()) == []
    assert len(list((tmp_path / "spilled").iterdir())) == 8


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    filled(tmp_path / "s", 2, 0)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_partitions_may_be_asked_for_again_and_in_any_order(tmp_path: Path) -> None:
    shuffle = filled(tmp_path / "s", 4, 20_000)
    first = [shuffle.partition(number) for number in range(4)]
    assert [shuffle.partition(number) for number in (3, 2, 1, 0)] == first[::-1]


def test_an_empty_one_gives_empty_partitions(tmp_path: Path) -> None:
    shuffle = Shuffle(tmp_path / "s", SCHEMA, 4)
    assert shuffle.partition(2).equals(SCHEMA.empty_table())
    shuffle.add(SCHEMA.empty_table(), SCHEMA.empty_table()["key"])
    assert shuffle.partition(2).equals(SCHEMA.empty_table())


def test_rows_may_come_with_keys_that_are_not_among_their_columns(tmp_path: Path) -> None:
    shuffle = Shuffle(tmp_path / "s", pa.schema([("number", pa.int64())]), 8)
    rows = table(0, 100)
    shuffle.add(rows, rows["key"])
    for number in range(8):
        assert {partition_of(f"2.25.{n % 37}", 8) for n in shuffle.partition(number)["number"].to_pylist()} <= {number}


def test_a_column_of_another_type_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    shuffle = Shuffle(tmp_path / "s", pa.schema([("number", pa.int64())]), 2)
    bad = pa.table({"number": ["one"]})
    with pytest.raises(pa.ArrowInvalid):
        shuffle.add(bad, bad["number"])
    assert shuffle.rows == 0
