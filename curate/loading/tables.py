"""The tables that training starts from, read from a store or a release."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from curate.manifests.tables import read_table
from curate.storage import open_store

NEEDED = "samples", "volumes", "objects"
USED = "boxes", "points"  # where there are any


def open_manifests(
    url: str | Path, *, needed: Sequence[str] = NEEDED, used: Sequence[str] = USED
) -> dict[str, pa.Table]:
    """Name -> table, from ``manifests/`` of the store or release at ``url``, a folder or a bucket.

    ``samples``, ``volumes``, ``objects``, and ``boxes`` or ``points`` where they are; or those that are named. Raises
    ``FileNotFoundError`` with its key when one of ``needed`` is missing, ``Unavailable`` when storage refuses.
    """
    store = open_store(url)
    tables = {name: read_table(store, _key(name)) for name in needed}
    for name in used:
        with contextlib.suppress(FileNotFoundError):
            tables[name] = read_table(store, _key(name))
    return tables


def _key(name: str) -> str:
    return f"manifests/{name}.parquet"
