"""Dask on Ray and on threads: the same integers, chunks that respect the stored ones, and no patch left behind."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.base
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.dask import Scheduler, align_chunks, compute, has_ray, open_array, open_table
from cluster.memory import measure_peak, reset_peak
from cluster.session import Session, start
from curate.errors import Misconfigured, Rejected, Unavailable
from curate.reasons import Reason
from curate.storage import LocalStore

SHAPE = (40, 30, 20)
WHOLE = np.arange(math.prod(SHAPE), dtype=np.int32).reshape(SHAPE)


def read(start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The box of a known array."""
    return WHOLE[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]


def read_in_process(start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The process that reads, in the shape of the box."""
    return np.full([b - a for a, b in zip(start, stop, strict=True)], os.getpid(), dtype=np.int64)


def refuse(start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray[Any, Any]:
    raise Rejected(Reason.SLICE_GAP, "10 mm")


def crash(start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray[Any, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def draw(start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A box of an array that is nowhere whole."""
    return np.full([b - a for a, b in zip(start, stop, strict=True)], 3, dtype=np.int16)


def array(name: str = "whole", **options: Any) -> da.Array:
    return open_array(read, SHAPE, np.int32, (4, 8, 8), name=name, most_bytes=4096, **options)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with start(workers=2) as session:
        yield session


@given(
    shape=st.tuples(*[st.integers(1, 300)] * 3),
    chunk=st.tuples(*[st.integers(1, 64)] * 3),
    itemsize=st.sampled_from([1, 2, 4]),
    most_bytes=st.integers(1, 1 << 20),
)
def test_blocks_cover_the_array_on_borders_of_stored_chunks(
    shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int, most_bytes: int
) -> None:
    chunks = align_chunks(shape, chunk, itemsize, most_bytes=most_bytes)
    assert tuple(map(sum, chunks)) == shape
    for sizes, stored, whole in zip(chunks, chunk, shape, strict=True):
        borders = np.cumsum(sizes)[:-1]
        assert all(border % stored == 0 for border in borders)
        assert len(set(sizes[:-1])) <= 1
        assert all(0 < size <= whole for size in sizes)
    largest = math.prod(max(sizes) for sizes in chunks) * itemsize
    smallest = math.prod(min(c, n) for c, n in zip(chunk, shape, strict=True)) * itemsize
    assert largest <= max(most_bytes, smallest)


def test_what_fits_is_one_block() -> None:
    assert align_chunks((100, 64, 64), (32, 64, 64), 2) == ((100,), (64,), (64,))


def test_a_volume_larger_than_a_block_is_cut_along_its_first_axis() -> None:
    chunks = align_chunks((1000, 512, 512), (32, 64, 64), 2, most_bytes=64 << 20)
    assert chunks == ((128,) * 7 + (104,), (512,), (512,))


@pytest.mark.parametrize("wrong", [((4, 4), (2,), 1), ((0, 4), (2, 2), 1), ((4, 4), (2, 0), 1), ((4, 4), (2, 2), 0)])
def test_shapes_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="sizes of 1 or more"):
        align_chunks(*wrong)


def test_threads_compute_where_no_session_is_up() -> None:
    assert not has_ray()
    lazy = array()
    assert lazy.npartitions > 4
    whole, total = compute(lazy, lazy.sum(dtype=np.int64))
    assert np.array_equal(whole, WHOLE)
    assert total == int(WHOLE.sum(dtype=np.int64))
    (processes,) = compute(open_array(read_in_process, SHAPE, np.int64, (4, 8, 8), name="p", most_bytes=4096))
    assert set(np.unique(processes)) == {os.getpid()}


def test_ray_that_is_asked_for_and_is_not_there_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no Ray session is up"):
        compute(array(), scheduler="ray")


