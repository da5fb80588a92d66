"""Rows that do not fit in memory come out as one sort of all of them would give them, and as the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.manifests import sort_rows, tables, write_pieces, write_table
from curate.manifests.schemas import FILES, SLICES
from curate.manifests.tables import SORT_KEYS
from curate.storage import LocalStore
from pipelines.ordering import Ordering

KEYS = SORT_KEYS["files"]


def rows(count: int, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    sites = pa.array([f"site-{n}" for n in draw.integers(0, 3, count)])
    keys = pa.array([None if n == 7 else f"{n:03d}é" for n in draw.integers(0, 200, count)])
    told = {"size_bytes": draw.integers(0, 9, count), "reason": pa.repeat("not_dicom", count)}
    return pa.table({"site": sites, "file_key": keys, **told, "detail": pa.nulls(count, pa.string())}, schema=FILES)


def ordered(folder: Path, table: pa.Table, *, held_bytes: int, at_once: int = 50) -> list[pa.Table]:
    ordering = Ordering(folder, FILES, KEYS, held_bytes=held_bytes)
    for first in range(0, table.num_rows, at_once):
        ordering.add(table.slice(first, at_once))
    assert ordering.rows == table.num_rows
    return list(ordering.pieces())


@pytest.mark.parametrize("held_bytes", [1_000, 10_000, 10**9])
def test_the_order_is_that_of_one_sort(tmp_path: Path, held_bytes: int) -> None:
    table = rows(1000)
    found = ordered(tmp_path / "scratch", table, held_bytes=held_bytes)
    assert pa.concat_tables(found).equals(sort_rows(table, KEYS))


def test_what_is_in_memory_at_a_time_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    largest = []
    for count in (2_000, 20_000):
        found = ordered(tmp_path / str(count), rows(count), held_bytes=10_000, at_once=500)
        largest.append(max(piece.num_rows for piece in found))
    assert largest[1] < 3 * largest[0]
    assert largest[1] < 2_000


def test_rows_of_one_key_stay_together(tmp_path: Path) -> None:
    same = pa.concat_tables([rows(1)] * 300)
    assert [piece.num_rows for piece in ordered(tmp_path / "scratch", same, held_bytes=500)] == [300]


def test_of_no_rows_there_is_one_empty_table(tmp_path: Path) -> None:
    ordering = Ordering(tmp_path / "scratch", FILES, KEYS)
    ordering.add(FILES.empty_table())
    assert [piece.num_rows for piece in ordering.pieces()] == [0]


def test_a_table_that_is_sorted_by_no_string_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no string"):
        Ordering(tmp_path / "scratch", SLICES, ("stack", "series_key"))


def test_pieces_give_the_bytes_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 300)
    store = LocalStore(tmp_path / "store")
    for count in (0, 299, 300, 301, 1500, 2000):
        table = rows(count)
        whole = write_table(store, "manifests/files.parquet", table)
        pieces = iter(ordered(tmp_path / f"scratch{count}", table, held_bytes=3_000)) if count else [table]
        assert write_pieces(store, "manifests/files.parquet", pieces) == whole
