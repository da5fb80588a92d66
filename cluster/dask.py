"""Dask over the same workers: arrays larger than a worker and tables, on Ray where a session is up, else on threads.

The scheduler is always given, never set: importing Ray's patches ``dask.persist`` for everybody, which is undone here.
Results must not depend on the scheduler: sum integers, not floats. Units of work stay with the executors; Dask is not
for scheduling items.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import dask
import dask.array as da
import dask.base
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from cluster.units import MARGIN_DENOMINATOR, MARGIN_NUMERATOR
from curate.errors import CurateError, Misconfigured, Unavailable
from curate.storage import open_store

BLOCK_BYTES = 64 << 20  # of an array held at once by a task
TRIES = 3  # of a task whose worker was lost

Scheduler = Literal["ray", "threads"]
Read = Callable[[tuple[int, ...], tuple[int, ...]], NDArray[Any]]


def has_ray() -> bool:
    """Whether a Ray session is up in this process."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def compute(*collections: Any, scheduler: Scheduler | None = None, memory: int = 0) -> tuple[Any, ...]:
    """Compute Dask collections together, on Ray if a session is up and nothing else is asked for, else on threads.

    ``memory``: bytes that a task may need, which Ray is told with a margin; one amount for all, for Ray schedules each
    amount apart. Raises ``Misconfigured`` when Ray is asked for and no session is up, the error of a task that is a
    ``CurateError`` as it is, and ``Unavailable`` when Ray gives up.
    """
    chosen = scheduler or ("ray" if has_ray() else "threads")
    if chosen == "threads":
        threads = len(os.sched_getaffinity(0))
        return _compute(*collections, scheduler="threads", num_workers=threads)
    if not has_ray():
        raise Misconfigured("Dask is to run on Ray, and no Ray session is up")
    from ray.exceptions import RayError, RayTaskError

    options: dict[str, Any] = {"num_cpus": 1, "max_retries": TRIES}
    if memory:
        options["memory"] = memory * MARGIN_NUMERATOR // MARGIN_DENOMINATOR
    try:
        return _compute(*collections, scheduler=_ray_get(), ray_remote_args=options)
    except RayTaskError as error:
        if isinstance(error.cause, CurateError):
            raise error.cause from None
        raise
    except RayError as error:
        raise Unavailable(f"the Ray cluster stopped answering ({type(error).__name__})") from None


def align_chunks(
    shape: Sequence[int], chunk: Sequence[int], itemsize: int, *, most_bytes: int = BLOCK_BYTES
) -> tuple[tuple[int, ...], ...]:
    """Dask chunks whose borders are borders of the stored ``chunk``, as large as ``most_bytes`` allows.

    No stored chunk is then read twice. Grows along the last axis first, in which neighbours lie together. A stored
    chunk above ``most_bytes`` stands alone. Raises ``ValueError`` when ranks differ or a size is below 1.
    """
    if len(shape) != len(chunk) or min((*shape, *chunk, itemsize), default=0) < 1:
        raise ValueError("shape and chunk need the same number of axes, and sizes of 1 or more")
    block = [min(size, whole) for size, whole in zip(chunk, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        room = max(most_bytes // (math.prod(block) * itemsize), 1)
        block[axis] = min(block[axis] * room, shape[axis])
    return tuple(
        tuple(min(size, whole - start) for start in range(0, whole, size))
        for size, whole in zip(block, shape, strict=True)
    )


def open_array(
    read: Read,
    shape: Sequence[int],
    dtype: DTypeLike,
    chunk: Sequence[int],
    *,
    name: str,
    most_bytes: int = BLOCK_BYTES,
) -> da.Array:
    """An array of which every task reads its own box by ``read(start, stop)``; nothing is read before it is computed.

    ``read`` travels to the workers, so let it open by URL and be small. ``name`` tells arrays apart: two of one name
    are taken for the same. ``chunk`` is how the array is stored (the inner chunk of a Zarr shard).
    """
    kind = np.dtype(dtype)
    chunks = align_chunks(shape, chunk, kind.itemsize, most_bytes=most_bytes)
    borders = [tuple(itertools.accumulate(sizes, initial=0)) for sizes in chunks]
    tasks = {}
    for place in itertools.product(*(range(len(sizes)) for sizes in chunks)):
        start = tuple(border[at] for border, at in zip(borders, place, strict=True))
        stop = tuple(border[at + 1] for border, at in zip(borders, place, strict=True))
        tasks[(name, *place)] = (read, start, stop)
    return da.Array(tasks, name, chunks=chunks, dtype=kind)  # type: ignore[no-untyped-call]


def open_table(url: str, keys: Sequence[str], *, columns: Sequence[str] | None = None) -> Any:
    """A ``dask.dataframe`` of Parquet objects of one store, one partition a row group, read where it is computed.

    Raises ``ValueError`` without keys, ``FileNotFoundError`` and ``Unavailable`` as the store does.
    """
    import dask.dataframe as dd

    if not keys:
        raise ValueError("a table needs at least one object")
    store = open_store(url)
    parts: list[tuple[str, int]] = []
    for key in keys:
        with store.open(key) as content:
            parts += [(key, group) for group in range(pq.ParquetFile(content).num_row_groups)]
    with store.open(keys[0]) as content:
        empty = pq.ParquetFile(content).schema_arrow.empty_table()
    wanted = None if columns is None else list(columns)
    meta = (empty if wanted is None else empty.select(wanted)).to_pandas()
    if not parts:
        return dd.from_pandas(meta, npartitions=1)  # type: ignore[no-untyped-call]
    return dd.from_map(  # type: ignore[no-untyped-call]
        _read_group, parts, url=str(url), columns=wanted, meta=meta
    )


def _read_group(part: tuple[str, int], url: str, columns: list[str] | None) -> Any:
    key, group = part
    with open_store(url).open(key) as content:
        return pq.ParquetFile(content).read_row_group(group, columns=columns, use_threads=False).to_pandas()


def _compute(*collections: Any, **options: Any) -> tuple[Any, ...]:
    return tuple(dask.base.compute(*collections, **options))  # type: ignore[no-untyped-call]


def _ray_get() -> Any:
    patched = ((dask, "persist"), (dask.base.DaskMethodsMixin, "persist"))
    before = [getattr(place, name) for place, name in patched]
    from ray.util.dask import ray_dask_get

    for (place, name), value in zip(patched, before, strict=True):
        setattr(place, name, value)
    return ray_dask_get
