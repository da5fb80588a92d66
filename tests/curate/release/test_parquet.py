import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.release.parquet import iterate_text


def text_of(table: pa.Table, **options: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return b"|".join(iterate_text(pq.ParquetFile(stream)))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", "Abernathy", None]),
        pa.array(["x", "Abernathy", None], pa.large_string()),
        pa.array([b"x", b"Abernathy", None]),
        pa.array(["x", "Abernathy", "x"]).dictionary_encode(),
        pa.array([["x"], ["y", "Abernathy"], None]),
        pa.array([[["x"]], [["y", "Abernathy"]], None], pa.list_(pa.list_(pa.string()))),
        pa.array([["x", "y"], ["y", "Abernathy"]], pa.list_(pa.string(), 2)),
        pa.array([{"a": 1, "b": "Abernathy"}, None]),
        pa.array([{"a": [{"b": "Abernathy"}]}]),
        pa.array([[("key", "Abernathy")]], pa.map_(pa.string(), pa.string())),
        pa.array([[("Abernathy", 1)]], pa.map_(pa.string(), pa.int32())),
    ],
)
def test_text_is_found_in_a_column_of_any_shape(column: pa.Array) -> None:
    assert b"Abernathy" in text_of(pa.table({"c": column}), compression="zstd")


def test_dates_that_are_no_text_are_written_out() -> None:
    days = pa.array([18722], pa.date32())  # days since 1970
    assert b"2021-04-05" in text_of(pa.table({"c": days}))
    assert b"2021-04-05" in text_of(pa.table({"c": days.cast(pa.timestamp("ms"))}))


def test_names_of_columns_and_metadata_are_text_too() -> None:
    schema = pa.schema(
        [pa.field("Abernathy", pa.int32(), metadata={"note": "Bjornstad"})], metadata={"k": "Castellano"}
    )
    text = text_of(pa.table({"Abernathy": [1]}).cast(schema))
    assert all(name in text for name in (b"Abernathy", b"Bjornstad", b"Castellano"))


def test_every_row_group_is_read_and_equal_values_are_given_once() -> None:
    table = pa.table({"c": ["same"] * 9 + ["last"]})
    assert text_of(table, row_group_size=5).count(b"same") == 2
    assert b"last" in text_of(table, row_group_size=5)


def test_numbers_are_not_text() -> None:
    assert b"19400312" not in text_of(pa.table({"c": [19400312]}))


def test_an_empty_table_has_only_its_schema() -> None:
    assert text_of(pa.table({"c": pa.array([], pa.string())})).startswith(b"c")
