"""Tables as Parquet objects whose bytes depend on nothing but the rows.

The named tables are sorted by the keys below and then by every other plain column, row groups have a fixed length, and
no clock or writer's metadata goes in, so the same rows in any order, from any number of workers, give the same digest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.manifests import schemas
from curate.storage import Store, sha256_bytes
from curate.storage.store import unavailable

ROWS_PER_GROUP = 16_384  # in memory while a large table is written, and read to find one series
ZSTD_LEVEL = 3

SORT_KEYS = {  # by the name of the table, which is the last part of its key without ".parquet"
    "files": ("site", "file_key"),
    "instances": ("series_key", "stack", "position_in_stack", "instance_key"),
    "series": ("site", "patient_key", "study_key", "series_key"),
    "volumes": ("site", "patient_key", "study_key", "series_key", "stack"),
    "slices": ("series_key", "stack", "position_in_stack"),
    "boxes": ("study_key", "series_key", "stack", "instance_number", "row", "column"),
    "points": ("study_key", "condition", "level", "series_key"),
    "objects": ("study_key", "object", "series_key", "stack"),
    "samples": ("site", "patient_key", "study_key"),
    "label_issues": ("table", "row", "study_key", "reason", "detail"),
    "audit": ("series_key", "instance_key"),
}

SCHEMAS = {  # "samples" has one schema a task and keeps the one it comes with
    "files": schemas.FILES,
    "instances": schemas.INSTANCES,
    "series": schemas.SERIES,
    "volumes": schemas.VOLUMES,
    "slices": schemas.SLICES,
    "boxes": schemas.BOXES,
    "points": schemas.POINTS,
    "objects": schemas.OBJECTS,
    "label_issues": schemas.LABEL_ISSUES,
    "audit": schemas.FILE_AUDIT,
}


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """What was published: a store key, the SHA-256 of the object, its size in bytes and its number of rows."""

    key: str
    sha256: str
    size: int
    rows: int


def table_bytes(table: pa.Table) -> bytes:
    """Parquet bytes (zstd) of the rows in the order given."""
    return tables_bytes([table])


def tables_bytes(pieces: Iterable[pa.Table], *, level: int = ZSTD_LEVEL, distinct: Collection[str] = ()) -> bytes:
    """Parquet bytes of one or more tables of one schema, one after another; each begins a row group of its own.

    Pieces are asked for one by one, so that a large table need not be in memory whole. ``level``: of zstd.
    ``distinct``: columns whose values hardly repeat, for which a dictionary would cost time and space. Raises
    ``ValueError`` if there is no piece.
    """
    sink = pa.BufferOutputStream()
    _write_parquet(sink, pieces, level, distinct)
    return bytes(sink.getvalue())


def write_table(store: Store, key: str, table: pa.Table, *, sort_by: Sequence[str] | None = None) -> WrittenTable:
    """Write ``manifests/<name>.parquet`` or ``catalogue/<name>.parquet``, replacing an older one atomically.

    A table whose name is known is cast to its schema, columns in the schema's order, and sorted by its documented keys;
    for others give ``sort_by``. These tables are views of the ledger, the one kind of object that may be replaced.

    Raises ``ValueError`` when the name is unknown and no order is given, or when a column is missing, unexpected or of
    another type; ``Unavailable`` when the store refuses.
    """
    name = PurePosixPath(key).stem
    if sort_by is None and name not in SORT_KEYS:
        raise ValueError(f"{name}: not a table of the store; say what to sort it by")
    content = table_bytes(sort_rows(_conform(table, name), SORT_KEYS[name] if sort_by is None else sort_by))
    store.put(key, content)
    return WrittenTable(key, sha256_bytes(content), len(content), table.num_rows)


def write_pieces(store: Store, key: str, pieces: Iterable[pa.Table]) -> WrittenTable:
    """``write_table`` for rows that come in order and in pieces, each in memory only until it is compressed.

    The same rows give the same bytes; they wait in a temporary file for the store. Raises as ``write_table`` does, and
    ``ValueError`` if there is no piece.
    """
    name = PurePosixPath(key).stem
    rows = 0

    def counted(piece: pa.Table) -> pa.Table:
        nonlocal rows
        rows += piece.num_rows
        return _conform(piece, name)

    with tempfile.TemporaryFile() as file:
        _write_parquet(file, map(counted, _in_groups(pieces)))
        file.flush()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped, memoryview(mapped) as content:
            store.put(key, content)
            return WrittenTable(key, sha256_bytes(content), len(content), rows)


def read_table(
    store: Store,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    filters: pc.Expression | None = None,
) -> pa.Table:
    """Read a table back, or only some columns, or only the rows that a pyarrow expression keeps.

    Raises ``FileNotFoundError`` if there is no such object and ``Unavailable`` when the store refuses.
    """
    with store.open(key) as content:  # of a large table, a filter on what it is sorted by reads one row group
        try:
            # Without threads: those of pyarrow 26 that still read a Python file when the process ends abort it.
            if filters is None:  # the way without a data set, which costs a third
                found = pq.ParquetFile(content).read(columns=columns, use_threads=False)
                return found if columns is None else found.select(list(columns))
            return pq.read_table(
                content,
                columns=None if columns is None else list(columns),
                filters=filters,
                use_threads=False,
                pre_buffer=False,
            )
        except OSError as error:
            raise unavailable("read", error) from None


def sort_rows(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Rows by the keys and then by every other plain (not nested) column; nulls come last."""
    plain = [field.name for field in table.schema if not pa.types.is_nested(field.type) and field.name not in keys]
    order = [(name, "ascending") for name in (*keys, *plain)]
    return table.sort_by(order) if order and table.num_rows else table


def _in_groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of exactly one row group, but for the last."""
    held: list[pa.Table] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.num_rows
        while count > ROWS_PER_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS_PER_GROUP)
            held, count = [whole.slice(ROWS_PER_GROUP)], count - ROWS_PER_GROUP
            del whole  # what is written is not held while the next piece is made
    if held:
        yield pa.concat_tables(held)


def _conform(table: pa.Table, name: str) -> pa.Table:
    schema = SCHEMAS.get(name)
    if schema is None:
        return table
    absent = [column for column in schema.names if column not in table.column_names]
    surplus = [column for column in table.column_names if column not in schema.names]
    if absent or surplus:
        raise ValueError(f"{name}: columns missing: {absent}; columns that do not belong: {surplus}")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{name}: a column has another type than the schema ({type(error).__name__})") from None


def _write_parquet(
    sink: pa.NativeFile | IO[bytes], pieces: Iterable[pa.Table], level: int = ZSTD_LEVEL, distinct: Collection[str] = ()
) -> None:
    writer: pq.ParquetWriter | None = None
    for piece in pieces:
        # One chunk a column and no pandas metadata: chunk borders and metadata of the maker would change the bytes.
        whole = piece.replace_schema_metadata(None).combine_chunks()
        if writer is None:
            options = {"version": "2.6", "compression": "zstd", "compression_level": level}
            repeating = [name for name in whole.schema.names if name not in distinct] if distinct else True
            writer = pq.ParquetWriter(sink, whole.schema, use_dictionary=repeating, **options)
        writer.write_table(whole, row_group_size=ROWS_PER_GROUP)
        del piece, whole
    if writer is None:
        raise ValueError("a table of no piece has no schema")
    writer.close()
