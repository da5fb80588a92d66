"""The identifiers that runs met and removed, kept in the private zone: what a release is searched for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pyarrow as pa

from curate.deid import Identifier
from curate.manifests import read_table, table_bytes
from curate.storage import Store

IDENTIFIERS = "identifiers"  # folder of the private zone
IDENTIFIER = pa.schema([("kind", pa.string()), ("value", pa.string())])


def identifiers_bytes(identifiers: Iterable[Identifier]) -> bytes:
    """An IDENTIFIER table as Parquet, sorted: equal sets give equal bytes."""
    rows = [asdict(identifier) for identifier in sorted(identifiers)]
    return table_bytes(pa.Table.from_pylist(rows, schema=IDENTIFIER))


def read_identifiers(private: Store) -> Iterator[Identifier]:
    """Every identifier that any run met and removed."""
    for key in private.list(IDENTIFIERS):
        for row in read_table(private, key).to_pylist():
            yield Identifier(row["kind"], row["value"])
