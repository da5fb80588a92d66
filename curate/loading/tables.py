"""The tables that training starts from, read from a store or a release."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa

from curate.manifests.tables import read_table
from curate.storage import open_store

NEEDED = "samples", "volumes", "objects"
USED = "boxes", "points"  # where there are any


def open_manifests(url: str | Path) -> dict[str, pa.Table]:
    """Name -> table, from ``manifests/`` of the store or release at ``url``, a folder or a bucket.

    ``samples``, ``volumes``, ``objects``, and ``boxes`` or ``points`` where they are. Raises ``FileNotFoundError`` when
    one of the first three is missing, ``Unavailable`` when storage refuses.
    """
    store = open_store(url)
    tables = {name: read_table(store, _key(name)) for name in NEEDED}
    for name in USED:
        with contextlib.suppress(FileNotFoundError):
            tables[name] = read_table(store, _key(name))
    return tables


def _key(name: str) -> str:
    return f"manifests/{name}.parquet"
