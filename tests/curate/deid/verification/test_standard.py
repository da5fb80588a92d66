"""The verifier's own copy of the tables says what the standard's rows say."""

from __future__ import annotations

import pytest

from curate.deid.tables import edition, table_rows
from curate.deid.verification.standard import (
    attributes,
    content_items,
    safe_creators,
    safe_private,
    under,
)


@pytest.mark.parametrize(
    ("tag", "basic"),
    [
        (0x00100010, "Z"),
        (0x00100020, "ZD"),
        (0x00081030, "X"),
        (0x00080018, "U"),
        (0x00081010, "XZD"),
        (0x0040A730, "D"),
    ],
)
def test_rows_are_as_the_standard_prints_them(tag: int, basic: str) -> None:
    assert attributes()[tag].basic == frozenset(basic)


def test_options_widen_what_may_have_been_done_and_only_those_that_are_claimed() -> None:
    age = attributes()[0x00101010]
    assert under(age, frozenset({"113100"})) == {"X"}
    assert "K" in under(age, frozenset({"113100", "113108"}))
    date = attributes()[0x00080020]
    assert "C" in under(date, frozenset({"113107"}))
    assert "C" not in under(date, frozenset({"113108"}))


def test_the_copy_and_the_writers_table_agree_on_every_row() -> None:
    """Not independence but an alarm: one of the two was edited without the other."""
    assert edition() == "2026d"
    assert attributes().keys() == table_rows().keys()
    for tag, row in table_rows().items():
        assert attributes()[tag].basic == frozenset(row.basic.replace("*", "").split("/"))
        assert len(attributes()[tag].options) == len(row.options)


def test_content_items_and_safe_private_attributes_are_there() -> None:
    assert content_items()["DCM", "121022"].basic == {"X"}
    assert ("NCDR [2.0b]") in {scheme for scheme, _ in content_items()}
    assert safe_private()[0x7053, "Philips PET Private Group", 0x00] == "DS"
    assert (0x0019, "GEMS_ACQU_01") in safe_creators()
