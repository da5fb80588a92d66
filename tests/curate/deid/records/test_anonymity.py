"""k-anonymity, counted in patients and worked out by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.deid.records.anonymity import ENOUGH, QUASI_IDENTIFIERS, age_band, measure, suppress


def series(*rows: tuple[str, str, str | None, str | None]) -> pa.Table:
    names = ("patient_key", "site", "patient_sex", "manufacturer_model_name")
    return pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows], schema=pa.schema([(name, pa.string()) for name in names])
    )


def crowd(count: int, site: str = "a", sex: str = "F", model: str = "M1") -> list[tuple[str, str, str, str]]:
    return [(f"{site}{sex}{model}{number}", site, sex, model) for number in range(count)]


def test_patients_are_counted_and_not_rows() -> None:
    figure = measure("series", series(*[("one", "a", "F", "M1")] * 10))
    assert (figure.k, figure.patients, figure.patients_below) == (1, 1, 1)
    assert not figure.is_enough


def test_the_smallest_group_gives_k() -> None:
    figure = measure("series", series(*crowd(7), *crowd(6, sex="M"), *crowd(5, site="b")))
    assert (figure.k, figure.patients, figure.patients_below) == (5, 18, 0)
    assert figure.quasi_identifiers == ("manufacturer_model_name", "patient_sex", "site")
    assert figure.is_enough


def test_a_missing_value_is_a_value_of_its_own() -> None:
    assert measure("series", series(*crowd(5), ("x", "a", None, "M1"))).k == 1


def test_a_table_without_quasi_identifiers_hides_everybody_among_all() -> None:
    table = pa.table({"series_key": ["s1", "s1", "s2", "s3"]})
    figure = measure("slices", table, {"s1": "p1", "s2": "p2", "s3": "p3"})
    assert (figure.k, figure.patients, figure.quasi_identifiers) == (3, 3, ())


def test_a_table_without_rows_singles_nobody_out() -> None:
    figure = measure("boxes", pa.table({"study_key": pa.array([], pa.string())}))
    assert (figure.k, figure.patients) == (0, 0)
    assert figure.is_enough


def test_the_rare_model_is_blanked_before_sex_and_only_where_it_is_rare() -> None:
    table, figure = suppress("series", series(*crowd(5), *crowd(2, model="RARE"), *crowd(3, model="ODD")))
    assert figure.suppressed == (("manufacturer_model_name", 5),)
    assert set(table["manufacturer_model_name"].to_pylist()) == {"M1", None}
    assert set(table["patient_sex"].to_pylist()) == {"F"}
    assert figure.k == 5


def test_sex_goes_too_where_the_model_was_not_enough() -> None:
    table, figure = suppress("series", series(*crowd(5), *crowd(3, sex="M", model="X"), *crowd(2, sex="O", model="Y")))
    assert figure.suppressed == (("manufacturer_model_name", 5), ("patient_sex", 5))
    assert figure.k == 5
    assert table.num_rows == 10


def test_a_small_site_is_stated_and_not_hidden() -> None:
    table, figure = suppress("series", series(*crowd(6), *crowd(2, site="small")))
    assert figure.k == 2
    assert figure.patients_below == 2
    assert set(table["site"].to_pylist()) == {"a", "small"}


def test_nothing_is_blanked_where_everybody_hides() -> None:
    before = series(*crowd(5), *crowd(5, sex="M"))
    after, figure = suppress("series", before)
    assert after.equals(before)
    assert figure.suppressed == ()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([f"p{n}" for n in range(12)]),
            st.just("a"),
            st.sampled_from(["F", "M", None]),
            st.sampled_from(["M1", "M2", "M3", None]),
        ),
        max_size=60,
    )
)
def test_one_site_of_enough_patients_always_ends_with_enough(
    rows: list[tuple[str, str, str | None, str | None]],
) -> None:
    before = series(*rows)
    after, figure = suppress("series", before)
    assert figure.k >= min(measure("series", before).k, ENOUGH)
    assert after.drop_columns(["patient_sex", "manufacturer_model_name"]).equals(
        before.drop_columns(["patient_sex", "manufacturer_model_name"])
    )
    blanked = sum(
        b is not None and a is None
        for column in ("patient_sex", "manufacturer_model_name")
        for b, a in zip(before[column].to_pylist(), after[column].to_pylist(), strict=True)
    )
    assert blanked == sum(cells for _, cells in figure.suppressed)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("061Y", "060-064"), ("064Y", "060-064"), ("065Y", "065-069"), ("090Y", "090+"), ("099Y", "090+"),
        ("011M", "000-004"), ("120D", "000-004"), ("000Y", "000-004"), ("300M", "025-029"),
        (None, None), ("", None), ("61Y", None), ("061X", None), ("abcY", None),
    ],
)  # fmt: skip
def test_ages_fall_into_bands_of_five_years(age: str | None, band: str | None) -> None:
    assert age_band(age) == band


def test_the_tables_of_a_release_have_no_other_column_that_others_may_know() -> None:
    from curate.release.contents import TABLES, schema_of

    columns = {name for table in TABLES for task in ("cervical", "lumbar") for name in schema_of(table, task).names}
    assert columns & set(QUASI_IDENTIFIERS) == {"site", "patient_sex", "manufacturer", "manufacturer_model_name"}
    assert not [name for name in columns if any(word in name for word in ("birth", "weight", "institution", "date"))]
