"""Segments: many receipts in one immutable Parquet object, one row an outcome.

A segment is named by the digest of the receipts it holds, so the same receipts give the same name and the same rows.
Every field of a receipt is kept: what has no column of its own stands as JSON in ``header``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.outcomes import DamagedReceipt, Receipt
from curate.identity import canonical_json, digest_json
from curate.storage import Store, sha256_bytes
from curate.storage.store import unavailable

ROWS_PER_GROUP = 2048  # an outcome of a large series is some 50 kB: what is looked up one by one is read in small parts
_AS_OBJECTS = 256  # receipts, or rows, as Python objects at a time

SEGMENT = pa.schema(
    [
        ("receipt", pa.string()),  # its name
        ("position", pa.int32()),  # of the item in its unit
        ("fingerprint", pa.string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("bytes", pa.int64()),  # published for the item
        ("unit", pa.string()),
        ("version", pa.int32()),
        ("parameters", pa.string()),
        ("peak", pa.int64()),  # bytes of memory, of the unit
        ("outputs", pa.list_(pa.struct([("key", pa.string()), ("sha256", pa.string()), ("size", pa.int64())]))),
        ("record", pa.string()),  # JSON
        ("header", pa.string()),  # JSON: the receipt's other fields
    ]
)
OF_RECEIPT = {"unit_id": "unit", "version": "version", "parameters": "parameters", "peak_memory_bytes": "peak"}
_OF_OUTCOME = ("key", "fingerprint", "status", "reason", "detail", "outputs")


def receipts_table(receipts: Iterable[tuple[str, Receipt]]) -> pa.Table:
    """SEGMENT rows of receipts with their names, in the order in which they come."""
    left = iter(receipts)
    parts = iter(lambda: list(islice(left, _AS_OBJECTS)), [])
    return pa.concat_tables([SEGMENT.empty_table(), *map(_rows, parts)])


def _rows(receipts: Iterable[tuple[str, Receipt]]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in SEGMENT.names}
    for name, receipt in receipts:
        fields = receipt.to_fields()
        outcomes = fields.pop("outcomes")
        own = {column: fields.pop(field) for field, column in OF_RECEIPT.items()}
        own |= {"receipt": name, "header": canonical_json(fields).decode()}
        for position, outcome in enumerate(outcomes):
            row = own | {column: outcome[column] for column in _OF_OUTCOME}
            row |= {"position": position, "record": canonical_json(outcome["record"]).decode()}
            row["bytes"] = sum(output["size"] for output in outcome["outputs"])
            for column, values in columns.items():
                values.append(row[column])
    return pa.Table.from_pydict(columns, schema=SEGMENT)


def receipts_in(table: pa.Table) -> Iterator[tuple[str, Receipt]]:
    """The receipts whose rows these are, with their names. All columns and all rows of a receipt are needed."""
    every = (row for batch in table.to_batches(_AS_OBJECTS) for row in batch.to_pylist())
    for name, rows in groupby(every, key=itemgetter("receipt")):
        members = list(rows)
        fields = json.loads(members[0]["header"])
        fields |= {field: members[0][column] for field, column in OF_RECEIPT.items()}
        fields["outcomes"] = [
            {**{column: row[column] for column in _OF_OUTCOME}, "record": json.loads(row["record"])} for row in members
        ]
        yield name, Receipt.from_json(canonical_json(fields))


def segment_digest(contents: Mapping[str, bytes]) -> str:
    """The name of the segment that holds these receipts, 32 hexadecimal digits."""
    return digest_json([[name, sha256_bytes(contents[name])] for name in sorted(contents)])[:32]


def segment_bytes(table: pa.Table) -> bytes:
    """Parquet: the same rows give the same bytes under the same pyarrow."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.combine_chunks(),
        sink,
        version="2.6",
        compression="zstd",
        row_group_size=ROWS_PER_GROUP,
        write_page_checksum=True,
        use_dictionary=["receipt", "status", "reason", "detail", "unit", "parameters", "header"],
    )
    return bytes(sink.getvalue())


def read_segment(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of a segment, checked against their checksums.

    Raises ``FileNotFoundError``, ``DamagedReceipt`` naming the segment, and ``Unavailable`` when the store refuses.
    """
    with store.open(key) as content:
        file = _open(key, content)
        return _checked(key, lambda: select(file.read(columns=columns, use_threads=False), columns))


def find_rows(store: Store, key: str, column: str, values: Collection[str]) -> pa.Table:
    """Whole rows of a segment whose ``column`` has one of the values; only row groups with a hit are read whole.

    Raises as ``read_segment`` does.
    """
    with store.open(key) as content:
        file = _open(key, content)

        def hits(group: int) -> pa.Table:
            marks = is_one_of(file.read_row_group(group, [column], use_threads=False), column, values)
            if not pc.any(marks).as_py():
                return SEGMENT.empty_table()
            return file.read_row_group(group, use_threads=False).filter(marks)

        def read() -> pa.Table:
            return pa.concat_tables([SEGMENT.empty_table(), *map(hits, range(file.num_row_groups))])

        return _checked(key, read)


def is_one_of(table: pa.Table, column: str, values: Collection[str]) -> pa.ChunkedArray:
    """Which rows have one of the values."""
    return pc.is_in(table[column], value_set=pa.array(sorted(values), pa.string()))


def select(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """Some columns, or all."""
    return table if columns is None else table.select(list(columns))


def _open(key: str, content: BinaryIO) -> Any:
    return _checked(key, lambda: pq.ParquetFile(content, page_checksum_verification=True, pre_buffer=False))


def _checked(key: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (pa.ArrowException, ValueError, EOFError) as error:
        raise DamagedReceipt(f"{key}: the segment cannot be read ({type(error).__name__})") from None
    except OSError as error:
        if error.errno is None:  # pyarrow's word for bytes that do not decode or have another checksum
            raise DamagedReceipt(f"{key}: the segment cannot be read") from None
        raise unavailable("read", error) from None
