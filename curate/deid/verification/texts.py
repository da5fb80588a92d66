"""Everything that can be read in a released file, as text: cells of tables, strings of JSON, members of archives.

What is compressed is looked into; what is not known is searched as bytes only.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_LARGEST = 1 << 30
_BATCH = 65_536
_OPAQUE = (".parquet", ".png", ".gz", ".zip", ".npy", ".npz", ".jpg", ".pt")


def is_opaque(name: str, content: bytes) -> bool:
    """Whether the bytes are no text: short words in them are chance."""
    return name.endswith(_OPAQUE) or b"\0" in content[:4096] or _is_chunk(name)


def read_texts(name: str, content: bytes) -> Iterator[str]:
    """Pieces of decoded text. Raises ValueError when a file is not what its name says."""
    try:
        if content[:4] == b"PAR1":
            yield from _parquet(content)
        elif content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as stream:
                yield from read_texts(name.removesuffix(".gz"), stream.read(_LARGEST))
        elif content[:4] == b"PK\3\4":
            yield from _zip(content)
        elif name.endswith(".json"):
            yield from _strings(json.loads(content))
        elif not is_opaque(name, content):
            yield content.decode("utf-8", "replace")
    except (pa.ArrowException, OSError, EOFError, zipfile.BadZipFile, zlib.error, RecursionError, NotImplementedError):
        raise ValueError("cannot be read as what it is") from None


def _parquet(content: bytes) -> Iterator[str]:
    table = pq.ParquetFile(io.BytesIO(content))
    yield from (
        text.decode("utf-8", "replace") for pair in (table.schema_arrow.metadata or {}).items() for text in pair
    )
    yield "\n".join(table.schema_arrow.names)
    for batch in table.iter_batches(batch_size=_BATCH):
        for column in batch.columns:
            yield "\n".join(_strings(column.to_pylist()))


def _zip(content: bytes) -> Iterator[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield archive.comment.decode("utf-8", "replace")
        for entry in archive.infolist():
            yield entry.filename
            yield entry.comment.decode("utf-8", "replace")
            if entry.file_size <= _LARGEST:
                yield from read_texts(entry.filename, archive.read(entry))


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bytes():
            yield value.decode("utf-8", "replace")
        case dict():
            for name, inner in value.items():
                yield str(name)
                yield from _strings(inner)
        case list() | tuple():
            for inner in value:
                yield from _strings(inner)
        case None | bool() | float():
            return
        case _:
            yield str(value)


def _is_chunk(name: str) -> bool:
    """A chunk of a Zarr array: below a ``.zarr`` folder, and not its metadata."""
    return ".zarr/" in name and not name.endswith(".json")
