"""Rows sorted out into partitions in bounded memory: what exceeds it waits in a scratch folder of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.partitions import partition_numbers

HELD_BYTES = 256 * 2**20  # of rows in memory before they are written to the folder


class Shuffle:
    """Takes tables of any rows, gives them back partition by partition, each in the order in which it came.

    ``folder`` should be readable by its owner alone (``cluster.scratch``): rows may be private. It grows to the size of
    the rows and is the caller's to remove. Memory: ``held_bytes`` of rows, twice while they are sorted out, and the
    partition that is asked for.
    """

    def __init__(self, folder: Path, schema: pa.Schema, partitions: int, *, held_bytes: int = HELD_BYTES) -> None:
        self._folder = folder
        self._schema = schema
        self._partitions = partitions
        self._held_bytes = held_bytes
        self._held: list[pa.Table] = []
        self._numbers: list[NDArray[np.int64]] = []
        self._bytes = 0
        self._is_sorted_out = False
        self.rows = 0
        folder.mkdir(mode=0o700)

    def add(self, table: pa.Table, keys: pa.ChunkedArray) -> None:
        """Keep rows of the schema; ``keys``, one a row, decide where each belongs."""
        self._held.append(table.select(self._schema.names).cast(self._schema))
        self._numbers.append(partition_numbers(keys, self._partitions))
        self._bytes += table.nbytes
        self._is_sorted_out = False
        self.rows += table.num_rows
        if self._bytes > self._held_bytes:
            self._spill()

    def partition(self, number: int) -> pa.Table:
        """The rows of one partition. Call it when all rows are added."""
        if self._held and not self._is_sorted_out:
            rows, numbers = self._sorted_out()
            self._held, self._numbers, self._is_sorted_out = [rows], [numbers], True
        held = []
        if self._held:
            first, last = np.searchsorted(self._numbers[0], (number, number + 1))
            held = [self._held[0].slice(first, last - first)]
        return pa.concat_tables([self._schema.empty_table(), *self._spilled(number), *held])

    def _sorted_out(self) -> tuple[pa.Table, NDArray[np.int64]]:
        """All held rows by partition, and the partition of each."""
        rows, numbers = pa.concat_tables(self._held), np.concatenate(self._numbers)
        if self._partitions == 1:
            return rows, numbers
        order = np.argsort(numbers, kind="stable")
        return rows.take(pa.array(order)), numbers[order]

    def _spill(self) -> None:
        rows, numbers = self._sorted_out()
        self._held, self._numbers, self._bytes = [], [], 0
        rows = rows.combine_chunks()
        present, starts = np.unique(numbers, return_index=True)
        for number, start, end in zip(present, starts, [*starts[1:], len(numbers)], strict=True):
            with self._path(int(number)).open("ab", buffering=0) as stream:
                for batch in rows.slice(start, end - start).to_batches():
                    stream.write(batch.serialize())

    def _spilled(self, number: int) -> list[pa.Table]:
        path = self._path(number)
        if not path.exists():
            return []
        batches = []
        with pa.memory_map(str(path)) as stream:
            while stream.tell() < stream.size():
                batches.append(pa.ipc.read_record_batch(pa.ipc.read_message(stream), self._schema))
        return [pa.Table.from_batches(batches, self._schema)]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}.arrow"
