"""Identifiers are shown by kind only, and found in text whatever their spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.deid.identifiers import Guard, Identifier, kind_of, name_words
from curate.deid.vrs import Kind

GUARD = Guard(
    [
        Identifier("name", "Müller-Quixotova^Mary Ann"),
        Identifier("patient_id", "MRN-55/7"),
        Identifier("birth_date", "19590214"),
        Identifier("date", "20200229"),
        Identifier("institution", "Saint Elsewhere Hospital"),
    ]
)


@pytest.mark.parametrize(
    "text",
    ["ct for MULLER", "mÜller_2", "QUIXOTOVA", "spine mary", "id mrn-55/7.", "born 1959-02-14", "Elsewhere CT2"],
)
def test_the_files_own_identifiers_are_found_as_words(text: str) -> None:
    assert GUARD.finds(text)


@pytest.mark.parametrize("text", ["ORIGINAL\\PRIMARY\\AXIAL", "MRN-55/71", "hospital", "20200229", "Ann"])
def test_parts_of_other_words_and_common_words_are_not(text: str) -> None:
    assert not GUARD.finds(text)


@pytest.mark.parametrize("text", ["QUIXOTO_CT1", "quixotovas room", "Quixotova2", "ELSEWH"])
def test_names_cut_short_or_grown_are_found(text: str) -> None:
    assert GUARD.finds(text)


def test_words_of_the_trade_that_begin_like_a_name_are_not() -> None:
    guard = Guard([Identifier("name", "Generalov^Siemensen"), Identifier("name", "Axia^Thoracica")])
    for text in ("GENERAL ELECTRIC", "SIEMENS", "AXIAL", "THORACIC"):
        assert not guard.finds(text)
    assert guard.finds("GENERALO_CT")


def test_nothing_is_found_without_identifiers() -> None:
    assert not Guard([]).finds("anything")


def test_signs_in_an_identifier_are_no_pattern() -> None:
    assert not Guard([Identifier("patient_id", "A.*Z")]).finds("abcz")
    assert Guard([Identifier("patient_id", "A(1+")]).finds("x a(1+ y")


def test_names_equal_to_words_of_the_trade_are_not_searched_for() -> None:
    assert name_words("Hand^Philips^Axial") == []
    assert name_words("Ng^O'Brien") == ["brien"]
    assert name_words("山田^太郎") == ["山田", "太郎"]


def test_an_identifier_never_shows_its_value() -> None:
    assert "Quixotova" not in repr(Identifier("name", "Quixotova"))
    assert "Quixotova" not in repr(frozenset([Identifier("name", "Quixotova")]))


def test_kinds_follow_tag_and_vr() -> None:
    assert kind_of(0x00080050, Kind.TEXT) == "accession"
    assert kind_of(0x00081050, Kind.PERSON) == "name"
    assert kind_of(0x00204000, Kind.TEXT) is None


@given(
    st.text("aB1 -_.", max_size=8),
    st.sampled_from(["MRN-55/7", "1959.02-14", "19590214"]),
    st.text("aB1 -_.", max_size=8),
)
def test_ids_are_found_exactly_where_no_letter_or_digit_touches_them(before: str, value: str, after: str) -> None:
    guard = Guard([Identifier("patient_id", "MRN-55/7"), Identifier("birth_date", "19590214")])
    touched = before[-1:].isalnum() or after[:1].isalnum()
    assert guard.finds(before + value + after) is not touched
    spans = guard.spans(before + value + after)
    assert ((len(before), len(before) + len(value)) in spans) is not touched


def test_a_second_place_counts_when_the_first_is_part_of_another_number() -> None:
    guard = Guard([Identifier("patient_id", "5577")])
    assert guard.finds("95577 and 5577")
    assert guard.spans("95577 and 5577") == ((10, 14),)
