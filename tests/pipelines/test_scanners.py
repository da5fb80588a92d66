"""Series by scanner, held against counting by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import Misconfigured
from curate.manifests import write_table
from curate.manifests.schemas import SERIES
from curate.storage import LocalStore
from pipelines.scanners import BY, SCANNERS, SERIES_KEY, count_scanners

ROWS = [
    {
        "site": f"site-{number % 3}",
        "modality": "CT",
        "manufacturer": ("ACME", "Other", None)[number % 4 % 3],
        "manufacturer_model_name": ("One", None)[number % 2],
        "series_key": f"{number:03d}",
        "status": ("done", "rejected")[number % 5 == 0],
        "instances": number,
        "size_bytes": 1000 * number,
    }
    for number in range(40)
]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    write_table(store, SERIES_KEY, pa.Table.from_pylist(ROWS, schema=SERIES), sort_by=("series_key",))
    return store


def test_every_series_is_counted_once_by_its_scanner(store: LocalStore) -> None:
    table = count_scanners(store, scheduler="threads")
    assert table.schema.equals(SCANNERS)
    wanted = Counter(tuple(row[name] for name in BY) for row in ROWS)
    found = {tuple(row[name] for name in BY): row for row in table.to_pylist()}
    assert {key: row["series"] for key, row in found.items()} == dict(wanted)
    for key, row in found.items():
        ours = [one for one in ROWS if tuple(one[name] for name in BY) == key]
        assert row["done"] == sum(one["status"] == "done" for one in ours)
        assert row["instances"] == sum(one["instances"] for one in ours)
        assert row["size_bytes"] == sum(one["size_bytes"] for one in ours)
    assert [row["site"] for row in table.to_pylist()] == sorted(row["site"] for row in table.to_pylist())


def test_without_manifests_it_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="curate run"):
        count_scanners(LocalStore(tmp_path), scheduler="threads")
