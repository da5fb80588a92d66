from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate.phantoms.truth import TABLES, Truth


def test_every_table_is_written_though_empty(tmp_path: Path) -> None:
    Truth().write(tmp_path / "truth")
    for name, schema in TABLES.items():
        table = pq.read_table(tmp_path / "truth" / f"{name}.parquet")
        assert table.schema.equals(schema)
        assert table.num_rows == 0


def test_columns_that_are_not_named_are_null(tmp_path: Path) -> None:
    truth = Truth()
    truth.note("expected", study="s", outcome="done")
    truth.write(tmp_path / "truth")
    row = pq.read_table(tmp_path / "truth" / "expected.parquet").to_pylist()[0]
    assert (row["study"], row["outcome"], row["reason"]) == ("s", "done", None)


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        Truth().note("nothing", study="s")
