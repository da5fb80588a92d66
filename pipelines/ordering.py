"""Any number of rows in the order of their table, in bounded memory: what exceeds it waits in a scratch folder.

Runs of sorted rows are written first; then the rows between two bounds are taken out of every run, one stretch of keys
after another, and sorted together. The rows come out as one sort of all of them would give them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from curate.manifests import sort_rows

HELD_BYTES = 2 * 2**20  # of rows in memory before they are written to the folder
STRETCH = 4  # as many times these bytes come out at a time
_SAMPLES_OF_RUN, _SAMPLES = 64, 65_536  # keys that bounds are chosen from, at most
_BATCH = 4096  # rows

_Key = tuple[tuple[bool, str], ...]


class Ordering:
    """Takes tables of any rows, gives them back in order, a stretch at a time.

    ``keys`` as in ``sort_rows``; the first of them must be a string, and rows that agree in the strings that it begins
    with are sorted together in memory. ``folder`` is the caller's to remove. Call ``pieces`` when all rows are added.
    """

    def __init__(self, folder: Path, schema: pa.Schema, keys: Sequence[str], *, held_bytes: int = HELD_BYTES) -> None:
        self.rows = 0
        self.schema = schema
        self._path = folder / "runs.arrow"
        self._keys = keys
        self._held_bytes = held_bytes
        self._held: list[pa.Table] = []
        self._bytes = self._spilled_bytes = 0
        self._begins: list[int] = []  # of the runs, in their file
        count = next((n for n, key in enumerate(keys) if schema.field(key).type != pa.string()), len(keys))
        if not count:
            raise ValueError(f"{keys[0]} is no string")
        self._names = keys[:count]
        folder.mkdir(mode=0o700)

    def add(self, table: pa.Table) -> None:
        """Keep rows of the schema."""
        if not table.num_rows:
            return
        self._held.append(table.select(self.schema.names).cast(self.schema).combine_chunks())  # chunks cost kilobytes
        self.rows += table.num_rows
        self._bytes += table.nbytes
        if self._bytes > self._held_bytes:
            self._spill()

    def pieces(self) -> Iterator[pa.Table]:
        """All rows in order; of no rows one empty table."""
        runs = [*self._read_runs(), *([self._sorted()] if self._held else [])]
        if len(runs) < 2:
            yield from runs or [self.schema.empty_table()]
            return
        ends = [0] * len(runs)
        for bound in [*self._bounds(runs), None]:
            starts, ends = ends, [self._place(run, bound, end) for run, end in zip(runs, ends, strict=True)]
            stretch = [run.slice(start, end - start) for run, start, end in zip(runs, starts, ends, strict=True)]
            if any(part.num_rows for part in stretch):
                yield sort_rows(pa.concat_tables(stretch), self._keys)

    def _sorted(self) -> pa.Table:
        return sort_rows(pa.concat_tables(self._held), self._keys)

    def _spill(self) -> None:
        with self._path.open("ab") as sink:
            self._begins.append(sink.tell())
            with pa.ipc.new_stream(sink, self.schema) as writer:
                writer.write_table(self._sorted(), max_chunksize=_BATCH)
        self._spilled_bytes += self._bytes
        self._held, self._bytes = [], 0

    def _read_runs(self) -> list[pa.Table]:
        if not self._begins:
            return []
        whole = pa.memory_map(str(self._path)).read_buffer()  # mapped, not read
        return [pa.ipc.open_stream(whole.slice(begin)).read_all() for begin in self._begins]

    def _bounds(self, runs: Sequence[pa.Table]) -> list[_Key]:
        """Keys between which about ``held_bytes`` of rows lie."""
        of_run = max(min(_SAMPLES_OF_RUN, _SAMPLES // len(runs)), 1)
        keys = sorted(
            self._key(run, row) for run in runs for row in range(0, run.num_rows, max(run.num_rows // of_run, 1))
        )
        stretches = min((self._spilled_bytes + self._bytes) // (STRETCH * self._held_bytes) + 1, len(keys))
        return [keys[len(keys) * number // stretches] for number in range(1, stretches)]

    def _place(self, run: pa.Table, bound: _Key | None, start: int) -> int:
        """The first row at or after ``start`` that does not come before the bound: looked for in its neighbourhood."""
        if bound is None:
            return int(run.num_rows)
        reach = 1
        while start + reach < run.num_rows and self._key(run, start + reach) < bound:
            start, reach = start + reach, 2 * reach
        end = min(start + reach, run.num_rows)
        return bisect_left(range(end), bound, start, key=lambda row: self._key(run, row))

    def _key(self, run: pa.Table, row: int) -> _Key:
        values = [run[name][row].as_py() for name in self._names]
        return tuple((value is None, value or "") for value in values)  # nulls come last
