"""Items find their source's items, also when some were dropped."""

from __future__ import annotations

import pytest

from curate.deid.verification.entries import Entry
from curate.deid.verification.items import align, concept


def entries(*tags: int) -> tuple[Entry, ...]:
    return tuple(Entry(tag, "LO", b"x") for tag in tags)


def content_item(code: bytes, *tags: int) -> tuple[Entry, ...]:
    name = (Entry(0x00080100, "SH", code), Entry(0x00080102, "SH", b"DCM "))
    return (Entry(0x0040A043, "SQ", b"", (name,)), *entries(*tags))


ONE, TWO, THREE = entries(1, 2), entries(3), entries(4, 5)


@pytest.mark.parametrize(
    ("items", "old", "expected"),
    [
        ([ONE, TWO], [TWO, ONE], [TWO, ONE]),  # as many: by number
        ([entries(4)], [ONE, TWO, THREE], [THREE]),
        ([entries(9), ONE, TWO], [ONE], [None, ONE, None]),
        ([entries(1), entries(5)], [ONE, TWO, THREE], [ONE, THREE]),
        ([THREE, ONE], [ONE, TWO, THREE], [THREE, None]),  # never backwards
        ([], [ONE], []),
    ],
)
def test_items_are_aligned_by_number_or_else_by_what_they_hold(
    items: list[tuple[Entry, ...]], old: list[tuple[Entry, ...]], expected: list[tuple[Entry, ...] | None]
) -> None:
    assert align(items, old) == expected


def test_content_items_of_other_concepts_are_not_taken_for_each_other() -> None:
    dropped, kept = content_item(b"121022", 7), content_item(b"111111", 7)
    assert align([kept], [dropped, kept]) == [kept]


def test_the_concept_is_scheme_and_code_of_the_concept_name() -> None:
    assert concept(content_item(b"121022")) == ("DCM", "121022")
    assert concept(ONE) == ("", "")
    assert concept((Entry(0x0040A043, "SQ", b"", ()),)) == ("", "")
