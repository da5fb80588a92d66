"""Options are those of PS3.15 E.3, by name, in one order, and two of them exclude each other."""

from __future__ import annotations

import pytest

from curate.deid.options import FULL_DATES, MODIFIED_DATES, OPTIONS, READY, settle_options
from curate.deid.profile import load_profile
from curate.deid.tables import method_codes, table_rows
from curate.errors import Misconfigured


def test_every_code_of_the_standard_but_that_of_the_profile_is_an_option() -> None:
    assert {option.code for option in OPTIONS.values()} == set(method_codes()) - {"113100"}
    assert [option.code for option in OPTIONS.values()] == sorted(option.code for option in OPTIONS.values())


def test_every_option_that_a_column_of_the_table_names_is_known() -> None:
    assert {name for row in table_rows().values() for name in row.options} <= set(OPTIONS)


def test_options_are_put_in_order_each_once() -> None:
    assert settle_options([MODIFIED_DATES, "clean_descriptors", MODIFIED_DATES]) == (
        "clean_descriptors",
        MODIFIED_DATES,
    )
    assert settle_options([]) == ()


def test_full_and_modified_dates_exclude_each_other() -> None:
    with pytest.raises(Misconfigured, match="not both"):
        settle_options([FULL_DATES, MODIFIED_DATES])


def test_a_name_that_is_no_option_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(Misconfigured, match=r"deid\.options.*'keep_everything'.*clean_descriptors"):
        settle_options(["keep_everything"])


@pytest.mark.parametrize("name", sorted(READY))
def test_ready_profiles_are_made_of_options_in_order(name: str) -> None:
    assert load_profile(name).options == settle_options(READY[name])


def test_mira_is_what_releases_like_rsnas_need() -> None:
    codes = [code for code, _ in load_profile("mira").codes]
    assert codes == ["113100", "113101", "113105", "113107", "113108", "113109", "113111"]
