"""Tables: the same rows give the same bytes, and what does not fit a schema is refused."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curate.manifests import read_table, schemas, sort_rows, table_bytes, tables_bytes, write_table
from curate.manifests.tables import ROWS_PER_GROUP, SCHEMAS, SORT_KEYS
from curate.storage import open_store


def points(count: int = 7) -> pa.Table:
    rows = [
        {
            "study_key": f"study-{n % 3}",
            "series_key": f"series-{n % 2}",
            "stack": 0,
            "instance_key": f"instance-{n}",
            "instance_number": n,
            "condition": "spinal_canal_stenosis",
            "level": "l1_l2",
            "column": 1.5 * n,
            "row": 2.0,
            "point_mm": [float(n), -1.0, 2.5],
            "point_index": None if n == 3 else [1.0, 2.0, 3.0],
        }
        for n in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.POINTS)


def test_rows_in_any_order_and_any_chunking_give_the_same_bytes(tmp_path: Path) -> None:
    table = points(50)
    backwards = pa.concat_tables([table.slice(n, 1) for n in reversed(range(50))])
    store = open_store(tmp_path)
    first = write_table(store, "manifests/points.parquet", table)
    second = write_table(store, "manifests/points.parquet", backwards)
    assert first == second
    assert backwards["study_key"].num_chunks == 50
    assert hashlib.sha256((tmp_path / "manifests/points.parquet").read_bytes()).hexdigest() == first.sha256


def test_rows_that_agree_on_every_documented_key_still_have_one_order() -> None:
    rows = [{"table": "boxes", "row": None, "study_key": None, "reason": "x", "detail": text} for text in "cab"]
    table = pa.Table.from_pylist(rows, schema=schemas.LABEL_ISSUES)
    assert sort_rows(table, ["table"]).equals(sort_rows(table.take([2, 0, 1]), ["table"]))
    assert sort_rows(table, ["table"])["detail"].to_pylist() == ["a", "b", "c"]


def test_bytes_keep_the_order_of_the_rows_and_forget_chunks_and_metadata() -> None:
    table = points(9)
    pieces = pa.concat_tables([table.slice(n, 3) for n in (0, 3, 6)]).replace_schema_metadata({"pandas": "{}"})
    assert table_bytes(pieces) == table_bytes(table)
    assert pq.read_table(io.BytesIO(table_bytes(table.take([4, 1]))))["instance_number"].to_pylist() == [4, 1]


def test_what_was_written_is_read_back_with_nulls_and_lists(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    written = write_table(store, "manifests/points.parquet", points())
    table = read_table(store, written.key)
    assert table.schema.equals(schemas.POINTS)
    assert written.rows == table.num_rows == 7
    assert written.size == (tmp_path / written.key).stat().st_size
    by_instance = {row["instance_key"]: row for row in table.to_pylist()}
    assert by_instance == {row["instance_key"]: row for row in points().to_pylist()}


def test_a_table_is_sorted_by_its_documented_keys(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    table = read_table(store, write_table(store, "manifests/points.parquet", points(20)).key)
    keys = [tuple(row[name] for name in SORT_KEYS["points"]) for row in table.to_pylist()]
    assert keys == sorted(keys)


def test_columns_and_rows_can_be_chosen_when_reading(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    write_table(store, "manifests/points.parquet", points())
    table = read_table(
        store, "manifests/points.parquet", columns=["instance_number"], filters=pc.field("study_key") == "study-1"
    )
    assert table.to_pydict() == {"instance_number": [4, 1]}  # series-0 before series-1


def test_a_newer_view_replaces_the_older_one(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    write_table(store, "manifests/points.parquet", points(2))
    write_table(store, "manifests/points.parquet", points(5))
    assert read_table(store, "manifests/points.parquet").num_rows == 5
    assert list(store.list()) == ["manifests/points.parquet"]


def test_a_missing_table_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(open_store(tmp_path), "manifests/points.parquet")


def test_columns_in_another_order_or_of_a_narrower_type_are_brought_into_the_schema(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    table = points()
    narrow = table.set_column(4, "instance_number", table["instance_number"].cast(pa.int32()))
    narrow = narrow.select(sorted(narrow.column_names)).replace_schema_metadata({"writer": "someone"})
    assert write_table(store, "manifests/points.parquet", narrow) == write_table(
        store, "manifests/points.parquet", table
    )


def test_a_missing_or_unexpected_column_is_refused_by_name(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(ValueError, match=r"points: columns missing: \['level'\]"):
        write_table(store, "manifests/points.parquet", points().drop_columns(["level"]))
    with pytest.raises(ValueError, match=r"do not belong: \['name'\]"):
        write_table(store, "manifests/points.parquet", points().append_column("name", pa.array(["x"] * 7)))


def test_a_column_of_another_type_is_refused_without_quoting_its_values(tmp_path: Path) -> None:
    table = points()
    text = table.set_column(4, "instance_number", pa.array(["secret words"] * 7))
    with pytest.raises(ValueError, match="another type") as caught:
        write_table(open_store(tmp_path), "manifests/points.parquet", text)
    assert "secret" not in str(caught.value)


def test_a_table_of_an_unknown_name_needs_an_order(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    table = pa.table({"b": [2, 1], "a": ["x", "y"]})
    with pytest.raises(ValueError, match="sort it by"):
        write_table(store, "truth/landmarks.parquet", table)
    write_table(store, "truth/landmarks.parquet", table, sort_by=["b"])
    assert read_table(store, "truth/landmarks.parquet")["b"].to_pylist() == [1, 2]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_table_can_be_empty(name: str, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    write_table(store, f"manifests/{name}.parquet", SCHEMAS[name].empty_table())
    assert read_table(store, f"manifests/{name}.parquet").schema.equals(SCHEMAS[name])


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_documented_keys_are_columns_of_the_schema(name: str) -> None:
    assert set(SORT_KEYS[name]) <= set(SCHEMAS[name].names)


def test_samples_keep_the_schema_of_their_task(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for schema in (schemas.CERVICAL_SAMPLES, schemas.LUMBAR_SAMPLES):
        write_table(store, "manifests/samples.parquet", schema.empty_table())
        assert read_table(store, "manifests/samples.parquet").schema.equals(schema)


def test_row_groups_have_a_fixed_length_and_zstd_compression() -> None:
    content = table_bytes(pa.table({"n": range(ROWS_PER_GROUP + 1)}))
    parquet = pq.ParquetFile(io.BytesIO(content)).metadata
    assert [parquet.row_group(n).num_rows for n in range(parquet.num_row_groups)] == [ROWS_PER_GROUP, 1]
    assert parquet.row_group(0).column(0).compression == "ZSTD"


def test_pieces_are_read_back_as_one_table_and_each_is_a_row_group() -> None:
    pieces = [points(5), points(3)]
    content = tables_bytes(pieces)
    assert pq.read_table(io.BytesIO(content)).equals(pa.concat_tables(pieces))
    assert pq.ParquetFile(io.BytesIO(content)).num_row_groups == 2
    assert tables_bytes([points(5)]) == table_bytes(points(5))


def test_columns_that_hardly_repeat_are_written_without_a_dictionary() -> None:
    content = tables_bytes([points(50)], distinct=("instance_key",), level=1)
    group = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    coded = {
        group.column(n).path_in_schema: any("DICTIONARY" in name for name in group.column(n).encodings)
        for n in range(group.num_columns)
    }
    assert not coded["instance_key"]
    assert coded["series_key"]
    assert pq.read_table(io.BytesIO(content)).equals(points(50))


def test_a_table_of_no_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="no schema"):
        tables_bytes([])


def test_columns_come_in_the_order_in_which_they_are_asked_for(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    write_table(store, "manifests/points.parquet", points(9))
    whole = read_table(store, "manifests/points.parquet")
    assert read_table(store, "manifests/points.parquet", columns=["level", "study_key"]).equals(
        whole.select(["level", "study_key"])
    )
