"""Tables in partitions: ``<table>/00003-of-00016.parquet``, and an index that says which of them count.

A series is in one partition whole, by a hash of its key. Not by patient or site: a series whose instances name two
patients or two sites must be seen as one to be rejected as such. Not by study either: what is read, judged, planned and
settled together is the series.

The name of a partition says of how many it is one, and ``<table>/index.json`` is written last. So partitions that an
earlier, larger plan left behind are never read, and a plan that was killed half-way leaves the one before in force.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.identity import Json, canonical_json, digest_json
from curate.manifests import read_table, tables_bytes
from curate.storage import Store, sha256_bytes

_FORMAT = 1
_LEVEL = 1  # of zstd: keys and digests hardly compress, a higher one only takes longer


@dataclass(frozen=True)
class Index:
    """Which partitions make up a table."""

    partitions: int
    made_of: str  # digest: where it is equal, the partitions need not be made again
    digest: str = ""  # of the bytes of all partitions
    counts: Mapping[str, int] = field(default_factory=dict)  # over all partitions, as the maker of the table counts


def partition_count(rows: int, rows_per_partition: int) -> int:
    """The smallest power of two that leaves no more rows than this to a partition, on average."""
    return 1 << (max(rows - 1, 0) // rows_per_partition).bit_length()


def partition_of(key: str, partitions: int) -> int:
    """The partition of one key, the same wherever it is asked."""
    return crc32(key.encode()) % partitions


def partition_numbers(keys: pa.Array | pa.ChunkedArray, partitions: int) -> NDArray[np.int64]:
    """``partition_of`` for a column of keys."""
    if partitions == 1:
        return np.zeros(len(keys), np.int64)
    encoded = (keys if isinstance(keys, pa.Array) else keys.combine_chunks()).dictionary_encode()
    distinct = encoded.dictionary.cast(pa.binary()).to_pylist()
    numbers = np.fromiter(map(crc32, distinct), np.int64, len(distinct)) % partitions
    codes: NDArray[np.int32] = encoded.indices.to_numpy(zero_copy_only=False)
    return numbers[codes]


def part_key(table: str, number: int, partitions: int) -> str:
    """The store key of one partition."""
    return f"{table}/{number:05d}-of-{partitions:05d}.parquet"


def read_index(store: Store, table: str) -> Index:
    """Raises ``FileNotFoundError`` when the table was never finished."""
    fields = json.loads(store.get(f"{table}/index.json"))
    del fields["format"]
    return Index(**fields)


def find_index(store: Store, table: str, made_of: str) -> Index | None:
    """The index of a table that is finished and made of exactly this, or None."""
    try:
        found = read_index(store, table)
    except FileNotFoundError:
        return None
    return found if found.made_of == made_of else None


def read_part(
    store: Store,
    table: str,
    number: int,
    partitions: int,
    *,
    columns: Sequence[str] | None = None,
    filters: pc.Expression | None = None,
) -> pa.Table:
    """One partition, or of it some columns, or the rows that an expression keeps."""
    return read_table(store, part_key(table, number, partitions), columns=columns, filters=filters)


def read_rows_of(store: Store, table: str, series_key: str, partitions: int) -> pa.Table:
    """The rows of one series, from the one partition that can hold it; reads a row group or two of it."""
    number = partition_of(series_key, partitions)
    return read_part(store, table, number, partitions, filters=pc.field("series_key") == series_key)


def read_partitions(
    store: Store, table: str, *, columns: Sequence[str] | None = None, filters: pc.Expression | None = None
) -> Iterator[pa.Table]:
    """Every partition that the index names, one after another. Raises ``FileNotFoundError`` if there is no index."""
    partitions = read_index(store, table).partitions
    for number in range(partitions):
        yield read_part(store, table, number, partitions, columns=columns, filters=filters)


def read_whole(
    store: Store, table: str, *, columns: Sequence[str] | None = None, filters: pc.Expression | None = None
) -> pa.Table:
    """All partitions as one table, for those who need it whole."""
    return pa.concat_tables(read_partitions(store, table, columns=columns, filters=filters))


class PartitionWriter:
    """Writes the partitions of one table in their order, and then its index.

    A partition is on its way to the storage while the next one is made: what the storage refuses is raised by the next
    call. ``distinct``: columns whose values hardly repeat.
    """

    def __init__(self, store: Store, table: str, partitions: int, *, distinct: Collection[str] = ()) -> None:
        self._store = store
        self._distinct = distinct
        self._table = table
        self._partitions = partitions
        self._digests: list[Json] = []
        self._pool = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None

    def write(self, pieces: Iterable[pa.Table]) -> None:
        """Write the next partition: each piece is sorted already and becomes row groups of its own."""
        content = tables_bytes(pieces, level=_LEVEL, distinct=self._distinct)
        self._wait()
        key = part_key(self._table, len(self._digests), self._partitions)
        self._under_way = self._pool.submit(self._store.put, key, content)
        self._digests.append(sha256_bytes(content))

    def finish(self, made_of: str, counts: Mapping[str, int] | None = None) -> Index:
        """Write the index: from now on these partitions are the table."""
        if len(self._digests) != self._partitions:
            raise ValueError(f"{len(self._digests)} of {self._partitions} partitions are written")
        self._wait()
        self._pool.shutdown()
        digest = digest_json(self._digests)
        index = Index(self._partitions, made_of, digest, dict(counts or {}))
        self._store.put(f"{self._table}/index.json", canonical_json({"format": _FORMAT, **asdict(index)}))
        return index

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