def test_ray_computes_the_same_in_its_workers(session: Session) -> None:
    assert has_ray()
    lazy = array()
    (on_ray,) = compute(lazy.astype(np.int64).sum(axis=0))
    (on_threads,) = compute(lazy.astype(np.int64).sum(axis=0), scheduler="threads")
    assert np.array_equal(on_ray, on_threads)
    assert np.array_equal(on_ray, WHOLE.sum(axis=0, dtype=np.int64))
    boxes = open_array(read_in_process, SHAPE, np.int64, (4, 8, 8), name="p", most_bytes=4096)
    (processes,) = compute(boxes, memory=1 << 20)
    assert os.getpid() not in set(np.unique(processes))


def test_dask_is_left_as_it_was(session: Session) -> None:
    before = dask.persist, dask.base.DaskMethodsMixin.persist, dask.config.get("scheduler", None)
    compute(array().sum(), scheduler="ray")
    assert (dask.persist, dask.base.DaskMethodsMixin.persist, dask.config.get("scheduler", None)) == before
    assert dask.persist.__module__.startswith("dask")


@pytest.mark.parametrize("scheduler", ["ray", "threads"])
def test_an_error_of_ours_in_a_task_is_that_error(session: Session, scheduler: Scheduler) -> None:
    with pytest.raises(Rejected) as caught:
        compute(open_array(refuse, SHAPE, np.int32, (4, 8, 8), name="refused"), scheduler=scheduler)
    assert caught.value.reason is Reason.SLICE_GAP


def test_a_task_that_kills_its_worker_ends_the_computation_and_not_the_driver(session: Session) -> None:
    with pytest.raises(Unavailable, match=r"\(WorkerCrashedError\)"):
        compute(open_array(crash, (4, 4, 4), np.int32, (4, 4, 4), name="crash"), scheduler="ray")


def test_an_array_larger_than_what_may_be_used_is_summed_block_by_block() -> None:
    """A gigabyte, of which two blocks of eight megabytes and their sums are held at once."""
    lazy = open_array(draw, (2048, 512, 512), np.int16, (32, 64, 64), name="large", most_bytes=8 << 20)
    reset_peak()
    before = measure_peak()
    (total,) = compute(lazy.sum(dtype=np.int64), scheduler="threads")
    assert total == 3 * 2048 * 512 * 512
    assert measure_peak() - before < 300 << 20


@pytest.fixture
def table(tmp_path: Path) -> tuple[str, pd.DataFrame]:
    """Two objects of several row groups, and all their rows."""
    rows = pa.table({"site": ["a", "b", "c", "a", "b"] * 4, "size": list(range(20)), "unused": [0.5] * 20})
    for number, part in enumerate((rows.slice(0, 12), rows.slice(12))):
        sink = pa.BufferOutputStream()
        pq.write_table(part, sink, row_group_size=5)
        LocalStore(tmp_path).put_new(f"parts/{number}.parquet", bytes(sink.getvalue()))
    return str(tmp_path), rows.to_pandas()


@pytest.mark.parametrize("scheduler", ["ray", "threads"])
def test_a_table_is_read_row_group_by_row_group(
    session: Session, table: tuple[str, pd.DataFrame], scheduler: Scheduler
) -> None:
    url, rows = table
    frame = open_table(url, ["parts/0.parquet", "parts/1.parquet"], columns=["site", "size"])
    assert frame.npartitions == 5
    assert list(frame.columns) == ["site", "size"]
    (totals, whole) = compute(frame.groupby("site")["size"].sum(), frame, scheduler=scheduler)
    assert dict(totals) == dict(rows.groupby("site")["size"].sum())
    assert list(whole["size"]) == list(rows["size"])


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"site": pa.array([], pa.string())}), sink)
    LocalStore(tmp_path).put_new("empty.parquet", bytes(sink.getvalue()))
    (frame,) = compute(open_table(str(tmp_path), ["empty.parquet"]), scheduler="threads")
    assert (list(frame.columns), len(frame)) == (["site"], 0)


def test_a_table_of_nothing_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        open_table(str(tmp_path), [])
    with pytest.raises(FileNotFoundError):
        open_table(str(tmp_path), ["absent.parquet"])
