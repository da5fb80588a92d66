"""Text that a Parquet file holds behind its compression: every string and binary value, name and metadata entry."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def iterate_text(parquet: pq.ParquetFile) -> Iterator[bytes]:
    """UTF-8 pieces, one a column and row group; distinct values separated by a zero byte.

    Raises ``pa.ArrowException`` or ``OSError`` when damaged.
    """
    yield b"\0".join(_schema_text(parquet.schema_arrow))
    for number in range(parquet.num_row_groups):
        for column in parquet.read_row_group(number).columns:
            yield b"\0".join(_texts(column))


def _schema_text(schema: pa.Schema) -> Iterator[bytes]:
    yield from _metadata_text(schema.metadata)
    for field in schema:
        yield field.name.encode()
        yield from _metadata_text(field.metadata)


def _metadata_text(metadata: dict[bytes, bytes] | None) -> Iterator[bytes]:
    for key, value in (metadata or {}).items():
        yield key
        yield value


def _texts(column: pa.ChunkedArray) -> Iterator[bytes]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        for chunk in column.chunks:
            yield from _texts(pa.chunked_array([chunk.dictionary]))
    elif pa.types.is_map(kind):
        for chunk in column.chunks:
            yield from _texts(pa.chunked_array([chunk.keys]))
            yield from _texts(pa.chunked_array([chunk.items]))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _texts(pc.list_flatten(column))
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _texts(pc.struct_field(column, [number]))
    elif pa.types.is_temporal(kind):
        yield from _texts(pc.cast(column, pa.string()))
    elif _is_text(kind):
        for value in pc.unique(column).to_pylist():
            if value is not None:
                yield value if isinstance(value, bytes) else value.encode()


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests) or pa.types.is_fixed_size_binary(kind)
