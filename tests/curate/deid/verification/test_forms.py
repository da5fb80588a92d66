"""What a single value is."""

from __future__ import annotations

import pytest

from curate.deid.verification.entries import Entry
from curate.deid.verification.forms import (
    has_contact,
    has_letters,
    is_dummy,
    is_key,
    is_malformed,
    is_old,
    is_token,
    looks_like_name,
    looks_like_uid,
    private_fault,
    words_of,
)

LATIN = ("latin-1",)


@pytest.mark.parametrize("value", [b"", b"ANONYMIZED", b"19000101", b"0 ", bytes(8), b"000Y", b"ANONYMIZED\0"])
def test_a_dummy_is_one(value: bytes) -> None:
    assert is_dummy(value)


@pytest.mark.parametrize("value", [b"20200229", b"ANONYMIZED\\Smith", b"1", b"ANONYMIZED Smith", b"UNKNOWN"])
def test_a_value_is_no_dummy(value: bytes) -> None:
    assert not is_dummy(value)


@pytest.mark.parametrize(
    ("age", "old"), [("089Y", False), ("090Y", False), ("091Y", True), ("999M", False), ("4700W", True), ("", False)]
)
def test_ages_over_89_years_are_old_unless_capped(age: str, old: bool) -> None:
    assert is_old(age) is old


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(b"0123456789abcdef", True), (b"ABCDEFGHIJKLMN27", False), (b"ACC-998877", False), (b"", False)],
)
def test_a_token_has_its_form(value: bytes, is_one: bool) -> None:
    assert is_token(value) is is_one


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(b"ABCDEFGHIJKLMN27", True), (b"0123456789abcdef", False), (b"MRN-554477", False), (b"", False)],
)
def test_a_key_has_its_form(value: bytes, is_one: bool) -> None:
    assert is_key(value) is is_one


@pytest.mark.parametrize(
    ("vr", "value", "wrong"),
    [
        ("US", b"\1\0\2\0", False),
        ("US", b"\1\0\2", True),
        ("FD", bytes(8), False),
        ("FD", bytes(6), True),
        ("DS", b" 1.5e-3\\-2.\\\\.5 ", False),
        ("DS", b"1-2", True),
        ("DS", b"1 2", True),
        ("IS", b"12\\+3\0", False),
        ("IS", b"12.0", False),  # other readers take it
        ("IS", b"1.5", True),
        ("LO", b"1-2", False),
    ],
)
def test_a_list_of_numbers_is_one(vr: str, value: bytes, wrong: bool) -> None:
    assert is_malformed(vr, value) is wrong


@pytest.mark.parametrize(
    ("value", "uid", "name"),
    [(b"1.2.3\0", True, False), (b"1.5", False, False), (b"Smith^A", False, True), (b"a^2", False, False)],
)
def test_bytes_of_unknown_vr_are_told_by_their_looks(value: bytes, uid: bool, name: bool) -> None:
    assert (looks_like_uid(value), looks_like_name(value)) == (uid, name)


@pytest.mark.parametrize(
    ("vr", "value", "letters"),
    [
        ("DS", b"1.5e-3\\2 ", False),
        ("DS", b"about 3", True),
        ("IS", b"12\0", False),
        ("IS", b"o2", True),
        ("CS", b"MONOCHROME2 ", False),
        ("CS", b"F\xc3\xbcR", True),
        ("US", b"\x01\0\xff\0", False),
        ("US", b"Quixotova ", True),
        ("OB", b"Quixotova", True),
        ("AS", b"Quixotova", False),  # judged as an age
    ],
)
def test_letters_among_numbers_are_seen(vr: str, value: bytes, letters: bool) -> None:
    assert has_letters(0x00280010, vr, value) is letters


def test_palettes_may_look_like_letters() -> None:
    assert not has_letters(0x00281201, "OW", b"abcdefghij")


@pytest.mark.parametrize(
    ("text", "found"),
    [("call 555-123-4567", True), ("a@b.org", True), ("www.x.y", True), ("T2 TSE 4 mm", False), ("1.2.3", False)],
)
def test_contacts_are_seen_in_text(text: str, found: bool) -> None:
    assert has_contact(text.encode(), LATIN) is found


@pytest.mark.parametrize(
    ("vr", "value", "fault"),
    [
        ("DS", b"1.5 ", ""),
        ("DS", b"one", "not a number"),
        ("FD", b"Quixotova", "text where numbers belong"),
        ("FD", bytes(8), ""),
        ("LO", b"a@b.org", "text that identifies"),
        ("LO", b"T2", ""),
    ],
)
def test_a_private_value_must_be_of_its_form(vr: str, value: bytes, fault: str) -> None:
    assert private_fault(Entry(0x00191023, vr, value), vr, LATIN) == fault


def test_a_sequence_in_place_of_a_private_value_is_seen() -> None:
    entry = Entry(0x00191023, "SQ", b"", ((Entry(0x00100010, "PN", b"Smith"),),))
    assert private_fault(entry, "DS", LATIN) == "a sequence where a value belongs"


def test_words_are_counted() -> None:
    assert words_of(b"T2 TSE\\T2 ") == {b"T2": 2, b"TSE": 1}
